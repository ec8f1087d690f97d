"""Train, validation and test rows."""

from collections.abc import Sequence

import numpy as np

from glassbox.errors import BadInput

NAMES = ("training", "validation", "test")
BINS = 10


def stratified(strata: np.ndarray, fractions: Sequence[float], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split rows into three parts that hold each stratum in the same shares.

    Each stratum is shuffled and cut by the largest-remainder method: every part gets the whole number below its share,
    and the rows left over go to the largest remainders, the earlier part first.

    Args:
        strata: A code per row [N], such as its class.
        fractions: Three shares that add up to 1.
        seed: Seed of the shuffling.

    Returns:
        Three sorted arrays of row numbers.

    Raises:
        BadInput: A part is empty.

    Example:
        >>> [part.size for part in stratified(np.array([0] * 10 + [1] * 5), (0.6, 0.2, 0.2), seed=0)]
        [9, 3, 3]
    """
    rng = np.random.default_rng(seed)
    parts: list[list[np.ndarray]] = [[], [], []]
    for stratum in np.unique(strata):
        rows = rng.permutation(np.flatnonzero(strata == stratum))
        for part, cut in zip(parts, np.split(rows, np.cumsum(shares(len(rows), fractions))[:-1]), strict=True):
            part.append(cut)
    train, val, test = (np.sort(np.concatenate(part)) for part in parts)
    for name, rows in zip(NAMES, (train, val, test), strict=True):
        if rows.size == 0:
            raise BadInput(f"data.split={list(fractions)}: {len(strata)} rows leave no {name} row; use more rows")
    return train, val, test


def shares(count: int, fractions: Sequence[float]) -> list[int]:
    """Cut a count into whole shares by the largest-remainder method.

    Args:
        count: What to cut.
        fractions: Shares that add up to 1.

    Example:
        >>> shares(7, (0.6, 0.2, 0.2))
        [4, 2, 1]
    """
    exact = [count * fraction for fraction in fractions]
    whole = [int(np.floor(share + 1e-9)) for share in exact]
    order = sorted(range(len(exact)), key=lambda part: (-(exact[part] - whole[part]), part))
    for part in order[: count - sum(whole)]:
        whole[part] += 1
    return whole


def bins(values: np.ndarray) -> np.ndarray:
    """Return the decile of each value: the strata of a numeric target.

    Args:
        values: Target values [N].

    Example:
        >>> bins(10.0 ** np.arange(20)).tolist()
        [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9]
    """
    rank = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return rank * BINS // len(values)
