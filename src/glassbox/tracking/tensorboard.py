"""TensorBoard event files in the run folder."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from glassbox.errors import BadInput


class TensorBoardRun:
    """Follow a run with TensorBoard.

    Args:
        folder: The run folder.

    Example:
        >>> import tempfile
        >>> board = TensorBoardRun(Path(tempfile.mkdtemp()))
        >>> board.log({"val/loss": 0.5}, epoch=0)  # before `start`, nothing is written
        >>> list(board.folder.iterdir())
        []
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer: Any = None

    @staticmethod
    def check() -> None:
        """Check that TensorBoard is installed.

        Raises:
            BadInput: It is not.
        """
        if importlib.util.find_spec("tensorboard") is None:
            raise BadInput("logger=tensorboard needs an extra: pip install 'glassbox[tensorboard]'")

    def start(
        self,
        *,
        name: str,
        study: str,
        config: Mapping[str, Any],
        tags: list[str],
        notes: str | None,
        started: float | None = None,
    ) -> None:
        """Open the event file."""
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(self.folder))

    @property
    def experiment(self) -> Any:
        """The SummaryWriter, for pictures and tables of your own."""
        return self.writer

    def log(self, row: dict[str, float], epoch: int) -> None:
        """Write the row of an epoch."""
        if self.writer is not None:
            for key, value in row.items():
                self.writer.add_scalar(key, value, epoch)

    def log_all(self, rows: Mapping[int, dict[str, float]], began: float, times: Sequence[float]) -> None:
        """Write all rows of a run that has ended."""
        for epoch, row in rows.items():
            self.log(row, epoch)

    def summary(self, values: dict[str, float]) -> None:
        """Write values that belong to the run as a whole."""
        self.log(values, 0)

    def image(self, key: str, path: Path) -> None:
        """Write a picture."""
        if self.writer is not None:
            import numpy as np
            from PIL import Image

            with Image.open(path) as picture:
                self.writer.add_image(key, np.asarray(picture.convert("RGB")), dataformats="HWC")

    def close(self, exit_code: int) -> None:
        """Close the event file."""
        if self.writer is not None:
            self.writer.close()
            self.writer = None
