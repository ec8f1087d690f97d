"""The pictures: a decision boundary, and the rows of data sets. matplotlib is imported here and nowhere else.

Colours are those of Okabe and Ito, told apart by colour-blind readers; classes differ in marker too.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from glassbox.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#7F7F7F")
MARKERS = "oD^sPvX*"
INK, PALE = "#22303C", "#6B7A86"
FINE = 4  # grid cells are cut into this many for the picture, along each axis
UNDECIDED: dict[str, Any] = {"linewidth": 2.4, "linestyle": "-"}
NINE_TO_ONE: dict[str, Any] = {"linewidth": 0.9, "linestyle": (0, (5, 4))}
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#C5CDD3",
    "axes.linewidth": 0.8,
    "xtick.color": PALE,
    "ytick.color": PALE,
    "text.parse_math": False,  # names of columns may hold a $
    "axes.spines.top": False,
    "axes.spines.right": False,
    "savefig.dpi": 130,
}


class Points(Protocol):
    """What `scatter` needs of a table: two features and a class for every row."""

    @property
    def features(self) -> np.ndarray:
        """Features [N, 2]."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Two names."""

    @property
    def target(self) -> np.ndarray:
        """Class codes [N]."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes."""


def boundary(npz_path: Path, png_path: Path) -> None:
    r"""Draw what a net has learnt on two features: its probabilities, its decision line, and the data.

    The shading is the probability of the class that the net chooses, σ(z) for one output z and softmax(z) for
    several, from white (undecided) to the class's colour (certain). z is interpolated linearly between grid points,
    which is exact inside the linear pieces of a ReLU net, and only then turned into a probability. The thick line is
    where the choice changes; the thin ones, for two classes, are where it is 9 to 1.

    Args:
        npz_path: A `boundary.npz`: `x` [G] and `y` [G] in the features' units, `logits` [G, G] or [G, G, C] with rows
            along y, `points` [N, 2], `labels` [N], `feature_names` and `classes`.
        png_path: The picture to write.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> axis = np.linspace(-1, 1, 50)
        >>> data = {"x": axis, "y": axis, "logits": axis[:, None] + axis, "points": np.eye(2), "labels": [0, 1]}
        >>> np.savez(folder / "b.npz", **data, feature_names=["u", "v"], classes=["no", "yes"])
        >>> boundary(folder / "b.npz", folder / "b.png")
        >>> (folder / "b.png").read_bytes()[1:4]
        b'PNG'
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with np.load(npz_path) as file:
        data = {key: file[key] for key in file.files}
    classes = [_short(name, 20 if len(data["classes"]) <= 4 else 12) for name in data["classes"]]
    xlabel, ylabel = (_short(name, 50) for name in data["feature_names"])
    x, y = _fine(data["x"]), _fine(data["y"])
    logits = _finer(_finer(_logits(data["logits"]), axis=0), axis=1)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 5.6), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12))
        axes = figure.add_subplot()
        extent = (x[0], x[-1], y[0], y[-1])
        axes.imshow(_shade(logits), extent=extent, origin="lower", aspect="auto", interpolation="bilinear")
        _lines(axes, x, y, logits)
        _classes(axes, data["points"], data["labels"], classes)
        axes.set(xlim=extent[:2], ylim=extent[2:], xlabel=xlabel, ylabel=ylabel)
        axes.yaxis.get_offset_text().set(x=-0.01, ha="right")  # a factor such as 1e-6, clear of the legend
        _legend(axes, classes)
        if len(classes) == 2:
            _colorbar(figure, axes, classes)
        figure.savefig(png_path)


def scatter(tables: Mapping[str, Points], png_path: Path) -> None:
    """Draw the rows of data sets with two features, side by side.

    Args:
        tables: Title → table.
        png_path: The picture to write.

    Raises:
        BadInput: A table has not two features, or no classes.

    Example:
        >>> import tempfile
        >>> from types import SimpleNamespace
        >>> png, rows = Path(tempfile.mkdtemp()) / "rows.png", np.array([[0.0, 0.0], [1.0, 2.0]])
        >>> table = SimpleNamespace(features=rows, feature_names=("u", "v"), target=np.arange(2), classes=("no", "yes"))
        >>> scatter({"two rows": table}, png)
        >>> png.read_bytes()[1:4]
        b'PNG'
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.4 * len(tables), 3.6), layout="constrained")
        for place, (title, table) in enumerate(tables.items(), start=1):
            if table.features.shape[1] != 2 or table.classes is None:
                raise BadInput(f"{title}: only classes of two features can be drawn")
            axes = figure.add_subplot(1, len(tables), place)
            _classes(axes, table.features, table.target, table.classes)
            axes.set_title(title, fontweight="bold")
            axes.set(xlabel=table.feature_names[0], ylabel=table.feature_names[1])
            axes.set_aspect("equal", adjustable="datalim")
        figure.savefig(png_path)


def _short(name: str, length: int) -> str:
    """Return a name on one line, cut to a length."""
    name = " ".join(str(name).split())
    return name if len(name) <= length else name[: length - 1] + "…"


