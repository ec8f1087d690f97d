"""The decision boundaries of the best and the worst run, as plotly has them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from glassbox.compare.figure import Figure
from glassbox.compare.ink import rounded, word
from glassbox.compare.leaderboard import Leaderboard
from glassbox.compare.run import Run
from glassbox.drawing import PALETTE

FILE = "boundary.npz"
POINTS = 600  # more rows than so many are thinned out
SYMBOLS = ("circle", "triangle-up", "diamond", "triangle-down", "square", "cross", "star", "x")


def extremes(board: Leaderboard) -> list[tuple[str, Run]]:
    """Return the best and the worst finished run that have a decision boundary.

    Args:
        board: The leaderboard.
    """
    runs = [run for group in board.ranked for run in group.finished if math.isfinite(run.values[board.metric])]
    ordered = sorted(runs, key=lambda run: run.values[board.metric], reverse=board.mode == "max")
    best = next((run for run in ordered if (run.folder / FILE).exists()), None)
    worst = next((run for run in reversed(ordered) if (run.folder / FILE).exists()), None)
    found = [("best", best), ("worst", worst)] if best is not worst else [("the run", best)]
    return [(name, run) for name, run in found if run]


def surface(run: Run) -> Figure:
    """Return what a net has learnt on two features: where it chooses which class and how surely, and the rows.

    Args:
        run: A run with a decision boundary.
    """
    with np.load(run.folder / FILE) as file:
        data = {key: file[key] for key in file.files}
    x, y = rounded(data["x"]), rounded(data["y"])
    classes = [word(name) for name in data["classes"]]
    axes = [
        {"title": {"text": word(name)}, "range": [axis[0], axis[-1]], "showgrid": False, "zeroline": False}
        for name, axis in zip(data["feature_names"], (x, y), strict=True)
    ]
    raw = data["logits"]
    shades = _two(x, y, raw, classes) if raw.ndim == 2 else _several(x, y, raw, classes)
    rows = _rows(data["points"], data["labels"], classes)
    return {"data": [*shades, *rows], "layout": {"xaxis": axes[0], "yaxis": axes[1]}, "height": 400}


def _two(x: Sequence[Any], y: Sequence[Any], logit: np.ndarray, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Shade the probability of the second class, from the one colour over nothing (undecided) to the other."""
    probability = 1 / (1 + np.exp(-np.clip(logit, -30, 30)))
    scale = [(0, _shade(0, 1)), (0.5, _shade(0, 0)), (0.5, _shade(1, 0)), (1, _shade(1, 1))]
    hover = f"probability of {classes[1]}: %{{z:.0%}}<extra></extra>"
    layer = _layer(x, y, probability) | {"colorscale": scale, "hovertemplate": hover, "zsmooth": "best"}
    return [layer, *_line(x, y, logit)]


def _several(x: Sequence[Any], y: Sequence[Any], logits: np.ndarray, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Shade the chosen class, from nothing (undecided) to its colour, and draw the lines where the choice changes."""
    weight = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probability = weight / weight.sum(axis=-1, keepdims=True)
    count = probability.shape[-1]
    certainty = (probability.max(axis=-1) * count - 1) / (count - 1)
    traces: list[dict[str, Any]] = []
    for code, name in enumerate(classes):
        z = np.where(probability.argmax(axis=-1) == code, certainty, np.nan)
        hover = f"{name}, certainty %{{z:.0%}}<extra></extra>"
        scale = [(0, _shade(code, 0)), (1, _shade(code, 1))]
        traces.append(_layer(x, y, z) | {"colorscale": scale, "hovertemplate": hover})
        traces += _line(x, y, logits[..., code] - np.delete(logits, code, axis=-1).max(axis=-1))
    return traces


def _shade(code: int, certainty: float) -> str:
    red, green, blue = (int(PALETTE[code % len(PALETTE)][i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{0.5 * certainty})"


def _layer(x: Sequence[Any], y: Sequence[Any], z: np.ndarray) -> dict[str, Any]:
    more = {"zmin": 0, "zmax": 1, "showscale": False, "hoverongaps": False}
    return {"type": "heatmap", "x": x, "y": y, "z": _cells(z), **more}


def _cells(z: np.ndarray) -> list[list[float | None]]:
    return [[None if value != value else value for value in row] for row in z.round(3).tolist()]


def _line(x: Sequence[Any], y: Sequence[Any], margin: np.ndarray) -> list[dict[str, Any]]:
    """Draw where the choice changes, if it does."""
    if not margin.min() < 0 < margin.max():
        return []
    contours = {"start": 0, "end": 0, "size": 1, "coloring": "none"}
    cells = _cells(np.clip(margin, -9, 9))
    line = {"width": 2.4, "color": "#6B7A86"}
    more = {"showscale": False, "showlegend": False, "hoverinfo": "skip"}
    return [{"type": "contour", "x": x, "y": y, "z": cells, "contours": contours, "line": line, **more}]


def _rows(points: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Draw the rows as markers, a colour and a shape per class."""
    kept = np.linspace(0, len(points) - 1, min(POINTS, len(points))).round().astype(int)
    points, labels = points[kept], labels[kept]
    size = float(np.clip(130 / math.sqrt(len(points)), 5, 8).round(1))
    traces = []
    for code, name in enumerate(classes):
        marker = {
            "color": PALETTE[code % len(PALETTE)],
            "symbol": SYMBOLS[(code + code // len(PALETTE)) % len(SYMBOLS)],
            "size": size,
            "line": {"width": 0.7, "color": "white"},
        }
        x, y = (rounded(points[labels == code, i]) for i in (0, 1))
        where = {"type": "scatter", "mode": "markers", "x": x, "y": y, "hoverinfo": "name+x+y"}
        traces.append({**where, "marker": marker, "name": name})
    return traces
