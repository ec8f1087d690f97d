"""What a sweep costs beside its jobs: a thousand that do nothing, against Hydra's own way in the same run."""

import os
import signal
import tempfile
import time
from collections.abc import Callable
from typing import Any

from glassbox.bench.table import Goal, report
from glassbox.config.compose import multirun
from glassbox.config.place import CONF
from glassbox.config.resolvers import register_resolvers
from glassbox.sweep.worker import Worker

JOBS = 1000
RIVAL_JOBS = 40
OURS = "launcher=basic, in a living worker"
HYDRA = "Hydra's own sweeper and launcher"
REPLACED = "replacing a dead worker"


def launch(count: int = 3) -> bool:
    """Measure what a job costs that does nothing: composed, run in a folder of its own with its `.hydra/`, returned.

    What is there once (the start of the worker, the first composition) is not part of it: it is the difference of a
    sweep of many jobs and a sweep of one.

    Args:
        count: Number of rounds.

    Returns:
        Whether the goals are reached.
    """
    register_resolvers()
    taken: dict[str, list[float]] = {OURS: [], HYDRA: [], REPLACED: [], "one millisecond": []}
    for _ in range(count):
        taken[OURS].append(_per_job(JOBS, "hydra/launcher=glassbox", "hydra/sweeper=grid", "launcher=basic"))
        taken[HYDRA].append(_per_job(RIVAL_JOBS, "hydra/launcher=basic", "hydra/sweeper=basic"))
        taken[REPLACED].append(_replacing())
        taken["one millisecond"].append(1e-3)
    goals = [Goal(OURS, "one millisecond", 5.0), Goal(OURS, HYDRA, 1 / 20)]
    return report("A job of a sweep that does nothing: ms", taken, goals, unit="ms", scale=1e3)


def nothing(cfg: Any) -> None:
    """Do nothing."""


def _per_job(jobs: int, *choices: str) -> float:
    """Return the seconds that each job of a sweep takes more."""
    return (_sweep(jobs + 1, choices) - _sweep(1, choices)) / jobs


def _sweep(jobs: int, choices: tuple[str, ...]) -> float:
    """Return the seconds of a sweep of jobs that do nothing."""
    with tempfile.TemporaryDirectory() as folder:
        overrides = [*choices, f"hydra.sweep.dir={folder}", "hydra.sweep.subdir=${hydra.job.num}"]
        overrides += ["hydra.output_subdir=.hydra", "optimizer=sgd", "lr=0.1", f"seed=range({jobs})"]
        started = time.perf_counter()
        multirun(CONF, "train", overrides, nothing)
        return time.perf_counter() - started


def _replacing() -> float:
    """Return the seconds from the death of a worker to the answer of the next job in a new one."""
    worker = Worker()
    list(worker.run(nothing, [None]))
    seconds = []
    for _ in range(3):
        assert next(worker.run(_die, [None]))[1] is not None
        started = time.perf_counter()
        list(worker.run(nothing, [None]))
        seconds.append(time.perf_counter() - started)
    worker.close()
    return sorted(seconds)[1]


def _die(payload: Callable[[], None]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
