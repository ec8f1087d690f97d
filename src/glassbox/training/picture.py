"""The boundary of a finished run: its grid, its picture, and both where the trackers can show them."""

from collections.abc import Sequence
from pathlib import Path

import lightning.pytorch as pl
from torch import Tensor

from glassbox import drawing
from glassbox.data.module import TableModule
from glassbox.tracking.tracker import Tracker
from glassbox.training.boundary import save_boundary


def draw_boundary(
    folder: Path,
    module: pl.LightningModule,
    datamodule: pl.LightningDataModule,
    trackers: Sequence[Tracker],
    *,
    picture: bool = True,
    logits: Tensor | None = None,
) -> None:
    """Write `boundary.npz` of a module into a run folder, draw `boundary.png` from it, and show it to the trackers.

    Args:
        folder: The run folder.
        module: It holds the weights to draw.
        datamodule: The data; drawn if it is a table of two features whose target has classes.
        trackers: Who gets the picture.
        picture: Whether it is drawn; it takes longer than a small run.
        logits: The outputs of the module on the grid, where they are known [M, C].
    """
    if not isinstance(datamodule, TableModule) or datamodule.in_features != 2 or datamodule.table.classes is None:
        return
    table = datamodule.table
    module.eval()
    dtype, device = next(module.parameters()).dtype, module.device

    def predict(raw: Tensor) -> Tensor:
        output: Tensor = module(datamodule.standardize(raw).to(device=device, dtype=dtype))
        return output

    save_boundary(
        folder / "boundary.npz",
        predict if logits is None else lambda raw: logits,
        table.features,
        table.target,
        table.feature_names,
        table.classes,
    )
    if picture:
        drawing.boundary(folder / "boundary.npz", folder / "boundary.png")
        for tracker in trackers:
            tracker.image("boundary", folder / "boundary.png")
