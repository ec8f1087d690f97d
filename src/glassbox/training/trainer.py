"""What a run asks of Lightning beside its loop: seeds, its own callbacks, and the run folder as the only place."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.profilers import PassThroughProfiler

from glassbox.training.checkpoint import AtomicCheckpointIO
from glassbox.training.curves import Curves, RunLogger
from glassbox.training.progress import EpochBar

DataModule = pl.LightningDataModule
Module = pl.LightningModule
Trainer = pl.Trainer

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
    warnings.filterwarnings("ignore", "`isinstance\\(treespec, LeafSpec\\)` is deprecated")


def options(curves: Curves, callbacks: Sequence[Callback]) -> dict[str, Any]:
    """Return the Trainer's arguments that belong to every run, whatever its config.

    Args:
        curves: The callback that writes the curves.
        callbacks: The callbacks of the config.
    """
    return {
        "callbacks": [EpochBar(), curves, *callbacks],
        "logger": RunLogger(),
        "plugins": [AtomicCheckpointIO()],
        "log_every_n_steps": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
    }


def place(trainer: Trainer, folder: Path) -> None:
    """Tell a Trainer, its checkpoints and its profiler where the run folder is.

    Args:
        trainer: The Trainer, before it has trained.
        folder: The run folder.
    """
    trainer._default_root_dir = str(folder)
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
            callback.dirpath = str(folder / "checkpoints")
    profiler: Any = trainer.profiler  # type: ignore[attr-defined]
    if not isinstance(profiler, PassThroughProfiler):
        profiler.dirpath, profiler.filename = str(folder), "profile"
