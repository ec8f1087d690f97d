"""Processes that we start: they end with their parent, and what has killed one is said in the same words everywhere."""

import multiprocessing
import os
import signal
import threading


def die_with_parent() -> None:
    """Let this process lead a session, and end it with all that it starts when its parent is gone, however it went.

    For a process that multiprocessing has started, at its beginning. Ctrl-C in the terminal no longer reaches it.
    """
    os.setsid()
    threading.Thread(target=_wait_and_die, daemon=True).start()


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
