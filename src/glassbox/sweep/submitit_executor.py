"""`launcher=submitit_local`, `launcher=submitit_slurm`: each job is a process of its own, or a job of a Slurm array."""

import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from glassbox.errors import BadInput
from glassbox.sweep.executor import Lost, left

POLL = 0.5  # seconds between two looks at the cluster
PATIENCE = 30.0  # seconds that jobs get to write down that they were interrupted
SHARED = (
    "name",
    "timeout_min",
    "mem_gb",
    "nodes",
    "cpus_per_task",
    "gpus_per_node",
    "tasks_per_node",
    "stderr_to_stdout",
)


class SubmititExecutor:
    """Run jobs through submitit.

    A job that Slurm preempts and requeues starts again by itself, in a new run folder; one that is only ended
    comes back as lost.

    Args:
        folder: Where submitit keeps its files; on a cluster, all nodes must see it.
        cluster: `slurm`, or `local` for processes of this machine.
        max_running: How many local jobs run at once; None means one per CPU core.
        **parameters: What submitit's AutoExecutor takes, such as `timeout_min`, `mem_gb`, `cpus_per_task`; others, such
            as `partition`, are those of Slurm.

    Raises:
        BadInput: submitit is not installed, or there is no Slurm.

    Example:
        >>> import tempfile
        >>> SubmititExecutor(Path(tempfile.mkdtemp()), cluster="lokal")
        Traceback (most recent call last):
        glassbox.errors.BadInput: launcher.cluster=lokal: must be local or slurm
    """

    def __init__(self, folder: Path, cluster: str = "slurm", max_running: int | None = None, **parameters: Any) -> None:
        if cluster not in ("local", "slurm"):
            raise BadInput(f"launcher.cluster={cluster}: must be local or slurm")
        try:
            import submitit
        except ModuleNotFoundError as error:
            raise BadInput("launcher=submitit needs submitit: pip install 'glassbox[submitit]'") from error
        try:
            self._executor = submitit.AutoExecutor(folder / "%j", cluster=cluster)
        except RuntimeError as error:
            raise BadInput(f"launcher.cluster={cluster}: {error}; is this a node of the cluster?") from error
        self._executor.update_parameters(
            **{
                (key if key in SHARED else f"{cluster}_{key}"): value
                for key, value in parameters.items()
                if value is not None
            }
        )
        self._at_once = (max_running or os.cpu_count() or 1) if cluster == "local" else None

    def run(self, function: Callable[[Any], Any], payloads: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Yield (index of the payload, what the function returned or `Lost`) as jobs end."""
        waiting = list(enumerate(payloads))
        flying: dict[int, Any] = {}
        try:
            while waiting or flying:
                count = len(waiting) if self._at_once is None else self._at_once - len(flying)
                batch, waiting = waiting[:count], waiting[count:]
                if batch:
                    jobs = self._executor.map_array(_Job(function), [payload for _, payload in batch])
                    flying |= {index: job for (index, _), job in zip(batch, jobs, strict=True)}
                ended = [index for index, job in flying.items() if job.done()]
                for index in ended:
                    yield index, _answer(flying.pop(index))
                if flying and not ended:
                    time.sleep(POLL)
        finally:
            self._stop(flying.values())

    def close(self) -> None:
        """No process waits for more jobs."""

    def _stop(self, jobs: Iterable[Any]) -> None:
        """Cancel jobs: those that run get a moment to write down that they were interrupted."""
        jobs = list(jobs)
        for job in jobs:
            job.cancel()
        until = time.monotonic() + PATIENCE
        for job in itertools.takewhile(lambda _: time.monotonic() < until, jobs):
            while not job.done(force_check=True) and time.monotonic() < until:
                time.sleep(POLL)


class _Job:
    """The function in the job's process."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __call__(self, payload: Any) -> Any:
        import signal

        # submitit ignores SIGTERM; without that, a job that is ended says so in its record.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            return self.function(payload)
        except SystemExit as stop:
            return left(stop)

    def checkpoint(self, payload: Any) -> Any:
        """Start again, when Slurm preempts the job or its time is over."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, payload)


def _answer(job: Any) -> Any:
    import submitit

    try:
        return job.result()
    except submitit.core.utils.UncompletedJobError:
        return Lost(f"job {job.job_id} ended without an answer: {job.state}")
    except submitit.core.utils.FailedJobError as error:
        return Lost(f"job {job.job_id} failed: {str(error).strip().splitlines()[-1]}")
