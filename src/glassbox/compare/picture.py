"""The figures of a study as PNG files, for papers and READMEs."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from glassbox.compare.band import Bands, bands_of
from glassbox.compare.cell import Grid, grids, sensitivity
from glassbox.compare.figure import DEEP, WRITTEN, bars
from glassbox.compare.importance import Matters
from glassbox.compare.ink import colors, log_scaled
from glassbox.compare.leaderboard import Leaderboard
from glassbox.compare.scale import Scale
from glassbox.drawing import INK, MARKERS, STYLE
from glassbox.tracking.keys import direction

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LUMA = (0.299, 0.587, 0.114)  # how bright red, green and blue are
WIDTH = 7.0  # inches: a column and a half of a paper


def write_pictures(folder: Path, board: Leaderboard, *, shares: Matters | None = None) -> list[Path]:
    """Write the figures of a study as PNG files.

    Args:
        folder: Where they go; it is made.
        board: The leaderboard.
        shares: The shares of the variance; without them there is no importance.png.

    Returns:
        The files: curves.png, sensitivity.png, heatmap-….png, importance.png; those for which there is data.

    Raises:
        OSError: One cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bands = bands_of(board)
    lines = sensitivity(board) if board.ranked else None
    drawn: list[tuple[str, float, Callable[[Axes], None]]] = []
    if bands.metrics:
        first = [key for key, _ in shares.shares] if shares else []
        drawn.append(("curves", 4.2, partial(_curves, bands=bands, first=first)))
    if lines:
        drawn.append(("sensitivity", 4.2, partial(_sensitivity, board=board, grid=lines)))
    for one in grids(board) if board.ranked else []:
        name = f"heatmap-{one.columns.key}-{one.rows.key}"
        drawn.append((name, 1.6 + 0.42 * len(one.rows), partial(_heat_map, board=board, grid=one)))
    if shares and shares.shares:
        drawn.append(("importance", 1.0 + 0.36 * len(bars(shares)), partial(_importance, shares=shares)))
    return [_written(folder / f"{name}.png", height, draw) for name, height, draw in drawn]


def _written(path: Path, height: float, draw: "Callable[[Axes], None]") -> Path:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure.add_subplot())
        figure.savefig(path, dpi=200)
    return path


def _curves(axes: "Axes", bands: Bands, first: Sequence[str]) -> None:
    """Draw the first metric, coloured by what explains the most."""
    metric = bands.metrics[0]
    name = min(bands.views, key=lambda view: [*first, view].index(view))
    view = bands.views[name]
    inks = colors(view.scale, len(view.scale) if view.scale else len(bands.bands))
    lines = [(line.band, inks[line.level], view.scale.labels[line.level] if view.scale else "") for line in view.lines]
    if bands.best is not None:
        lines.append((bands.best, INK, bands.bands[bands.best].name))
    labelled = set()
    for number, ink, label in lines:
        band = bands.bands[number]
        middle, low, high = band.values[metric]
        label = label or band.name
        if band.n > 1:
            axes.fill_between(bands.epochs, low, high, color=ink, alpha=0.13, linewidth=0)
        marker = "o" if len(bands.epochs) == 1 else ""
        axes.plot(bands.epochs, middle, color=ink, marker=marker, label=None if label in labelled else label)
        labelled.add(label)
    values = [value for number, _, _ in lines for value in bands.bands[number].values[metric][0]]
    axes.set(xlabel="epoch", ylabel=metric, yscale="log" if log_scaled(values, direction(metric)) else "linear")
    _plain(axes)
    _legend(axes, view.scale.key if view.scale else "")


def _sensitivity(axes: "Axes", board: Leaderboard, grid: Grid) -> None:
    """Draw the best config of each learning rate, a line per optimizer, with its t interval."""
    inks = colors(grid.rows, len(grid.rows))
    seen: list[float] = []
    for row, name in enumerate(grid.rows.labels):
        cells = [(i, grid.cells[row, i].best) for i in range(len(grid.columns)) if (row, i) in grid.cells]
        cells = [(i, mean) for i, mean in cells if math.isfinite(mean.mean)]
        x, y = [grid.columns.centers[i] for i, _ in cells], [mean.mean for _, mean in cells]
        halves = [mean.half if math.isfinite(mean.half) else 0.0 for _, mean in cells]
        marker = MARKERS[row % len(MARKERS)]
        axes.errorbar(x, y, halves, color=inks[row], marker=marker, markersize=5, capsize=2, elinewidth=0.9, label=name)
        seen += y
    axes.set(xlabel=grid.columns.key, ylabel=board.metric)
    axes.set_xscale("log" if grid.columns.log else "linear")
    axes.set_yscale("log" if log_scaled(seen, board.mode) else "linear")
    axes.set_xticks(grid.columns.centers, grid.columns.labels)
    axes.tick_params(which="minor", bottom=False)
    _plain(axes)
    if grid.rows.key:
        _legend(axes, grid.rows.key)


def _heat_map(axes: "Axes", board: Leaderboard, grid: Grid) -> None:
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize

    z = np.full((len(grid.rows), len(grid.columns)), math.nan)
    for place, cell in grid.cells.items():
        z[place] = cell.mean.mean if math.isfinite(cell.mean.mean) else math.nan
    ramp = DEEP if board.mode == "max" else [(round(1 - at, 3), ink) for at, ink in reversed(DEEP)]
    norm = LogNorm if log_scaled(z.ravel(), board.mode) else Normalize
    image = axes.imshow(z, origin="lower", aspect="auto", cmap=LinearSegmentedColormap.from_list("", ramp), norm=norm())
    for (row, column), cell in grid.cells.items() if z.size <= WRITTEN else ():
        value = z[row, column]
        words = f"{value:.3g}" if math.isfinite(value) else ", ".join(f"{n} {s}" for s, n in cell.lost.items())
        dark = math.isfinite(value) and np.dot(image.to_rgba(value)[:3], LUMA) < 0.5
        axes.text(column, row, words, ha="center", va="center", color="white" if dark else INK, fontsize=8)
    axes.figure.colorbar(image, ax=axes, pad=0.02, label=f"mean of {board.metric}")
    axes.set(xlabel=grid.columns.key, ylabel=grid.rows.key)
    _labels(axes.set_xticks, grid.columns)
    _labels(axes.set_yticks, grid.rows)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _importance(axes: "Axes", shares: Matters) -> None:
    names, values, inks = zip(*bars(shares), strict=True)
    drawn = axes.barh(range(len(names)), values, color=inks, height=0.65)
    axes.bar_label(drawn, [f"{value:.0%}" for value in values], padding=3, color=INK)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.set(xlabel="share of the variance")
    axes.margins(x=0.08)


def _labels(set_ticks: "Callable[..., object]", scale: Scale) -> None:
    set_ticks(range(len(scale)), scale.labels)


def _plain(axes: "Axes") -> None:
    """Write 0.2 in place of 2 × 10⁻¹ on a log axis of few decades."""
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

    axes.grid(color="#E3E8EC", linewidth=0.7)
    axes.set_axisbelow(True)
    low, high = axes.get_ylim()
    if axes.get_yscale() == "log" and low > 0 and high / low < 1000:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_formatter(NullFormatter())


def _legend(axes: "Axes", title: str) -> None:
    axes.legend(title=title, alignment="left", loc="lower left", bbox_to_anchor=(0, 1.01), ncols=4, frameon=False)
