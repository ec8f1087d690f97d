"""Where the jobs of a sweep run: what every executor can do, and what is said of a job whose process died."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

from glassbox.process import INTERRUPTED, SIGNALS, TERMINATED, collect_rarely, ending, killed_by
from glassbox.sweep.state import preserved_state


@dataclass(frozen=True)
class Lost:
    """A job whose process died before it could answer.

    Attributes:
        reason: What is known of its end; it begins with `interrupted` if the job was told to end.

    Example:
        >>> Lost("killed by SIGKILL, perhaps out of memory").reason
        'killed by SIGKILL, perhaps out of memory'
    """

    reason: str


def ended(code: int) -> Lost:
    """Say of a process that ended without an answer how it did.

    Args:
        code: Its exit code; -n or 128 + n if signal n killed it.

    Example:
        >>> ended(-9).reason, ended(137).reason
        ('killed by SIGKILL, perhaps out of memory', 'killed by SIGKILL, perhaps out of memory')
        >>> ended(143).reason, ended(3).reason
        ('interrupted by SIGTERM', 'the process ended with exit code 3')
    """
    if code in SIGNALS:
        return Lost(f"interrupted by {SIGNALS[code]}")
    number = -code if code < 0 else code - 128
    if number not in signal.valid_signals():
        return Lost(f"the process ended with exit code {code}")
    return Lost(killed_by(number))


def attempt(
    function: Callable[[Any], Any], payload: Any, signals: tuple[signal.Signals, ...] = (signal.SIGTERM,)
) -> Any:
    """Do a job in a process that may do others: put back what it changes, and let it not take the process with it.

    Args:
        function: What to do.
        payload: With what.
        signals: What tells the job, and not the process, to end in order.

    Returns:
        What the function returned; `Lost` if it raised or left.

    Example:
        >>> import sys
        >>> attempt(abs, -2), attempt(sys.exit, 0)
        (2, Lost(reason='sys.exit(0) was called'))
    """
    try:
        with preserved_state():
            collect_rarely()  # until the job trains: the first one of a process imports torch
            try:
                if threading.current_thread() is threading.main_thread():
                    for number in signals:
                        signal.signal(number, _leave_after_import)
                return function(payload)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
    except KeyboardInterrupt:
        return ended(INTERRUPTED)
    except SystemExit as stop:
        status, code, reason = ending(stop)
        return ended(code) if status == "interrupted" else Lost(reason)
    except Exception as error:  # noqa: BLE001 (told by the parent)
        return Lost(f"{type(error).__name__}: {error}")


def leave(number: int, frame: FrameType | None) -> None:
    """Be the handler of a signal that ends a job in order; a second one does not disturb that.

    Example:
        >>> attempt(lambda _: signal.raise_signal(signal.SIGTERM), None)
        Lost(reason='interrupted by SIGTERM')
    """
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(TERMINATED)


def _leave_after_import(number: int, frame: FrameType | None) -> None:
    """Leave, but not in the middle of an import: half a torch fails in ways that hide why."""
    while frame is not None and frame.f_code is not attempt.__code__:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            again = threading.Timer(0.1, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
            return
        frame = frame.f_back
    leave(number, frame)


class Executor(Protocol):
    """Run one function on many payloads, in processes of its own."""

    def run(self, function: Callable[[Any], Any], payloads: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Yield (index of the payload, what the function returned or `Lost`) as jobs end.

        Closing the iterator, or an exception that passes through it, cancels what has not started and ends what runs:
        SIGTERM first, so that a run can write down that it was interrupted.

        Args:
            function: It returns what went wrong instead of raising it; its process may die all the same.
            payloads: One per job.
        """

    def close(self) -> None:
        """End the processes."""
