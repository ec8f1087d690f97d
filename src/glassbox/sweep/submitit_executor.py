"""`launcher=submitit_local`, `launcher=submitit_slurm`: each job is a process of its own, or a job of a Slurm array."""

import contextlib
import fcntl
import math
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from glassbox.errors import BadInput
from glassbox.process import TERMINATED, leave_garbage
from glassbox.sweep.executor import Lost, attempt, ended, leave

POLL = 0.2  # seconds between two looks for answers
LOOK = 2.0  # seconds between two looks at Slurm's queue
ARRAY = 1000  # jobs of one array; Slurm's MaxArraySize is 1001
PATIENCE = 40.0  # seconds that jobs get to write down that they were interrupted; Slurm's KillWait is 30
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

    A job that Slurm requeues, because it was preempted or its node failed, starts again by itself. When this process
    is killed, local jobs end with it; those of Slurm go on, and `cancel_waiting` is for what they leave in the queue.

    Args:
        folder: Where submitit keeps its files; on a cluster, all nodes must see it.
        cluster: `slurm`, or `local` for processes of this machine.
        max_running: How many local jobs run at once; None means one per CPU core.
        launcher: What messages call it; None is `submitit_` and the cluster.
        **parameters: What submitit's AutoExecutor takes, such as `timeout_min`, `mem_gb`, `cpus_per_task`; others, such
            as `partition`, are those of Slurm.

    Raises:
        BadInput: There is no Slurm, or it does not take a parameter.

    Example:
        >>> import tempfile
        >>> executor = SubmititExecutor(Path(tempfile.mkdtemp()), "local")
        >>> list(executor.run(abs, [-2]))  # doctest: +SKIP
        [(0, 2)]
    """

    def __init__(
        self,
        folder: Path,
        cluster: str,
        max_running: int | None = None,
        launcher: str | None = None,
        **parameters: Any,
    ) -> None:
        import submitit

        self._launcher = launcher or f"submitit_{cluster}"
        self._folder = folder.absolute()
        self._slurm = _Queue() if cluster == "slurm" else None
        self._at_once = (max_running or os.cpu_count() or 1) if cluster == "local" else None
        given = {
            key if key in SHARED else f"{cluster}_{key}": value
            for key, value in parameters.items()
            if value is not None
        }
        try:
            self._executor = submitit.AutoExecutor(self._folder / "%j", cluster=cluster)
            self._executor.update_parameters(**given)
            if self._slurm is not None and self._slurm.jobs() is None:
                raise RuntimeError("there is no Slurm that answers squeue")
        except (RuntimeError, ValueError, NameError) as error:
            with contextlib.suppress(OSError):  # submitit may have made them
                self._folder.rmdir()
                self._folder.parent.rmdir()
            raise BadInput(f"launcher={self._launcher}: {str(error).splitlines()[0]}") from error

    def cancel_waiting(self) -> None:
        """Cancel the jobs of an earlier executor of this folder that have not begun yet."""
        if self._slurm is not None and self._folder.exists():
            self._slurm.cancel(filter(self._has, self._slurm.jobs("--states=PENDING") or set()))

    def running(self) -> list[Any]:
        """Return the payloads of the jobs of an earlier executor of this folder that Slurm runs now.

        Raises:
            BadInput: One of them cannot be read.
        """
        if self._slurm is None or not self._folder.exists():
            return []
        jobs = self._slurm.jobs("--states=RUNNING,CONFIGURING,SUSPENDED") or set()
        return [_payload(self._folder / job / f"{job}_submitted.pkl") for job in sorted(jobs) if self._has(job)]

    def run(self, function: Callable[[Any], Any], payloads: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Yield (index of the payload, what the function returned or `Lost`) as jobs end."""
        waiting = list(enumerate(payloads))
        flying: dict[int, Any] = {}
        with self._sign_of_life() as path:
            job = _Job(function, path)
            try:
                while waiting or flying:
                    count = ARRAY if self._at_once is None else self._at_once - len(flying)
                    batch, waiting = waiting[:count], waiting[count:]
                    if batch:
                        jobs = self._submit(job, [payload for _, payload in batch])
                        flying |= {index: one for (index, _), one in zip(batch, jobs, strict=True)}
                    over = [index for index in flying if self._is_over(flying[index])]
                    for index in over:
                        yield index, self._answer(flying.pop(index))
                    if not over:
                        time.sleep(POLL)
            finally:
                if flying:
                    self._stop(list(flying.values()))

    def close(self) -> None:
        """No process waits for more jobs."""

    def _has(self, job: str) -> bool:
        return (self._folder / job).exists()

    def _submit(self, job: "_Job", payloads: list[Any]) -> list[Any]:
        """Start jobs; the processes of local ones do not hear of Ctrl-C in the terminal."""
        from submitit.core.utils import FailedJobError

        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            jobs = list(self._executor.map_array(job, payloads))
        except FailedJobError as error:
            raise BadInput(f"launcher={self._launcher}: {str(error).strip().splitlines()[-1]}") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if self._slurm is not None:
            self._slurm.look_anew()
        return jobs

    def _is_over(self, job: Any) -> bool:
        if self._slurm is None:
            return bool(job.done())
        return bool(job.paths.result_pickle.exists()) or self._slurm.has_left(job.job_id)

    def _answer(self, job: Any) -> Any:
        path: Path = job.paths.result_pickle
        if not path.exists():
            if self._slurm is not None:
                return self._slurm.end(job.job_id)
            return Lost(f"its process was killed, perhaps out of memory; its output is in {job.paths.stderr}")
        try:
            outcome, answer = pickle.loads(path.read_bytes())
        except Exception as error:  # noqa: BLE001 (whatever a class of somebody else raises)
            return Lost(f"its result cannot be read: {type(error).__name__}: {error}")
        return answer if outcome == "success" else Lost(str(answer).strip().splitlines()[-1])

    def _stop(self, jobs: list[Any]) -> None:
        """Cancel jobs: those that run get a moment to write down that they were interrupted."""
        if self._slurm is not None:
            self._slurm.cancel(job.job_id for job in jobs)
        else:
            for job in jobs:
                job._process.terminate()  # submitit's own `cancel` gives them one second
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and not all(self._is_over(job) for job in jobs):
            time.sleep(POLL)
        if self._slurm is None:
            for job in jobs:
                job._process.kill()

    @contextlib.contextmanager
    def _sign_of_life(self) -> Iterator[Path | None]:
        """Hold a lock that the system lets go when this process ends, however it does; local jobs wait for that."""
        if self._slurm is not None:
            yield None
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"alive-{os.getpid()}"
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield path
            finally:
                path.unlink(missing_ok=True)


