"""The values of a factor in the order in which pictures have them; numbers drawn from a range are cut into bins."""

import itertools
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from glassbox.compare.factor import shown, spans_decades, value_of
from glassbox.compare.run import Run

MANY = 12  # a number with more values is cut into bins
BINS = 8


@dataclass(frozen=True)
class Scale:
    """The levels of a factor.

    Attributes:
        key: The factor.
        labels: The levels, as they are shown.
        centers: Their numbers; NaN of a level that is none.
        places: Value → level.
        log: Whether its numbers are looked at on a log scale.
    """

    key: str
    labels: tuple[str, ...]
    centers: tuple[float, ...]
    places: Mapping[Hashable, int]
    log: bool

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def ordered(self) -> bool:
        """Whether all of its levels are numbers."""
        return not any(map(math.isnan, self.centers))

    def place(self, run: Run) -> int:
        """Return the level of a run."""
        return self.places[value_of(run.config, self.key)]


def scale_of(runs: Sequence[Run], key: str) -> Scale:
    """Return the levels of a factor: words in the order of the alphabet, then numbers by size.

    Args:
        runs: The runs.
        key: The factor.

    Example:
        >>> from pathlib import Path
        >>> runs = [Run(Path("a"), {"config": {"lr": lr}}, "finished") for lr in (1.0, 0.1)]
        >>> scale_of(runs, "lr").labels
        ('0.1', '1')
    """
    values = {value_of(run.config, key) for run in runs}
    numbers = sorted(v for v in values if isinstance(v, int | float) and not isinstance(v, bool))
    words = sorted(values.difference(numbers), key=str)
    log = spans_decades(numbers)
    if len(numbers) <= MANY:
        levels: list[Hashable] = [*words, *numbers]
        centers = [math.nan] * len(words) + [float(number) for number in numbers]
        return Scale(key, tuple(map(shown, levels)), tuple(centers), {v: i for i, v in enumerate(levels)}, log)
    edges = (np.geomspace if log else np.linspace)(numbers[0], numbers[-1], BINS + 1)
    centers = list(np.sqrt(edges[1:] * edges[:-1]) if log else (edges[1:] + edges[:-1]) / 2)
    bins = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, BINS - 1)
    labels = [*map(shown, words), *(f"{low:.2g} – {high:.2g}" for low, high in itertools.pairwise(edges))]
    places = {v: i for i, v in enumerate(words)}
    places |= {number: len(words) + int(b) for number, b in zip(numbers, bins, strict=True)}
    return Scale(key, tuple(labels), (*[math.nan] * len(words), *map(float, centers)), places, log)
