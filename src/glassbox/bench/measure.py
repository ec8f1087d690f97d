"""The three benchmarks: one optimizer step, one whole run, the start of the program."""

import logging
import os
import resource
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from glassbox.bench.table import Goal, report, rounds
from glassbox.config.compose import composed, task_values
from glassbox.config.place import CONF, ROOT

STEPS = 320
EPOCHS = 5


def step(count: int = 7) -> bool:
    """Measure one optimizer step: ours against the raw loop and the plain way of using Lightning.

    Args:
        count: Number of rounds.

    Returns:
        Whether the goals are reached.
    """
    import torch

    from glassbox.bench.rival import plain_lightning, raw_loop
    from glassbox.config.job import prepare, start_trackers
    from glassbox.tracking.name import run_name
    from glassbox.training.trainer import place

    _quiet()
    torch.set_num_threads(1)
    rows = STEPS * 32
    overrides = [
        "data=moons",
        f"data.samples={rows + 40}",
        f"data.split=[{rows / (rows + 40)},{20 / (rows + 40)},{20 / (rows + 40)}]",
    ]
    overrides += [
        f"max_epochs={EPOCHS}",
        "trainer.limit_val_batches=0",
        "callbacks=none",
        "trainer.accelerator=cpu",
    ]
    values = _values(overrides)
    job = prepare(values, values)
    x, y = (tensor.clone() for tensor in job.datamodule.train_dataloader().tensors)
    assert len(x) == rows
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def ours() -> Callable[[], None]:
            """Everything that an epoch of the default job does, but validation and checkpoints."""
            job = prepare(values, values)
            run = folder / run_name([])
            run.mkdir()
            job.curves.trackers = start_trackers(values, values, run)
            place(job.trainer, run)
            return lambda: job.trainer.fit(job.module, datamodule=job.datamodule)

        ways = {
            "raw PyTorch loop, DataLoader": lambda: lambda: raw_loop(x, y, EPOCHS),
            "plain Lightning, DataLoader, log per step": lambda: plain_lightning(x, y, EPOCHS, folder),
            "Glassbox, default curves": ours,
        }
        taken = rounds(ways, count)
    goals = [
        Goal("Glassbox, default curves", "raw PyTorch loop, DataLoader", 1.6),
        Goal("Glassbox, default curves", "plain Lightning, DataLoader, log per step", 0.6),
    ]
    title = f"One optimizer step, TinyNet, batch 32, Adam, {EPOCHS} epochs of {STEPS} steps: µs of CPU"
    return report(title, taken, goals, per=STEPS * EPOCHS, unit="µs", scale=1e6)


def run(count: int = 5) -> bool:
    """Measure the whole default job, after imports, against a raw loop that validates and saves as often.

    Args:
        count: Number of rounds.

    Returns:
        Whether the goal is reached.
    """
    import torch

    from glassbox.bench.rival import raw_run
    from glassbox.config.job import execute, open_record, prepare
    from glassbox.tracking.name import run_name

    _quiet()
    torch.set_num_threads(1)
    values = _values(["trainer.accelerator=cpu"])
    epochs = values["max_epochs"]
    datamodule = prepare(values, values).datamodule
    train = tuple(tensor.clone() for tensor in datamodule.train_dataloader().tensors)
    val = tuple(tensor.clone() for tensor in datamodule.val_dataloader().tensors)
    with tempfile.TemporaryDirectory() as name:
        os.environ["GLASSBOX_OUTPUTS"] = name
        raw = Path(name) / "raw"
        raw.mkdir()

        def one(folder: Path) -> object:
            job = prepare(values, values)
            return execute(
                job, open_record(values, values, job.identity, folder, root=ROOT, overrides=[], hydra={}, command=[])
            )

        def ours() -> Callable[[], object]:
            """The default job as scripts/train.py does it, from its config to its picture."""
            folder = Path(name) / "bench" / run_name([])
            folder.mkdir(parents=True)
            return lambda: one(folder)

        taken = rounds(
            {
                "raw loop that validates and saves": lambda: lambda: raw_run(train, val, epochs, raw),
                "Glassbox, the default job": ours,
            },
            count,
        )
    goal = Goal("Glassbox, the default job", "raw loop that validates and saves", 3.0)
    return report(f"The default job, {epochs} epochs, after imports: seconds of CPU", taken, [goal])


def start(count: int = 5) -> bool:
    """Measure how long the program takes to answer, and to reach its first training step.

    Args:
        count: Number of rounds.

    Returns:
        Whether the goals are reached.
    """
    train = [sys.executable, str(ROOT / "scripts" / "train.py")]
    first = [
        *train,
        "logger=wandb",
        "max_epochs=1",
        "trainer.limit_train_batches=1",
        "+callbacks.stop._target_=glassbox.bench.stop.StopAtFirstStep",
    ]
    commands = {
        "import torch, lightning, hydra, wandb": [
            sys.executable,
            "-c",
            "import torch, lightning, hydra, wandb",
        ],
        "command to first training step": first,
        "--help": [*train, "--help"],
        "--cfg job": [*train, "--cfg", "job"],
        "a mistyped override": [*train, "optimzer=adam"],
        "one second": [],
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as name:
        environment = os.environ | {"GLASSBOX_OUTPUTS": name}
        for number in range(count + 1):
            for key, command in commands.items():
                seconds = _cpu(command, environment) if command else 1.0
                if number:
                    taken[key].append(seconds)
    goals = [Goal("command to first training step", "import torch, lightning, hydra, wandb", 1.3)]
    goals += [Goal(key, "one second", 1.0) for key in ("--help", "--cfg job", "a mistyped override")]
    return report("The start of the program: seconds of CPU", taken, goals)


def _cpu(command: list[str], environment: dict[str, str]) -> float:
    """Return the CPU seconds, user and system, of a command and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _values(overrides: list[str]) -> dict[str, Any]:
    return task_values(composed(CONF, "train", overrides))


def _quiet() -> None:
    """Keep Lightning's remarks, the same for all ways, out of the tables."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning.*")
