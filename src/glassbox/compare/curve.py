"""The curves of many runs, read from their metrics.csv in one go."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Curves:
    """The rows of many metrics.csv.

    Attributes:
        frame: One row per run and epoch: `run`, which counts the folders that were given, `epoch`, and the metrics;
            NaN where a run has no such metric.
        torn: Files that end within a line, which is left out.
        unread: Files that are no table of numbers.
    """

    frame: pd.DataFrame
    torn: int = 0
    unread: tuple[Path, ...] = ()

    @property
    def metrics(self) -> list[str]:
        """The metrics, those on the validation split first."""
        names = [name for name in self.frame.columns if name not in ("run", "epoch")]
        return sorted(names, key=lambda name: (not name.startswith("val/"), name != "train/loss"))


def read_curves(folders: Sequence[Path]) -> Curves:
    r"""Read the curves of runs; a folder without a metrics.csv has none.

    Files with the same header are parsed as one, which is ten times faster than one by one.

    Args:
        folders: Run folders.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "metrics.csv").write_text("epoch,val/loss\n0,0.5\n1,0.")
        >>> curves = read_curves([folder])
        >>> curves.frame.to_dict("list"), curves.torn
        ({'run': [0], 'epoch': [0], 'val/loss': [0.5]}, 1)
    """
    paths = [folder / "metrics.csv" for folder in folders]
    tables: dict[bytes, dict[int, bytes]] = {}
    torn = 0
    for run, path in enumerate(paths):
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            continue
        whole = text[: text.rfind(b"\n") + 1]
        torn += len(whole) < len(text)
        header, _, body = whole.partition(b"\n")
        if body:
            tables.setdefault(header, {})[run] = body
    unread: list[int] = []
    frames = [_parsed(header, bodies, unread) for header, bodies in tables.items()]
    found = [frame for frame in frames if not frame.empty]
    empty = pd.DataFrame({"run": [], "epoch": []}, dtype=np.int64)
    frame = pd.concat(found, ignore_index=True) if found else empty
    return Curves(frame, torn, tuple(paths[run] for run in unread))


def _parsed(header: bytes, bodies: dict[int, bytes], unread: list[int]) -> pd.DataFrame:
    """Return the rows of files with one header; if that fails, those that can be read by themselves."""
    text = io.BytesIO(header + b"\n" + b"".join(bodies.values()))
    try:
        frame = pd.read_csv(text, dtype=np.float64, index_col=False, skip_blank_lines=False)
        frame["epoch"] = frame["epoch"].astype(np.int64)
    except (ValueError, KeyError):
        if len(bodies) == 1:
            unread.extend(bodies)
            return pd.DataFrame()
        return pd.concat([_parsed(header, {run: body}, unread) for run, body in bodies.items()], ignore_index=True)
    frame.insert(0, "run", np.repeat(list(bodies), [body.count(b"\n") for body in bodies.values()]))
    return frame
