"""The colours, digits and axes that the figures of a report share."""

import math
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from glassbox.compare.scale import Scale
from glassbox.drawing import PALETTE

ORDERED = (
    "#3e4989", "#38598c", "#31688e", "#2b758e", "#25838e", "#21918c",
    "#1f9e89", "#25ac82", "#37b878", "#52c569", "#70cf57", "#95d840",
)  # fmt: skip
LOG = 5.0  # positive values that span so much are shown on a log scale
DIGITS = 5


def colors(scale: Scale | None, count: int) -> list[str]:
    """Return a colour per level: a ramp for numbers, the palette for words.

    Args:
        scale: The factor; None for things without an order.
        count: How many there are.

    Example:
        >>> colors(None, 2)
        ['#D55E00', '#0072B2']
    """
    if scale is None or not scale.ordered or count == 1:
        return [PALETTE[i % len(PALETTE)] for i in range(count)]
    return [ORDERED[round(i * (len(ORDERED) - 1) / (count - 1))] for i in range(count)]


def log_scaled(values: Iterable[float], mode: str | None = None) -> bool:
    """Return whether values are better seen on a log scale, which shows how near they are to zero.

    Args:
        values: The values; those that are not finite do not count.
        mode: What is better, `min` or `max`; what should be large is never so.

    Example:
        >>> log_scaled([1e-3, 1.0]), log_scaled([0.5, 1.0]), log_scaled([0.0, 1e3])
        (True, False, False)
    """
    found = np.array([value for value in values if math.isfinite(value)])
    return mode != "max" and len(found) > 1 and bool(found.min() > 0) and bool(found.max() / found.min() > LOG)


def rounded(values: Iterable[float]) -> list[float | None]:
    """Return values with five digits, for JSON; None of what is not finite.

    Args:
        values: The values.

    Example:
        >>> rounded([0.123456789, float("nan"), 3.0])
        [0.12346, None, 3.0]
    """
    return [float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None for value in values]


def log_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """Return places on a log10 axis, and what to write there.

    Args:
        low: The smallest value.
        high: The largest.

    Example:
        >>> log_ticks(0.1, 1.0)
        ([-1.0, -0.69897, -0.30103, 0.0], ['0.1', '0.2', '0.5', '1'])
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    step = max(1, len(decades) // 6)
    steps = (1, 2, 5) if len(decades) <= 3 else (1,)
    values = [digit * 10.0**decade for decade in decades[::step] for digit in steps]
    inside = [value for value in values if low * 0.999 <= value <= high * 1.001]
    return [round(math.log10(value), DIGITS) for value in inside], [f"{value:g}" for value in inside]


def word(text: object) -> str:
    """Return a text that plotly shows as it is, and takes for no markup.

    Args:
        text: The text.

    Example:
        >>> word("<b>adam</b>")
        '&lt;b&gt;adam&lt;/b&gt;'
    """
    return escape(str(text), quote=False)


def told(lines: Sequence[str]) -> str:
    """Return lines as plotly's hover has them, what is empty left out.

    Args:
        lines: The lines.

    Example:
        >>> told(["lr < 1", ""])
        'lr &lt; 1'
    """
    return "<br>".join(word(line) for line in lines if line)
