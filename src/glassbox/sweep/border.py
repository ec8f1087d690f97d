"""Whether the best point of a sweep lies on the border of what was searched: then the best may lie beyond it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NEAR = 0.05  # of an interval counts as its border


@dataclass(frozen=True)
class Range:
    """What a search may draw a number from.

    Attributes:
        low: The smallest value.
        high: The largest value.
        log: Whether it is drawn on a log scale.
        step: The distance between values; None draws any number, or any whole one.

    Example:
        >>> Range(1e-4, 1e-1, log=True).whole, Range(16, 128, step=16).whole
        (False, True)
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are drawn: both ends, and the step, are written as such."""
        return all(isinstance(number, int) for number in (self.low, self.high, self.step or 1))


def on_border(best: Mapping[str, float], space: Mapping[str, Sequence[float] | Range]) -> list[str]:
    """Say which values of the best point lie on the border of the searched space.

    Args:
        best: Key → number of the best point.
        space: Key → the numbers that were tried, or the range that was drawn from.

    Returns:
        One sentence per key on the border. A key of fewer than two numbers has no border.

    Example:
        >>> on_border({"lr": 0.1, "batch_size": 32}, {"lr": [0.001, 0.01, 0.1], "batch_size": [16, 32, 64]})
        ['lr=0.1 is the largest value searched: larger ones may be better']
        >>> on_border({"lr": 1.02e-4}, {"lr": Range(1e-4, 1e-1, log=True)})
        ['lr=0.000102 is near the smallest value searched, 0.0001: smaller ones may be better']
    """
    told = []
    for key, value in best.items():
        searched = space.get(key)
        if isinstance(searched, Range):
            told += _near(key, value, searched)
        elif searched and min(searched) < max(searched) and value in (min(searched), max(searched)):
            size, more = ("largest", "larger") if value == max(searched) else ("smallest", "smaller")
            told.append(f"{key}={value:g} is the {size} value searched: {more} ones may be better")
    return told


def _near(key: str, value: float, searched: Range) -> list[str]:
    scale = math.log if searched.log else float
    place = (scale(value) - scale(searched.low)) / (scale(searched.high) - scale(searched.low))
    if NEAR < place < 1 - NEAR:
        return []
    size, more, end = ("smallest", "smaller", searched.low) if place <= NEAR else ("largest", "larger", searched.high)
    return [f"{key}={value:g} is near the {size} value searched, {end:g}: {more} ones may be better"]
