"""Where the jobs of a sweep run: what every executor can do, and what is said of a job whose process died."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from glassbox.sweep.state import preserved_state

TERMINATED = 143


@dataclass(frozen=True)
class Lost:
    """A job whose process died before it could answer.

    Attributes:
        reason: What is known of its end.

    Example:
        >>> Lost("killed by SIGKILL, perhaps out of memory").reason
        'killed by SIGKILL, perhaps out of memory'
    """

    reason: str


def left(stop: SystemExit) -> Lost:
    """Say of a job that left its process on purpose, or because of SIGTERM, how it did.

    Args:
        stop: What it raised.

    Example:
        >>> left(SystemExit(143)).reason, left(SystemExit(0)).reason
        ('interrupted by SIGTERM', 'sys.exit(0) was called')
    """
    return Lost("interrupted by SIGTERM" if stop.code == TERMINATED else f"sys.exit({stop.code!r}) was called")


def attempt(function: Callable[[Any], Any], payload: Any) -> Any:
    """Do a job in a process that may do others: put back what it changes, and let it not take the process with it.

    Args:
        function: What to do.
        payload: With what.

    Returns:
        What the function returned; `Lost` if it left.

    Example:
        >>> import sys
        >>> attempt(abs, -2), attempt(sys.exit, 0)
        (2, Lost(reason='sys.exit(0) was called'))
    """
    try:
        with preserved_state():
            return function(payload)
    except SystemExit as stop:
        return left(stop)


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
