"""Curves with bands: one per config over its seeds, or, of many configs, one per level of a factor."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from glassbox.compare.cell import scales_of
from glassbox.compare.curve import Curves, read_curves
from glassbox.compare.factor import shown
from glassbox.compare.leaderboard import Group, Leaderboard
from glassbox.compare.run import Run
from glassbox.compare.scale import Scale

CONFIGS = 12  # more than so many are drawn level by level
EPOCHS = 200  # more than so many are thinned out
NARROW, WIDE = 0.25, 0.75  # the middle half of the configs


@dataclass(frozen=True)
class Band:
    """A curve of each metric, with a band.

    Attributes:
        name: What it is of.
        n: Number of runs, or of configs.
        values: Metric → middle, low and high of each epoch [3, T]; NaN where there is none.
    """

    name: str
    n: int
    values: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Line:
    """How a view shows a band.

    Attributes:
        band: Which one.
        level: Which level of the view's factor it has.
    """

    band: int
    level: int


@dataclass(frozen=True)
class View:
    """Bands, coloured by a factor.

    Attributes:
        scale: The factor; None where each config has a colour of its own, or all have the same.
        lines: The bands.
    """

    scale: Scale | None
    lines: Sequence[Line]


@dataclass(frozen=True)
class Bands:
    """The curves of a study.

    Attributes:
        epochs: The epochs [T].
        metrics: The metrics.
        bands: The curves.
        views: Name → which of them are shown, and how they are coloured.
        each: Whether each band is one config, so that its band is that of its seeds.
        best: The band of the best config, where the others are of many configs.
        curves: What was read.
    """

    epochs: np.ndarray
    metrics: Sequence[str]
    bands: Sequence[Band]
    views: Mapping[str, View]
    each: bool
    best: int | None
    curves: Curves


def bands_of(board: Leaderboard) -> Bands:
    """Read the curves of a leaderboard's runs and average them: over seeds, and with many configs over these.

    Args:
        board: The leaderboard. Its finished runs are read, or all where none is.
    """
    groups = [group for group in board.groups if _used(group, board)]
    members = [_used(group, board) for group in groups]
    counts = [len(runs) for runs in members]
    curves = read_curves([run.folder for runs in members for run in runs])
    owner = np.repeat(np.arange(len(groups)), counts)
    frame = _thinned(curves.frame)
    frame = frame.assign(level=owner[frame["run"].to_numpy(dtype=np.int64)])
    epochs = np.unique(frame["epoch"].to_numpy(dtype=np.int64))
    metrics = sorted(curves.metrics, key=lambda metric: metric != board.metric)
    names = [_name(board, group) for group in groups]
    scales = [scale for scale in scales_of(board) if scale.key in board.keys and _colours(scale)]
    places = {scale.key: np.array([scale.place(runs[0]) for runs in members]) for scale in scales}
    if len(groups) <= CONFIGS:
        bands = _over_seeds(frame, metrics, epochs, names, counts)
        views = {s.key: View(s, [Line(i, int(level)) for i, level in enumerate(places[s.key])]) for s in scales}
        if len(scales) != 1 or len(groups) != len(scales[0]):
            views = {"config": View(None, [Line(i, i) for i in range(len(groups))]), **views}
        return Bands(epochs, metrics, bands, views, True, None, curves)
    bands = _over_seeds(frame[frame["level"] == 0], metrics, epochs, [f"best: {names[0]}"], counts[:1])
    means = frame.groupby(["level", "epoch"], as_index=False)[metrics].mean()
    views = {}
    for scale in scales or [Scale("config", ("all configs",), (math.nan,), {}, False)]:
        place = places.get(scale.key, np.zeros(len(groups), dtype=np.int64))
        leveled = means.assign(level=place[means["level"].to_numpy(dtype=np.int64)])
        configs = np.bincount(place, minlength=len(scale)).tolist()
        views[scale.key] = View(scale, [Line(len(bands) + i, i) for i in range(len(scale))])
        bands += _over_configs(leveled, metrics, epochs, scale.labels, configs)
    return Bands(epochs, metrics, bands, views, False, 0, curves)


def _colours(scale: Scale) -> bool:
    return scale.ordered or len(scale) <= CONFIGS


def _used(group: Group, board: Leaderboard) -> Sequence[Run]:
    return group.finished if board.ranked else group.runs


def _name(board: Leaderboard, group: Group) -> str:
    words = (f"{key}={shown(value)}" for key, value in zip(board.keys, group.values, strict=True))
    return " ".join(words) or "all runs"


def _thinned(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep so many epochs as a picture can show, the last among them."""
    epochs = np.unique(frame["epoch"].to_numpy(dtype=np.int64))
    if len(epochs) <= EPOCHS:
        return frame
    kept = epochs[np.linspace(0, len(epochs) - 1, EPOCHS).round().astype(int)]
    return frame[frame["epoch"].isin(kept)]


def _over_seeds(
    frame: pd.DataFrame, metrics: Sequence[str], epochs: np.ndarray, names: Sequence[str], counts: Sequence[int]
) -> list[Band]:
    """Return mean, smallest and largest value over the runs of each config."""
    grouped = frame.groupby(["level", "epoch"])[list(metrics)]
    return _bands([grouped.mean(), grouped.min(), grouped.max()], metrics, epochs, names, counts)


def _over_configs(
    frame: pd.DataFrame, metrics: Sequence[str], epochs: np.ndarray, names: Sequence[str], counts: Sequence[int]
) -> list[Band]:
    """Return median and quartiles over the configs of each level."""
    grouped = frame.groupby(["level", "epoch"])[list(metrics)]
    return _bands([grouped.quantile(q) for q in (0.5, NARROW, WIDE)], metrics, epochs, names, counts)


def _bands(
    tables: Sequence[pd.DataFrame],
    metrics: Sequence[str],
    epochs: np.ndarray,
    names: Sequence[str],
    counts: Sequence[int],
) -> list[Band]:
    index = pd.MultiIndex.from_product([range(len(names)), epochs], names=["level", "epoch"])
    whole = np.stack([table.reindex(index)[list(metrics)].to_numpy(dtype=np.float64) for table in tables])
    whole = whole.reshape(3, len(names), len(epochs), len(metrics))
    return [
        Band(name, int(n), {metric: whole[:, i, :, m] for m, metric in enumerate(metrics)})
        for i, (name, n) in enumerate(zip(names, counts, strict=True))
    ]
