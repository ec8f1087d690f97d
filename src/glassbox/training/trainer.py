"""What a run asks of Lightning beside its loop: seeds, its own callbacks, and the run folder as the only place."""

import logging
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.callbacks import Callback, Checkpoint, ModelCheckpoint
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher, _SubprocessScriptLauncher

from glassbox.training.checkpoint import AtomicCheckpointIO
from glassbox.training.curves import Curves, RunLogger
from glassbox.training.progress import EpochBar

DataModule = pl.LightningDataModule
Module = pl.LightningModule
Trainer = pl.Trainer

NOTHING = nullcontext()

# What a constructor of torch or Lightning raises when its arguments do not fit.
REFUSALS = (TypeError, ValueError, MisconfigurationException)


def seed_all(seed: int) -> None:
    """Seed torch, numpy, Python and the workers of data loaders.

    Args:
        seed: From 0 to 2^32 - 1.
    """
    pl.seed_everything(seed, workers=True, verbose=False)


def hush() -> None:
    """Keep Lightning's remarks out of the terminal; its warnings stay, and train.log has both."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # Lightning 2.6 with torch 2.13: a deprecation between the two of them (2026-11).
    warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated")
    # On a machine that belongs to a Slurm cluster, where one process is all that is wanted.
    warnings.filterwarnings("ignore", r"The `srun` command is available on your system but is not used")
    # Before the first validation there is nothing to monitor yet; once it has run, a missing key is an error.
    warnings.filterwarnings("ignore", r"`ModelCheckpoint\(monitor=.*could not find the monitored key")


class NoProfiler(PassThroughProfiler):
    """Profile nothing, at no cost: Lightning asks thirty times a step, and its own way makes a generator each time."""

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        """Return the one context that does nothing."""
        return NOTHING


def options(curves: Curves, callbacks: Sequence[Callback], profiler: Any = None) -> dict[str, Any]:
    """Return the Trainer's arguments that belong to every run, whatever its config.

    Args:
        curves: The callback that writes the curves.
        callbacks: The callbacks of the config.
        profiler: The profiler of the config.
    """
    return {
        "callbacks": [EpochBar(), curves, *callbacks],
        "logger": RunLogger(),
        # A Slurm job is one run on one machine, which is not asked what other tasks it has.
        "plugins": [AtomicCheckpointIO(), LightningEnvironment()],
        "log_every_n_steps": 1,
        "sync_batchnorm": True,  # on several devices it normalises by the whole batch
        "use_distributed_sampler": False,  # it would repeat rows; processes share out each batch
        "profiler": profiler or NoProfiler(),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        # `curves` is a Checkpoint for Lightning, so that it adds none of its own.
        "enable_checkpointing": True,
    }


def only_training(trainer: Trainer) -> None:
    """Take away what writes, so that a Trainer only trains: checkpoints and curves.

    Args:
        trainer: The Trainer, before it has trained.
    """
    kept = [c for c in trainer.callbacks if not isinstance(c, Checkpoint)]  # type: ignore[attr-defined]
    trainer.callbacks[:] = kept  # type: ignore[attr-defined]


def has_accelerator(name: str) -> bool:
    """Return whether the machine has an accelerator that torch can use.

    Args:
        name: `cuda`, `mps` or `tpu`.
    """
    return bool(AcceleratorRegistry.get(name).is_available())


def starts_processes(trainer: Trainer) -> bool:
    """Return whether a Trainer wants a process per device, which `in_processes` starts.

    Args:
        trainer: The Trainer.
    """
    return isinstance(trainer.strategy.launcher, _MultiProcessingLauncher)


def starts_the_script_again(trainer: Trainer) -> bool:
    """Return whether a Trainer would start one process per device by running the command line again.

    Such processes would make run folders of their own.

    Args:
        trainer: The Trainer.
    """
    return isinstance(trainer.strategy.launcher, _SubprocessScriptLauncher)


def place(trainer: Trainer, folder: Path) -> None:
    """Tell a Trainer, its checkpoints and its profiler where the run folder is.

    Args:
        trainer: The Trainer, before it has trained.
        folder: The run folder.
    """
    trainer._default_root_dir = str(folder)  # type: ignore[attr-defined]
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
            callback.dirpath = str(folder / "checkpoints")
    profiler: Any = trainer.profiler  # type: ignore[attr-defined]
    if not isinstance(profiler, PassThroughProfiler):
        profiler.dirpath, profiler.filename = str(folder), "profile"
