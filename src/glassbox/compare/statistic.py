"""Means over seeds, and which differences are more than seeds: t intervals, Welch's and the paired t test, Holm.

scipy.special has all that is needed; scipy.stats takes half a second to import.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

LEVEL = 0.05  # of a wrong "differs", and 1 - the coverage of an interval
POWER = 0.8  # with which `seeds_needed` wants a difference to be found


@dataclass(frozen=True)
class Mean:
    """A mean over seeds.

    Attributes:
        n: Number of values.
        mean: Their mean; NaN of none.
        half: Half the width of the 95 % t interval; NaN of fewer than two values.

    Example:
        >>> mean = Mean.of([1.0, 2.0, 3.0])
        >>> mean.n, mean.mean, round(mean.half, 4)
        (3, 2.0, 2.4841)
    """

    n: int
    mean: float
    half: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Mean":
        """Return the mean of values and its t interval; values that are not finite make it so.

        Args:
            values: The values.
        """
        n, mean, var = (float(part) for part in moments(values))
        if not math.isfinite(var):  # of one value, or of values that are not finite
            return cls(int(n), mean, math.nan)
        return cls(int(n), mean, float(special.stdtrit(n - 1, 1 - LEVEL / 2)) * math.sqrt(var / n))


def welch(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the two-sided p values of Welch's t test of equal means, from what `moments` returns.

    Args:
        a: Number, mean and variance of the values of some configs [3, …].
        b: Those of others, of a shape that broadcasts.

    Returns:
        p; NaN where one has fewer than two values.

    References:
        Welch, The generalization of Student's problem when several different population variances are involved, 1947.

    Example:
        >>> float(welch(moments([1.0, 2.0, 3.0]), moments([2.0, 3.0, 4.0, 5.0])).round(4))
        0.1443
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        (n_a, mean_a, var_a), (n_b, mean_b, var_b) = a, b
        part_a, part_b = var_a / n_a, var_b / n_b
        freedom = (part_a + part_b) ** 2 / (part_a**2 / (n_a - 1) + part_b**2 / (n_b - 1))
        return _two_sided(mean_a - mean_b, np.sqrt(part_a + part_b), freedom)


def paired(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Return the two-sided p values of the paired t test of equal means.

    Args:
        a: Values of configs [..., n].
        b: Values of others, of the same seeds in the same order.

    Returns:
        p [...]; NaN of fewer than two pairs.

    Example:
        >>> float(paired([1.0, 2.0, 3.0], [2.0, 3.0, 4.5]).round(4))
        0.0198
    """
    with np.errstate(invalid="ignore"):  # infinities of both
        difference = np.subtract(a, b)
    n, mean, var = moments(difference)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _two_sided(mean, np.sqrt(var / n), n - 1)


