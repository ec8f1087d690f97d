"""The figures of a report as plotly has them: plain dicts of data and layout."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from glassbox.compare.cell import Cell, Grid, scales_of
from glassbox.compare.factor import shown, value_of
from glassbox.compare.importance import Matters
from glassbox.compare.ink import DIGITS, colors, log_scaled, log_ticks, rounded, told, word
from glassbox.compare.leaderboard import Leaderboard
from glassbox.compare.scale import Scale
from glassbox.compare.table import interval

Figure = dict[str, Any]  # data, layout; choices, which traces are seen; note, what has to be said

DEEP = ((0.0, "#E4EEF5"), (0.35, "#8FBFDD"), (0.7, "#2E86BE"), (1.0, "#00466E"))  # from worse to better
BRIGHT = ((0.0, "#9DB2C1"), (0.7, "#56B4E9"), (0.9, "#E69F00"), (1.0, "#D55E00"))
WRITTEN = 144  # in so many cells of a heat map there is room for the number


def heat_map(board: Leaderboard, grid: Grid) -> Figure:
    """Return the mean of the metric over all runs of each cell, and how many were lost where none has a value.

    Args:
        board: The leaderboard.
        grid: The cells.
    """
    rows, columns = grid.rows, grid.columns
    means = [cell.mean.mean for cell in grid.cells.values()]
    axis = _ColorAxis(means, board.mode, DEEP)
    z: list[list[float | None]] = [[None] * len(columns) for _ in range(len(rows))]
    text = [[""] * len(columns) for _ in range(len(rows))]
    hover = [["no run"] * len(columns) for _ in range(len(rows))]
    lost = []
    for (row, column), cell in grid.cells.items():
        (z[row][column],) = axis.places([cell.mean.mean])
        text[row][column] = f"{cell.mean.mean:.3g}" if cell.mean.n else ""
        where = f"{rows.key}={rows.labels[row]} {columns.key}={columns.labels[column]}"
        hover[row][column] = told([where, *_about(board, cell)])
        if z[row][column] is None:
            lost.append(_mark(column, row, _short(cell), hover[row][column]))
    trace = {
        "type": "heatmap", "z": z, "hovertext": hover, "hoverinfo": "text", "xgap": 2, "ygap": 2, "hoverongaps": False,
        "colorscale": axis.colors, "zmin": axis.low, "zmax": axis.high,
    }  # fmt: skip
    written = len(rows) * len(columns) <= WRITTEN
    trace |= {"text": text, "texttemplate": "%{text}", "showscale": False} if written else {"colorbar": axis.bar}
    layout = {"xaxis": _levels(columns), "yaxis": _levels(rows), "annotations": lost}
    return {"data": [trace], "layout": layout, "height": 130 + 34 * max(4, len(rows))}


def sensitivity(board: Leaderboard, grid: Grid) -> Figure:
    """Return the metric over the learning rate, a line per optimizer: of the best config, and the mean of all.

    Args:
        board: The leaderboard.
        grid: The cells, a row per line.
    """
    rows, columns = grid.rows, grid.columns
    order = range(len(columns))
    others = [key for key in (*board.keys, *board.averaged) if key not in (rows.key, columns.key)]
    modes = ("best", "mean") if others else ("mean",)
    data: list[Figure] = []
    seen: dict[str, list[bool]] = {mode: [] for mode in modes}
    marks: list[Figure] = []
    palette = colors(rows, len(rows))
    for mode in modes:
        for row, name in enumerate(rows.labels):
            cells = {i: grid.cells[row, i] for i in order if (row, i) in grid.cells}
            some = {i: (c.best if mode == "best" else c.mean) for i, c in cells.items()}
            some = {i: mean for i, mean in some.items() if math.isfinite(mean.mean)}
            hover = [told([f"{columns.key}={columns.labels[i]} {name}", *_about(board, cells[i])]) for i in some]
            halves = rounded(mean.half for mean in some.values())
            trace = {
                "type": "scatter", "mode": "lines+markers", "name": word(name), "hovertext": hover, "hoverinfo": "text",
                "x": rounded(columns.centers[i] for i in some), "y": rounded(mean.mean for mean in some.values()),
                "error_y": {"type": "data", "array": halves, "thickness": 1.2, "width": 3},
                "line": {"color": palette[row], "width": 2.2}, "marker": {"color": palette[row], "size": 7},
                "visible": mode == modes[0], "showlegend": len(rows) > 1,
            }  # fmt: skip
            data.append(trace)
            for other in modes:
                seen[other].append(mode == other)
            if mode == modes[0]:
                gone = {i: cell for i, cell in cells.items() if i not in some}
                marks += [_gone(columns, i, row, palette[row], name, cell) for i, cell in gone.items()]
    values = [value for trace in data for value in trace["y"] if value is not None]
    y = {"title": {"text": word(board.metric)}, "type": "log" if log_scaled(values, board.mode) else "linear"}
    words = {"best": f"the best of {', '.join(others)}", "mean": f"mean over {', '.join([*others, 'seed'])}"}
    return {
        "data": data,
        "layout": {"xaxis": _numbers(columns), "yaxis": y, "annotations": marks},
        "choices": [{"name": words[mode], "seen": seen[mode]} for mode in modes] if len(modes) > 1 else [],
        "height": 420,
    }


def importance(found: Matters) -> Figure | None:
    """Return the shares of the variance as bars: of each factor, of two together, and the rest.

    Args:
        found: What matters; without shares there is no figure.
    """
    if not found.shares:
        return None
    drawn = bars(found)
    names, shares, inks = zip(*drawn, strict=True)
    trace = {
        "type": "bar", "orientation": "h", "x": rounded(shares), "y": [*range(len(drawn))], "marker": {"color": inks},
        "text": [f"{share:.0%}" for share in shares], "textposition": "outside", "cliponaxis": False,
        "hovertext": [told([name, f"{share:.1%} of the variance"]) for name, share, _ in drawn], "hoverinfo": "text",
    }  # fmt: skip
    y = {"tickvals": [*range(len(drawn))], "ticktext": [word(n) for n in names], "autorange": "reversed"}
    x = {"tickformat": ".0%", "rangemode": "tozero", "title": {"text": "share of the variance"}}
    return {"data": [trace], "layout": {"xaxis": x, "yaxis": y, "bargap": 0.35}, "height": 110 + 34 * len(drawn)}


def bars(found: Matters) -> list[tuple[str, float, str]]:
    """Return name, share and colour: of each factor, of two together, of the rest.

    Args:
        found: What matters.
    """
    pairs = [(" × ".join(pair), share, "#56B4E9") for pair, share in found.pairs if share >= 0.01]
    rest = max(0.0, 1 - sum(share for _, share in (*found.shares, *found.pairs)))
    alone = [(name, share, "#0072B2") for name, share in found.shares]
    return [*alone, *pairs, ("the rest, such as seeds", rest, "#9AA7B1")]


def parallel(board: Leaderboard) -> Figure | None:
    """Return parallel coordinates, a line per config, coloured by its mean of the metric.

    Args:
        board: The leaderboard; with fewer than two factors or three configs there is nothing to see.
    """
    groups = [group for group in board.ranked if math.isfinite(group.metric.mean)]
    scales = [scale for scale in scales_of(board) if scale.key in board.keys]
    if len(scales) < 2 or len(groups) < 3:
        return None
    dimensions = []
    for scale in scales:
        values = [value_of(group.runs[0].config, scale.key) for group in groups]
        dimensions.append(_dimension(scale, values, [scale.place(group.runs[0]) for group in groups]))
    axis = _ColorAxis([group.metric.mean for group in groups], board.mode, BRIGHT)
    lines = axis.places([group.metric.mean for group in groups])
    ends = [(board.metric, [group.metric.mean for group in groups])]
    ends += [(board.test_metric, [g.test.mean for g in groups])] if all(g.test.n for g in groups) else []
    for key, means in ends:
        own = _ColorAxis(means, board.mode, BRIGHT)
        dimensions.append({"label": word(key), "values": own.places(means), **own.ticks})
    line = {"color": lines, "colorscale": axis.colors, "cmin": axis.low, "cmax": axis.high}
    no_range = {"color": "rgba(0,0,0,0)"}  # it would be the logarithm
    trace = {"type": "parcoords", "dimensions": dimensions, "line": line, "rangefont": no_range}
    return {"data": [trace], "layout": {"margin": {"t": 60, "b": 30, "l": 70, "r": 60}}, "height": 420}


class _ColorAxis:
    """A colour for each value of a metric, on a log scale where that tells more, the better the stronger.

    Args:
        values: All values.
        mode: `min` or `max`, whichever is better.
        ramp: From worse to better.
    """

    def __init__(self, values: Sequence[float], mode: str, ramp: Sequence[tuple[float, str]]) -> None:
        finite = [value for value in values if math.isfinite(value)] or [0.0]
        self._log = log_scaled(finite, mode)
        self.low, self.high = (value or 0.0 for value in self.places([min(finite), max(finite)]))
        self.colors = [(round(1 - at, 3), ink) for at, ink in reversed(ramp)] if mode == "min" else [*ramp]
        vals, texts = log_ticks(min(finite), max(finite)) if self._log else ([], [])
        self.ticks: dict[str, Any] = {"tickvals": vals, "ticktext": texts} if vals else {}
        self.bar = {"thickness": 10, "outlinewidth": 0, "len": 0.9, **self.ticks}

    def places(self, values: Sequence[float]) -> list[float | None]:
        """Return where values lie."""
        if self._log:
            return rounded(math.log10(value) if math.isfinite(value) else math.nan for value in values)
        return rounded(values)


def _about(board: Leaderboard, cell: Cell) -> list[str]:
    """Tell the runs of a cell."""
    lost = ", ".join(f"{count} {status}" for status, count in cell.lost.items())
    if not cell.mean.n:
        return [lost]
    mean = f"{board.metric} {interval(cell.mean)}, n = {cell.mean.n}"
    best = f"best: {cell.config}: {interval(cell.best)}, n = {cell.best.n}" if cell.best.n < cell.mean.n else ""
    return [mean, best, lost]


def _short(cell: Cell) -> str:
    return "<br>".join(f"{count} {status}" for status, count in cell.lost.items()) or "not finite"


def _mark(x: float, y: float, text: str, hover: str) -> dict[str, Any]:
    return {"x": x, "y": y, "text": text, "hovertext": hover, "showarrow": False, "font": {"size": 10}}


def _gone(columns: Scale, i: int, row: int, ink: str, name: str, cell: Cell) -> dict[str, Any]:
    """Mark a place without a value, at the upper edge of the figure."""
    lost = ", ".join(f"{count} {status}" for status, count in cell.lost.items()) or "not finite"
    x = round(math.log10(columns.centers[i]), DIGITS) if columns.log else columns.centers[i]
    mark = _mark(x, 1 - 0.045 * row, "×", told([f"{columns.key}={columns.labels[i]} {name}", lost]))
    return mark | {"yref": "paper", "font": {"size": 15, "color": ink}}


def _levels(scale: Scale) -> dict[str, Any]:
    """Return an axis of levels."""
    labels = [word(label if len(label) <= 24 else label[:23] + "…") for label in scale.labels]
    places = {"tickvals": [*range(len(scale))], "ticktext": labels}
    return {**places, "title": {"text": word(scale.key)}, "showgrid": False, "zeroline": False, "ticks": ""}


def _numbers(scale: Scale) -> dict[str, Any]:
    """Return an axis of numbers with a tick at each level."""
    ticks = {"tickvals": rounded(scale.centers), "ticktext": [word(label) for label in scale.labels]}
    return {**ticks, "title": {"text": word(scale.key)}, "type": "log" if scale.log else "linear"}


def _dimension(scale: Scale, values: Sequence[object], places: Sequence[int]) -> Mapping[str, Any]:
    """Return one axis of parallel coordinates: the numbers themselves where there are many, else the levels."""
    numbers = [value for value in values if isinstance(value, int | float)]
    if len(scale.places) > len(scale) and len(numbers) == len(values):
        axis = _ColorAxis(numbers, "min", BRIGHT) if scale.log else None
        own = {"values": axis.places(numbers), **axis.ticks} if axis else {"values": rounded(numbers)}
        return {"label": word(scale.key), **own}
    ticks = {"tickvals": [*range(len(scale))], "ticktext": [word(shown(label)) for label in scale.labels]}
    return {"label": word(scale.key), "values": [*places], **ticks}
