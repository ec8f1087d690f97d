"""`metrics.csv`: one row per epoch, only ever longer; `timing.csv` beside it has what a clock says."""

import csv
import io
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from glassbox.tracking.record import write_atomic


class MetricsCsv:
    """Append the rows of one run to its metrics.csv.

    Each row is one write to a file opened for it, so that a killed run has every epoch that it told of. Numbers are
    written so that reading gives the same bits.

    Args:
        folder: The run folder.

    Example:
        >>> import tempfile
        >>> curves = MetricsCsv(Path(tempfile.mkdtemp()))
        >>> curves.log({"val/loss": 0.5}, epoch=0)
        >>> curves.path.read_text().splitlines()
        ['epoch,val/loss', '0,0.5']
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "metrics.csv"
        self.timing = folder / "timing.csv"
        self._started = self._last = time.perf_counter()
        self._columns: list[str] | None = None

    @staticmethod
    def check() -> None:
        """It needs nothing."""

    def log(self, row: dict[str, float], epoch: int) -> None:
        """Append the row of an epoch; a key that is new becomes a new column.

        Args:
            row: Metric key → value.
            epoch: The epoch, from 0.
        """
        values: dict[str, Any] = {"epoch": epoch} | {key: repr(float(row[key])) for key in sorted(row)}
        if self._columns is None:
            self._columns = _columns(self.path)
        new = [key for key in values if key not in self._columns]
        if new:
            self._columns += new
            rows = [*_rows(self.path), values]
            write_atomic(self.path, _text(rows, self._columns, header=True))
        else:
            _append(self.path, _text([values], self._columns, header=False))
        now = time.perf_counter()
        timing = {"epoch": epoch, "seconds": f"{now - self._last:.6f}", "since_start": f"{now - self._started:.6f}"}
        _append(self.timing, _text([timing], list(timing), header=not self.timing.exists()))
        self._last = now

    def log_all(self, rows: Mapping[int, dict[str, float]], began: float, times: Sequence[float]) -> None:
        """Write the rows of a run that has ended, as `log` would have.

        Args:
            rows: Epoch → row.
            began: When the run began, in seconds of the Unix clock.
            times: When the row of each epoch was there.

        Example:
            >>> import tempfile
            >>> curves = MetricsCsv(Path(tempfile.mkdtemp()))
            >>> curves.log_all({0: {"val/loss": 0.5}, 1: {"val/loss": 0.25}}, 10.0, [10.5, 11.25])
            >>> curves.path.read_text().splitlines(), curves.timing.read_text().splitlines()[-1]
            (['epoch,val/loss', '0,0.5', '1,0.25'], '1,0.750000,1.250000')
        """
        columns = ["epoch", *dict.fromkeys(key for row in rows.values() for key in sorted(row))]
        texts = [{"epoch": epoch} | {key: repr(float(row[key])) for key in row} for epoch, row in rows.items()]
        write_atomic(self.path, _text(texts, columns, header=True), sync=False)
        timing = [
            {"epoch": epoch, "seconds": f"{time - before:.6f}", "since_start": f"{time - began:.6f}"}
            for epoch, time, before in zip(rows, times, [began, *times], strict=False)
        ]
        write_atomic(self.timing, _text(timing, ["epoch", "seconds", "since_start"], header=True), sync=False)

    def cut(self, epoch: int) -> None:
        """Drop the rows after an epoch, for a run that goes on from its checkpoint.

        Args:
            epoch: The last epoch to keep.
        """
        columns = _columns(self.path)
        rows = [row for row in _rows(self.path) if int(row["epoch"]) <= epoch]
        write_atomic(self.path, _text(rows, columns, header=True))

    def summary(self, values: dict[str, float]) -> None:
        """What belongs to the run as a whole is in run.json."""

    def image(self, key: str, path: Path) -> None:
        """Pictures lie beside it."""

    def close(self, exit_code: int) -> None:
        """Every row is on the disk already."""


def read(path: Path) -> list[dict[str, float]]:
    r"""Read the rows of a metrics.csv; a torn last line is left out.

    Args:
        path: The file.

    Returns:
        One dict per epoch: `epoch` and the metrics that it has.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "metrics.csv"
        >>> _ = file.write_text("epoch,val/loss\n0,0.5\n1,0.")
        >>> read(file)
        [{'epoch': 0.0, 'val/loss': 0.5}]
    """
    return [{key: float(value) for key, value in row.items() if value != ""} for row in _rows(path)]


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    return list(csv.DictReader(io.StringIO(whole)))


def _columns(path: Path) -> list[str]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file), [])


def _text(rows: Iterable[dict[str, Any]], columns: list[str], *, header: bool) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
