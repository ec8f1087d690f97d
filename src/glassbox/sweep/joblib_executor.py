"""`launcher=joblib`: a pool of processes on this machine."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from glassbox.errors import BadInput
from glassbox.sweep.executor import Lost, attempt

PATIENCE = 30.0  # seconds that jobs get to write down that they were interrupted
POLL = 0.2  # seconds between two looks whether the parent lives


class JoblibExecutor:
    """Run jobs in joblib's pool (loky): its processes are used again, and share the machine's threads.

    When one of its processes dies, loky gives up the whole pool: the jobs that were in flight are lost, and the others
    go on in a new one.

    Args:
        n_jobs: How many run at once; -1 means one per CPU core.

    Raises:
        BadInput: n_jobs is 0 or another negative number.

    Example:
        >>> pool = JoblibExecutor(n_jobs=2)
        >>> sorted(pool.run(abs, [-2, 3]))
        [(0, 2), (1, 3)]
        >>> pool.close()
    """

    def __init__(self, n_jobs: int = -1) -> None:
        import joblib

        if n_jobs != -1 and n_jobs < 1:
            raise BadInput(f"launcher.n_jobs={n_jobs}: must be at least 1, or -1")
        self.n_jobs = joblib.cpu_count() if n_jobs == -1 else n_jobs
        self._pool: Any = None

    def run(self, function: Callable[[Any], Any], payloads: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Yield (index of the payload, what the function returned or `Lost`) as jobs end."""
        waiting = enumerate(payloads)
        flying: dict[Future[Any], int] = {}
        try:
            while True:
                for index, payload in waiting:
                    flying[self._submit(function, payload)] = index
                    if len(flying) == self.n_jobs:
                        break
                if not flying:
                    return
                ended, _ = wait(flying, return_when=FIRST_COMPLETED)
                answers = [(flying.pop(future), self._answer(future)) for future in ended]
                yield from answers
        finally:
            if flying:
                self._stop(list(flying))

    def close(self) -> None:
        """End the processes, and all that they have started."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=True)
            self._pool = None

    def _submit(self, function: Callable[[Any], Any], payload: Any) -> "Future[Any]":
        if self._pool is None:
            from joblib.externals.loky import ProcessPoolExecutor

            threads = str(max(1, (os.cpu_count() or 1) // self.n_jobs))
            limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
            limits = {name: os.environ.get(name, value) for name, value in limits.items()}
            self._pool = ProcessPoolExecutor(self.n_jobs, env=limits, initializer=_begin, initargs=(os.getpid(),))
        submitted: Future[Any] = self._pool.submit(attempt, function, payload)
        return submitted

    def _answer(self, future: "Future[Any]") -> Any:
        from concurrent.futures.process import BrokenProcessPool

        error = future.exception()
        if isinstance(error, BrokenProcessPool):
            self.close()  # what still runs must not write into records that say that it is lost
            return Lost("a process of the pool was killed, perhaps out of memory, and all that ran were lost with it")
        return future.result() if error is None else Lost(f"{type(error).__name__}: {error}")

    def _stop(self, flying: list["Future[Any]"]) -> None:
        """Let running jobs write down that they were interrupted."""
        until = time.monotonic() + PATIENCE
        while self._pool is not None and time.monotonic() < until:
            # Again and again: a process that is about to begin a job ignores it. A job that has heard it does, too.
            for pid in list(self._pool._processes or ()):
                with contextlib.suppress(ProcessLookupError):
                    if os.getsid(pid) == pid:  # else it is not set up yet, and would die of it
                        os.kill(pid, signal.SIGTERM)
            if not wait(flying, timeout=POLL).not_done:
                break
        self.close()


def _begin(parent: int) -> None:
    """Be a process of the pool: Ctrl-C in the terminal does not reach it, only its jobs know SIGTERM."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process and all that its jobs have started when the parent is gone, however it went."""
    while os.getppid() == parent:
        time.sleep(POLL)
    os.killpg(0, signal.SIGKILL)
