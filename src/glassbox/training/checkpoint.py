"""Checkpoints that are whole or absent, whenever the process dies."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint to a temporary file beside its target, flush it to the disk, then rename it.

    A rename within one folder is atomic, so a reader sees the old checkpoint or the new one, never half of one. An
    error while writing (a full disk, no permission) is raised, and the old checkpoint stays.

    Args:
        sync: Whether to wait for the disk; who writes many runs leaves it out and calls `os.sync` once.

    Example:
        >>> import contextlib, tempfile
        >>> file = Path(tempfile.mkdtemp()) / "last.ckpt"
        >>> AtomicCheckpointIO().save_checkpoint({"epoch": 3}, file)
        >>> with contextlib.suppress(Exception):
        ...     AtomicCheckpointIO().save_checkpoint({"epoch": lambda: "no number"}, file)  # cannot be written
        >>> load(file)
        {'epoch': 3}
    """

    def __init__(self, sync: bool = True) -> None:
        super().__init__()
        self._sync = sync

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write `checkpoint` to `path`.

        Raises:
            OSError: The checkpoint cannot be written.
        """
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                if self._sync:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running any code that it might hold (`weights_only=True`).

    Args:
        path: The checkpoint.

    Returns:
        Tensors, numbers, strings and containers of them.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "last.ckpt"
        >>> torch.save({"epoch": 3, "weight": torch.ones(2)}, file)
        >>> load(file)
        {'epoch': 3, 'weight': tensor([1., 1.])}
    """
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return checkpoint