def _logits(raw: np.ndarray) -> np.ndarray:
    """Return logits [G, G, C] in float64; one output z becomes the two of (0, z), whose softmax is σ(z)."""
    raw = raw.astype(np.float64)
    return np.stack([np.zeros_like(raw), raw], axis=-1) if raw.ndim == 2 else raw


def _fine(axis: np.ndarray) -> np.ndarray:
    return np.linspace(axis[0], axis[-1], FINE * (len(axis) - 1) + 1)


def _finer(values: np.ndarray, axis: int) -> np.ndarray:
    """Interpolate linearly along one axis."""
    values = np.moveaxis(values, axis, 0)
    place = _fine(np.arange(len(values)))
    low = np.minimum(place.astype(int), len(values) - 2)
    share = (place - low).reshape(-1, *[1] * (values.ndim - 1))
    return np.moveaxis(values[low] * (1 - share) + values[low + 1] * share, 0, axis)


def _shade(logits: np.ndarray) -> np.ndarray:
    """Return colours [G, G, 3]: white mixed with the chosen class's colour, by how sure the choice is."""
    weight = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probability = weight / weight.sum(axis=-1, keepdims=True)
    choices = probability.shape[-1]
    certainty = (probability.max(axis=-1) * choices - 1) / (choices - 1)
    return _mix(_colors(choices)[probability.argmax(axis=-1)], certainty)


def _mix(color: np.ndarray, certainty: np.ndarray) -> np.ndarray:
    share = 0.36 * certainty[..., None]
    mixed: np.ndarray = 1 - share + share * color
    return mixed


def _colors(count: int) -> np.ndarray:
    from matplotlib.colors import to_rgb

    return np.array([to_rgb(PALETTE[i % len(PALETTE)]) for i in range(count)])


def _lines(axes: "Axes", x: np.ndarray, y: np.ndarray, logits: np.ndarray) -> None:
    """Draw where the choice changes; for two classes also where the odds are 9 to 1."""
    lines = {0.0: UNDECIDED}
    if logits.shape[-1] == 2:
        margins = [logits[..., 1] - logits[..., 0]]
        lines = {-np.log(9.0): NINE_TO_ONE, 0.0: UNDECIDED, np.log(9.0): NINE_TO_ONE}
    else:
        margins = [z - np.delete(logits, i, -1).max(-1) for i, z in enumerate(np.moveaxis(logits, -1, 0))]
    widths = [line["linewidth"] for line in lines.values()]
    styles = [line["linestyle"] for line in lines.values()]
    for margin in margins:
        axes.contour(x, y, margin, levels=list(lines), colors=INK, linewidths=widths, linestyles=styles)


def _classes(axes: "Axes", points: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> None:
    """Draw rows as markers, one colour and shape per class; smaller classes on top of larger ones."""
    for code, name in enumerate(classes):
        rows = points[labels == code]
        axes.scatter(
            rows[:, 0],
            rows[:, 1],
            s=float(np.clip(14000 / len(points), 4, 26)),
            marker=MARKERS[(code + code // len(PALETTE)) % len(MARKERS)],
            color=PALETTE[code % len(PALETTE)],
            edgecolor="white",
            linewidth=0.5,
            label=f"{len(rows)} {name}",
            zorder=4 - len(rows) / len(points),
        )


def _legend(axes: "Axes", classes: Sequence[str]) -> None:
    """Write the title, which is the question that the net answers, and the legend, above the picture."""
    question = f"{', '.join(classes[:-1])} or {classes[-1]}?"
    longest = max(len(name) for name in classes)
    legend = axes.legend(
        title=question if len(question) <= 48 else f"which of {len(classes)} classes?",
        title_fontproperties={"weight": "bold", "size": 14},
        alignment="left",
        loc="lower left",
        bbox_to_anchor=(0, 1.015),
        ncols=min(4, 72 // (longest + 9)),
        frameon=False,
        borderpad=0,
        borderaxespad=0,
        handletextpad=0.1,
        columnspacing=1.5,
        scatterpoints=1,
        markerscale=1.3,
    )
    legend.get_title().set_color(INK)


def _colorbar(figure: "Figure", axes: "Axes", classes: Sequence[str]) -> None:
    """Draw the scale of the shading for two classes: the probability of the second."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap

    probability = np.linspace(0, 1, 256)
    chosen = _colors(2)[(probability > 0.5).astype(int)]
    shades = ListedColormap(_mix(chosen, np.abs(2 * probability - 1)))
    bar = figure.colorbar(ScalarMappable(cmap=shades), ax=axes, fraction=0.035, pad=0.02, aspect=35)
    bar.set_ticks([0, 0.1, 0.5, 0.9, 1], labels=["0 %", "10 %", "50 %", "90 %", "100 %"])
    bar.set_label(f"probability of {classes[1]}")
    bar.outline.set_visible(False)
    for level, line in ((0.1, NINE_TO_ONE), (0.5, UNDECIDED), (0.9, NINE_TO_ONE)):
        bar.ax.axhline(level, color=INK, linewidth=line["linewidth"])