class _Job:
    """The function in the process of a job.

    Args:
        function: What to do.
        alive: The lock that the sweep holds as long as it lives; None for a job that outlives it.
    """

    def __init__(self, function: Callable[[Any], Any], alive: Path | None) -> None:
        self.function = function
        self.alive = alive

    def __call__(self, payload: Any) -> Any:
        signal.signal(signal.SIGUSR2, leave)  # Slurm sends it when the job's time is nearly over
        if self.alive is not None:
            os.setsid()
            threading.Thread(target=_end_with, args=(self.alive,), daemon=True).start()
        answer = attempt(self.function, payload)
        leave_garbage()
        if self.alive is None and answer == ended(TERMINATED):
            _requeue_if_preempted()
            sys.exit(TERMINATED)  # without an answer: a job that is requeued is not over
        return answer


def _payload(path: Path) -> Any:
    """Return what a job was given."""
    from submitit.core.utils import DelayedSubmission

    try:
        return DelayedSubmission.load(path).args[0]
    except Exception as error:
        job = path.parent.name
        raise BadInput(f"{path} cannot be read, and its job runs: wait for its end, or scancel {job}") from error


def _end_with(alive: Path) -> None:
    """End this process and all that the job has started when the sweep is gone, however it went."""
    with contextlib.suppress(FileNotFoundError), alive.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
    os.killpg(0, signal.SIGKILL)


def _requeue_if_preempted() -> None:
    """Let Slurm start this job again: one that leaves before its grace time is over would only have failed."""
    job = os.environ["SLURM_JOB_ID"]
    if _fields(job).get("PreemptTime", "None") != "None":
        _output("scontrol", "requeue", job)


class _Queue:
    """Slurm's queue, asked with squeue and scontrol: sacct, which submitit asks, needs accounting to be on."""

    def __init__(self) -> None:
        self.look_anew()

    def look_anew(self) -> None:
        """Forget what was seen, because there are new jobs."""
        self._looked = -math.inf
        self._looks: deque[set[str]] = deque(maxlen=2)

    def jobs(self, *options: str) -> set[str] | None:
        """Return the ids of this user's jobs that have not ended; None if Slurm does not answer."""
        text = _output("squeue", "--me", "--array", "--noheader", "--format=%i", *options)
        return None if text is None else set(text.split())

    def has_left(self, job: str) -> bool:
        """Return whether a job was absent in the last two looks: what it has written is there by then."""
        now = time.monotonic()
        if now - self._looked >= LOOK:
            self._looked = now
            there = self.jobs()
            if there is not None:
                self._looks.append(there)
        return len(self._looks) == 2 and not any(job in look for look in self._looks)

    def end(self, job: str) -> Lost:
        """Say how a job ended that has left no answer."""
        fields = _fields(job)
        state = fields.get("JobState", "nothing more")
        if state == "FAILED":
            code, number = map(int, fields["ExitCode"].split(":"))
            return ended(-number or code)
        word = "interrupted: " * (state in ("CANCELLED", "PREEMPTED", "TIMEOUT", "DEADLINE", "NODE_FAIL"))
        return Lost(f"{word}Slurm says {state} of job {job}")

    def cancel(self, jobs: Iterable[str]) -> None:
        """Cancel jobs: SIGTERM first, and SIGKILL after Slurm's KillWait."""
        ids = sorted(jobs)
        if ids:
            _output("scancel", *ids)


def _fields(job: str) -> dict[str, str]:
    """Return what Slurm knows of a job; nothing some minutes after its end."""
    return dict(re.findall(r"(\w+)=(\S+)", _output("scontrol", "--oneliner", "show", "job", job) or ""))


def _output(*command: str) -> str | None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None
