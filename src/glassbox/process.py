"""Processes: how a program begins and ends quickly, and those that we start, which end with their parent."""

import gc
import multiprocessing
import os
import signal
import threading

from glassbox.errors import told

INTERRUPTED, TERMINATED = 130, 143  # exit codes, as shells have them
SIGNALS = {TERMINATED: "SIGTERM", INTERRUPTED: "SIGINT"}
USUAL = gc.get_threshold()
RARELY = 100_000  # more objects than before, at which Python looks for garbage; usually 700


def collect_rarely() -> None:
    """Look for garbage rarely while a program begins: what it imports stays, and looking takes a fifth of the time."""
    gc.set_threshold(RARELY)


def collect_as_usual() -> None:
    """Look for garbage as often as Python does, before a training begins: garbage may hold a device's memory.

    Example:
        >>> collect_rarely()
        >>> collect_as_usual()
        >>> gc.get_threshold() == USUAL
        True
    """
    gc.set_threshold(*USUAL)


def leave_garbage() -> None:
    """Look for none at the end of this process: Python would go through all modules, longer than many a run takes."""
    gc.freeze()


def die_with_parent() -> None:
    """Let this process lead a session, and end it with all that it starts when its parent is gone, however it went.

    For a process that multiprocessing has started, at its beginning. Ctrl-C in the terminal no longer reaches it.
    """
    os.setsid()
    threading.Thread(target=_wait_and_die, daemon=True).start()


def ending(error: BaseException) -> tuple[str, int, str]:
    """Say how a run ends that something has broken off.

    Args:
        error: What it raised.

    Returns:
        Its status, the exit code of a process that did only this run, and the reason.

    Example:
        >>> ending(KeyboardInterrupt())
        ('interrupted', 130, 'Ctrl-C')
        >>> ending(SystemExit(0))
        ('failed', 1, 'sys.exit(0) was called')
        >>> ending(OSError("no space left"))
        ('failed', 1, 'OSError: no space left')
    """
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", INTERRUPTED, "Ctrl-C"
    if not isinstance(error, SystemExit):
        return "failed", getattr(error, "exit_code", 1), told(error)
    if isinstance(error.code, int) and error.code in SIGNALS:
        return "interrupted", error.code, SIGNALS[error.code]
    return "failed", 1, f"sys.exit({error.code!r}) was called"


def killed_by(number: int) -> str:
    """Say of a process that a signal has killed it.

    Args:
        number: The signal.

    Example:
        >>> killed_by(9), killed_by(11)
        ('killed by SIGKILL, perhaps out of memory', 'killed by SIGSEGV')
    """
    name = signal.Signals(number).name
    return f"killed by {name}" + ", perhaps out of memory" * (name == "SIGKILL")


def _wait_and_die() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.killpg(0, signal.SIGKILL)
