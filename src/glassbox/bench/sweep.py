"""A sweep of 1,024 runs with everything tracked: trained together, one by one, and what W&B alone takes for it."""

import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from glassbox.bench.client import bare_client
from glassbox.bench.engine import engine
from glassbox.bench.table import Goal, report
from glassbox.config.compose import composed, task_values
from glassbox.config.member import build_cohort, build_member
from glassbox.config.place import CONF, ROOT
from glassbox.population.memory import peak
from glassbox.tracking.metrics_csv import read

WHO_WINS = (
    "data=moons",
    "max_epochs=100",
    "optimizer=sgd,momentum,rmsprop,adam",
    "init=xavier,kaiming,orthogonal,normal",
    "lr=1e-4,3e-4,1e-3,3e-3,1e-2,3e-2,1e-1,3e-1",
)
ALONE = 8  # runs of launcher=basic
GROWING = (64, 512, 4096)
WIDTHS = (256, 512, 1024, 2048)
CLIENT, DIRECT = "together, W&B's client", "together, W&B's file written directly"
BASIC, BARE = "one by one (launcher=basic)", "W&B's client alone, the same rows"


def sweep() -> bool:
    """Measure all that vectorised sweeps are for: the engine, the sweep of 1,024 runs, its growth and its memory.

    Returns:
        Whether the goals are reached.
    """
    return all([engine(), who_wins(), growth(), memory()])


def who_wins(count: int = 1) -> bool:
    """Measure a run of the sweep, from the command to the last line, of sweeps that write the same files and rows.

    What a sweep costs once (imports, checks) is in the time of the large ones; of the one by one, which is measured by
    few runs, it is left out.

    Args:
        count: Number of rounds.

    Returns:
        Whether the goals are reached.
    """
    taken: dict[str, list[float]] = {name: [] for name in (BASIC, CLIENT, DIRECT, BARE)}
    with tempfile.TemporaryDirectory() as name:
        for number in range(count):
            folder = Path(name) / str(number)
            more = _seconds(
                folder / "basic", "launcher=basic", "optimizer=adam", "init=xavier", "lr=1e-2", seeds=ALONE + 1
            )
            one = _seconds(folder / "one", "launcher=basic", "optimizer=adam", "init=xavier", "lr=1e-2", seeds=1)
            taken[BASIC].append((more - one) / ALONE)
            taken[CLIENT].append(_seconds(folder / "client", *WHO_WINS) / 1024)
            taken[DIRECT].append(_seconds(folder / "direct", *WHO_WINS, "logger.writer=direct") / 1024)
            rows = read(next((folder / "one").glob("*/*/metrics.csv")))
            taken[BARE].append(bare_client(rows, 64, folder) / 64)
    goals = [Goal(CLIENT, BASIC, 1 / 50), Goal(DIRECT, BASIC, 1 / 100), Goal(CLIENT, BARE, 1.8)]
    title = "A run of the sweep of 1,024 (moons, 100 epochs of 19 steps, 100 rows): ms of wall time"
    return report(title, taken, goals, unit="ms", scale=1e3)


def growth(count: int = 1) -> bool:
    """Measure a run of sweeps that grow, W&B's file written directly.

    Args:
        count: Number of rounds.

    Returns:
        Whether a run costs no more in a large sweep than in a small one.
    """
    taken: dict[str, list[float]] = {f"{members} runs": [] for members in GROWING}
    with tempfile.TemporaryDirectory() as name:
        for number in range(count):
            for members in GROWING:
                words = (
                    "data=moons",
                    "max_epochs=100",
                    "lr=1e-4,3e-4,1e-3,3e-3,1e-2,3e-2,1e-1,3e-1",
                    "logger.writer=direct",
                )
                seconds = _seconds(Path(name) / f"{number}-{members}", *words, seeds=members // 8)
                taken[f"{members} runs"].append(seconds / members)
    names = list(taken)
    goals = [Goal(names[1], names[0], 1.0), Goal(names[2], names[1], 1.0)]
    return report("A run of a sweep of so many (Adam): ms of wall time", taken, goals, unit="ms", scale=1e3)


def memory() -> bool:
    """Measure what one more member takes at the peak of its training, in populations that grow.

    Returns:
        Whether it is the same number of bytes at every size, to a twentieth.
    """
    with tempfile.TemporaryDirectory() as name:
        os.environ["GLASSBOX_OUTPUTS"] = name
        values = task_values(composed(CONF, "train", ["data=moons", "trainer=cpu"]))
        cohort, datamodule = build_cohort(values)
        member = build_member(values, datamodule)
        peaks = [peak(cohort, datamodule, member, width) for width in WIDTHS]
    each = [(b - a) / (w - v) / 1024 for (a, b), (v, w) in zip(pairwise(peaks), pairwise(WIDTHS), strict=True)]
    for kib, (few, more) in zip(each, pairwise(WIDTHS), strict=True):
        print(f"memory: {kib:.1f} KiB of tensors for each member from {few} to {more} members")
    linear = max(each) <= 1.05 * min(each)
    print(f"linear, to a twentieth: {'reached' if linear else 'NOT REACHED'}\n")
    return linear


def _seconds(outputs: Path, *words: str, seeds: int = 8) -> float:
    """Return the wall time of a sweep, from the command to its last line."""
    command = [
        sys.executable,
        str(ROOT / "scripts" / "train.py"),
        "-m",
        "study=who-wins",
        "report=false",
        *words,
        f"seed=range({seeds})",
    ]
    started = time.perf_counter()
    subprocess.run(command, env=os.environ | {"GLASSBOX_OUTPUTS": str(outputs)}, check=True, capture_output=True)
    return time.perf_counter() - started
