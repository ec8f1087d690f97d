"""The boundary of a finished run: its grid, its picture, and both where the trackers can show them."""

from collections.abc import Sequence
from pathlib import Path

import lightning.pytorch as pl

from glassbox import drawing
from glassbox.data.module import TableModule
from glassbox.tracking.tracker import Tracker
from glassbox.training.boundary import save_boundary


def draw_boundary(
    folder: Path, module: pl.LightningModule, datamodule: pl.LightningDataModule, trackers: Sequence[Tracker]
) -> Path | None:
    """Write `boundary.npz` and `boundary.png` of a module into a run folder, and show the picture to the trackers.

    Args:
        folder: The run folder.
        module: It holds the weights to draw.
        datamodule: The data; drawn if it is a table of two features whose target has classes.
        trackers: Who gets the picture.

    Returns:
        The picture; None if there is nothing to draw.
    """
    if not isinstance(datamodule, TableModule) or datamodule.in_features != 2 or datamodule.table.classes is None:
        return None
    table = datamodule.table
    module.eval()
    dtype, device = next(module.parameters()).dtype, module.device
    save_boundary(
        folder / "boundary.npz",
        lambda raw: module(datamodule.standardize(raw).to(device=device, dtype=dtype)),
        table.features,
        table.target,
        table.feature_names,
        table.classes,
    )
    picture = folder / "boundary.png"
    drawing.boundary(folder / "boundary.npz", picture)
    for tracker in trackers:
        tracker.image("boundary", picture)
    return picture