def moments(values: ArrayLike) -> NDArray[np.float64]:
    """Return number, mean and variance over the last axis, [3, ...]; the variance of one value is NaN.

    Args:
        values: Values [..., n].

    Example:
        >>> moments([1.0, 2.0, 3.0])
        array([3., 2., 1.])
    """
    array = np.asarray(values, dtype=np.float64)
    n = array.shape[-1]
    with np.errstate(invalid="ignore"):  # the mean of both infinities is NaN
        var = array.var(axis=-1, ddof=1) if n > 1 else np.full(array.shape[:-1], math.nan)
        mean = array.mean(axis=-1) if n else np.full(array.shape[:-1], math.nan)
    return np.stack([np.full_like(mean, n), mean, var])


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Return p values corrected for their number, so that the chance of any wrong one stays at the level.

    Args:
        p: p values; NaN is a test that could not be made, and does not count.

    Returns:
        The corrected ones, in the same order.

    References:
        Holm, A simple sequentially rejective multiple test procedure, 1979.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        array([0.03, 0.06, 0.06])
    """
    given = np.asarray(p, dtype=np.float64)
    made = np.flatnonzero(~np.isnan(given))
    order = made[np.argsort(given[made], kind="stable")]
    steps = np.maximum.accumulate(given[order] * np.arange(len(order), 0, -1))
    corrected = np.full(given.shape, math.nan)
    corrected[order] = np.minimum(steps, 1.0)
    return corrected


def against_best(groups: Sequence[Sequence[float]], best: int, blocks: Sequence[Sequence[Any]]) -> list[float]:
    """Test which configs differ from the one with the best mean.

    The best one is picked after looking, so that a comparison with it is one of all pairs; those are what p is
    corrected for. Corrected for the comparisons with the best alone, ten equal configs are called different in 11 % of
    studies in place of 5.

    Args:
        groups: The values of each config.
        best: Which one is the best.
        blocks: What each value was made with, such as its seed. Two configs with the same blocks are compared block by
            block, others by Welch's test.

    Returns:
        The corrected p of each config against the best; NaN for the best itself, and where there are too few values.

    Example:
        >>> p = against_best([[1.0, 1.1, 0.9], [5.0, 5.2, 4.9], [1.1, 1.0, 0.8]], 0, [[0, 1, 2]] * 3)
        >>> [value < LEVEL for value in p]
        [False, True, False]
    """
    count = len(groups)
    ordered = [sorted(zip(block, group, strict=True)) for block, group in zip(blocks, groups, strict=True)]
    values = [[value for _, value in pairs] for pairs in ordered]
    keys = [tuple(key for key, _ in pairs) for pairs in ordered]
    of_all = np.stack([moments(one) for one in values], axis=1)
    p = np.full((count, count), math.nan)
    for i in range(count):
        p[i, i + 1 :] = welch(of_all[:, i, None], of_all[:, i + 1 :])
    for key in {key for key in keys if len(set(key)) == len(key)}:
        same = np.array([i for i in range(count) if keys[i] == key])
        table = np.array([values[i] for i in same])
        for row, i in enumerate(same):
            p[i, same[row + 1 :]] = paired(table[row], table[row + 1 :])
    upper = np.triu_indices(count, 1)
    p[upper] = holm(p[upper])
    return [float(p[min(best, i), max(best, i)]) for i in range(count)]


def seeds_needed(a: Sequence[float], b: Sequence[float], limit: int = 10_000) -> int | None:
    """Return how many seeds of each of two configs would tell them apart, if they are as they seem.

    Args:
        a: Values of one config.
        b: Values of another.
        limit: The most that is told.

    Returns:
        The smallest n with which Welch's test finds such a difference, of such a spread, with a power of 80 %; None if
        that is above the limit, or the spread is not known.

    References:
        The power of the t test, by the noncentral t distribution: Cohen, Statistical power analysis, 1988, chapter 2.

    Example:
        >>> seeds_needed([0.0, 1.0, 2.0], [1.0, 2.0, 3.0])
        17
    """
    if min(len(a), len(b)) < 2 or not np.isfinite([*a, *b]).all():
        return None
    difference = abs(float(np.mean(a) - np.mean(b)))
    variances = [float(moments(x)[2]) for x in (a, b)]
    spread = sum(variances)
    if difference == 0 or spread == 0:
        return None if difference == 0 else 2
    shares = sum((v / spread) ** 2 for v in variances)

    def power(n: int) -> float:
        freedom = (n - 1) / shares
        critical = special.stdtrit(freedom, 1 - LEVEL / 2)
        return 1 - float(special.nctdtr(freedom, difference / math.sqrt(spread / n), critical))

    low, high = 1, 2
    while power(high) < POWER:
        low, high = high, 2 * high
        if low >= limit:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= POWER else (middle, high)
    return high if high <= limit else None


def _two_sided(
    difference: NDArray[np.float64], error: NDArray[np.float64], freedom: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return p of a difference with such a standard error; where nothing varies, what differs at all differs."""
    with np.errstate(divide="ignore", invalid="ignore"):
        t = 2 * special.stdtr(freedom, -np.abs(difference / error))
    certain = np.where(difference == 0, 1.0, 0.0)
    return np.where(error == 0, certain, t)
