"""The runs of a leaderboard by one factor or two: what heat maps and sensitivities show."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from glassbox.compare.factor import SEED, value_of
from glassbox.compare.leaderboard import Leaderboard
from glassbox.compare.run import Run
from glassbox.compare.scale import Scale, scale_of
from glassbox.compare.statistic import Mean

LINES = 8  # as many as there are colours


@dataclass(frozen=True)
class Cell:
    """The runs with some values of factors.

    Attributes:
        mean: Mean of the metric over all of its runs that have one.
        best: Mean over seeds of its best config.
        config: The values of that config.
        lost: Status → number of runs without a value.
    """

    mean: Mean
    best: Mean
    config: str
    lost: Mapping[str, int]


@dataclass(frozen=True)
class Grid:
    """The cells of two factors.

    Attributes:
        rows: The one, from bottom to top.
        columns: The other, from left to right.
        cells: (row, column) → its runs; none where there are none.
    """

    rows: Scale
    columns: Scale
    cells: Mapping[tuple[int, int], Cell]


def grids(board: Leaderboard) -> list[Grid]:
    """Return the cells of each pair of factors, the learning rate first.

    Args:
        board: The leaderboard.
    """
    scales = sorted(scales_of(board), key=lambda scale: scale.key != "lr")[:4]
    pairs = [(row, column) for i, column in enumerate(scales) for row in scales[i + 1 :]]
    return [grid(board, row, column) for column, row in ((c, r) if _wide(c, r) else (r, c) for r, c in pairs)]


def grid(board: Leaderboard, rows: Scale, columns: Scale) -> Grid:
    """Return the cells of two factors.

    Args:
        board: The leaderboard.
        rows: The one.
        columns: The other.
    """
    found: dict[tuple[int, int], list[Run]] = {}
    for run in _runs(board):
        found.setdefault((rows.place(run), columns.place(run)), []).append(run)
    return Grid(rows, columns, {place: _cell(board, runs) for place, runs in found.items()})


def sensitivity(board: Leaderboard) -> Grid | None:
    """Return the cells of the learning rate, a row per optimizer; None where no number has two values.

    Where it is another number or choice that varies, that takes their place.

    Args:
        board: The leaderboard.
    """
    scales = scales_of(board)
    numeric = [scale for scale in scales if scale.ordered]
    if not numeric:
        return None
    columns = min(numeric, key=lambda scale: scale.key != "lr")
    others = [scale for scale in scales if scale.key != columns.key and len(scale) <= LINES]
    rows = min(others, key=lambda scale: (scale.key != "optimizer", scale.ordered), default=None)
    return grid(board, rows or Scale("", ("all",), (math.nan,), {None: 0}, False), columns)


def scales_of(board: Leaderboard) -> list[Scale]:
    """Return the factors of a leaderboard that have two levels or more."""
    runs = _runs(board)
    found = [scale_of(runs, key) for key in (*board.keys, *board.averaged)]
    return [scale for scale in found if len(scale) > 1]


def _wide(columns: Scale, rows: Scale) -> bool:
    return columns.key == "lr" or len(columns) >= len(rows)


def _runs(board: Leaderboard) -> list[Run]:
    return [run for group in board.groups for run in group.runs]


def _cell(board: Leaderboard, runs: Sequence[Run]) -> Cell:
    valued = [run for run in runs if _valued(run, board.metric)]
    configs: dict[tuple[str, ...], list[float]] = {}
    keys = [key for key in (*board.keys, *board.averaged) if key != SEED]
    for run in valued:
        config = tuple(f"{key}={value_of(run.config, key)}" for key in keys)
        configs.setdefault(config, []).append(run.values[board.metric])
    means = {config: Mean.of(values) for config, values in configs.items()}
    sign = 1 if board.mode == "min" else -1
    best = min(means, key=lambda c: (math.isnan(means[c].mean), sign * means[c].mean), default=())
    statuses = [run.status for run in runs if not _valued(run, board.metric)]
    lost = Counter("without the metric" if status == "finished" else status for status in statuses)
    return Cell(
        Mean.of([run.values[board.metric] for run in valued]), means.get(best, Mean.of([])), " ".join(best), dict(lost)
    )


def _valued(run: Run, metric: str) -> bool:
    return run.status == "finished" and run.value(metric) is not None
