"""What everybody who follows a run can do."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol


class Tracker(Protocol):
    """Follow one run: its curves, its pictures, its end.

    Example:
        >>> class Printed(Tracker):
        ...     def log(self, row, epoch):
        ...         print(epoch, row)
        >>> Printed().log({"val/loss": 0.5}, epoch=0)
        0 {'val/loss': 0.5}
    """

    def log(self, row: dict[str, float], epoch: int) -> None:
        """Take the row of an epoch: metric key → value."""

    def log_all(self, rows: Mapping[int, dict[str, float]], began: float, times: Sequence[float]) -> None:
        """Take all rows of a run that has ended, epoch → row.

        Args:
            rows: Epoch → row.
            began: When the run began, in seconds of the Unix clock.
            times: When the row of each epoch was there.
        """

    def summary(self, values: dict[str, float]) -> None:
        """Take values that belong to the run as a whole, such as its test metrics."""

    def image(self, key: str, path: Path) -> None:
        """Take a picture."""

    def close(self, exit_code: int) -> None:
        """The run has ended with this exit code."""
