"""`launcher=joblib`: a pool of processes on this machine."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from glassbox.errors import BadInput, told
from glassbox.sweep.executor import Lost, attempt

PATIENCE = 30.0  # seconds that jobs get to write down that they were interrupted


class JoblibExecutor:
    """Run jobs in joblib's pool (loky): its processes are used again, and each shares the machine's threads.

    When one of its processes dies, loky gives up the whole pool: the jobs that were in flight are lost, and the others
    go on in a new one.

    Args:
        n_jobs: How many run at once; -1 means one per CPU core.

    Raises:
        BadInput: joblib is not installed.

    Example:
        >>> pool = JoblibExecutor(n_jobs=2)
        >>> sorted(pool.run(abs, [-2, 3]))
        [(0, 2), (1, 3)]
        >>> pool.close()
    """

    def __init__(self, n_jobs: int = -1) -> None:
        try:
            import joblib
        except ModuleNotFoundError as error:
            raise BadInput("launcher=joblib needs joblib: pip install 'glassbox[joblib]'") from error
        self.n_jobs = joblib.cpu_count() if n_jobs == -1 else n_jobs
        self._pool: Any = None

    def run(self, function: Callable[[Any], Any], payloads: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Yield (index of the payload, what the function returned or `Lost`) as jobs end."""
        waiting = list(enumerate(payloads))[::-1]
        flying: dict[Future[Any], int] = {}
        try:
            while waiting or flying:
                while waiting and len(flying) < self.n_jobs:
                    index, payload = waiting.pop()
                    flying[self._submit(function, payload)] = index
                ended, _ = wait(flying, return_when=FIRST_COMPLETED)
                for future in ended:
                    index = flying.pop(future)
                    error = future.exception()
                    if error is not None:
                        self._pool = None if _is_broken(error) else self._pool
                    yield index, future.result() if error is None else Lost(_told(error))
        finally:
            if flying:
                self._stop(list(flying))

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=True)
            self._pool = None

    def _submit(self, function: Callable[[Any], Any], payload: Any) -> "Future[Any]":
        if self._pool is None:
            from joblib.externals.loky import ProcessPoolExecutor

            threads = str(max(1, (os.cpu_count() or 1) // self.n_jobs))
            limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
            limits = {name: os.environ.get(name, value) for name, value in limits.items()}
            self._pool = ProcessPoolExecutor(max_workers=self.n_jobs, env=limits)
        submitted: Future[Any] = self._pool.submit(attempt, function, payload)
        return submitted

    def _stop(self, flying: list["Future[Any]"]) -> None:
        """Let running jobs write down that they were interrupted."""
        for process in list((self._pool._processes or {}).values()) if self._pool is not None else []:
            os.kill(process.pid, signal.SIGTERM)
        wait(flying, timeout=PATIENCE)
        self.close()


def _is_broken(error: BaseException) -> bool:
    from concurrent.futures.process import BrokenProcessPool

    return isinstance(error, BrokenProcessPool)


def _told(error: BaseException) -> str:
    if _is_broken(error):
        return "a process of joblib's pool was killed, and with it every job that ran then"
    return told(error)
