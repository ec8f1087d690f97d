"""What W&B's client alone needs: the floor under everything that is tracked through it."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import wandb

from glassbox.tracking.wandb_run import LEAN


def bare_client(rows: Sequence[Mapping[str, float]], count: int, folder: Path) -> float:
    """Write offline runs with the client and nothing else: no config, no metric defined, no summary of one's own.

    The service behind the client is started before, and ended after; whoever has runs of their own in this process has
    ended them.

    Args:
        rows: The rows of each run, key → number.
        count: Number of runs, one after the other.
        folder: Where `wandb/` is made.

    Returns:
        Seconds of wall time for all of them, until their files are whole.
    """
    settings = wandb.Settings(**LEAN)
    _run([], folder, settings)  # the first one starts the service
    started = time.perf_counter()
    for _ in range(count):
        _run(rows, folder, settings)
    wandb.teardown()
    return time.perf_counter() - started


def _run(rows: Sequence[Mapping[str, float]], folder: Path, settings: wandb.Settings) -> None:
    run = wandb.init(project="bench", dir=str(folder), mode="offline", save_code=False, settings=settings)
    for row in rows:
        run.log(dict(row))
    run.finish()
