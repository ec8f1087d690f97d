"""Toy sets of two features and two classes; `python -m glassbox.data` draws them all."""

import numpy as np

from glassbox.data.table import Table
from glassbox.errors import BadInput

NAMES = ("x1", "x2")
CLASSES = ("0", "1")


def moons(samples: int = 1000, noise: float = 0.2, seed: int = 0) -> Table:
    """Return two interleaving half circles, by scikit-learn's generator.

    Args:
        samples: Number of rows N.
        noise: Standard deviation of the Gaussian noise.
        seed: Seed of the rows.

    Example:
        >>> moons(samples=10).features.shape
        (10, 2)
    """
    from sklearn.datasets import make_moons

    _check(samples, noise)
    return _table(*make_moons(samples, noise=noise, random_state=seed))


def circles(samples: int = 1000, noise: float = 0.1, factor: float = 0.5, seed: int = 0) -> Table:
    """Return a circle inside a circle, by scikit-learn's generator.

    Args:
        samples: Number of rows N.
        noise: Standard deviation of the Gaussian noise.
        factor: Radius of the inner circle; that of the outer is 1.
        seed: Seed of the rows.

    Example:
        >>> circles(samples=10).target.sum()
        np.int64(5)
    """
    from sklearn.datasets import make_circles

    _check(samples, noise)
    return _table(*make_circles(samples, noise=noise, factor=factor, random_state=seed))


def xor(samples: int = 1000, noise: float = 0.2, seed: int = 0) -> Table:
    """Return four clouds at the corners of a square; the class is 1 where the signs of the corner differ.

    No straight line separates them: the smallest problem that needs a hidden layer.

    Args:
        samples: Number of rows N.
        noise: Standard deviation of the clouds, in units of half the square's side.
        seed: Seed of the rows.

    Example:
        >>> table = xor(samples=12, noise=0.0)
        >>> sorted(set(map(tuple, table.features.tolist())))
        [(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)]
    """
    _check(samples, noise)
    rng = np.random.default_rng(seed)
    corner = rng.permutation(np.arange(samples) % 4)
    signs = np.stack([corner // 2, corner % 2], axis=1) * 2.0 - 1.0
    return _table(signs + noise * rng.standard_normal((samples, 2)), (signs[:, 0] != signs[:, 1]).astype(np.int64))


def spiral(samples: int = 1000, noise: float = 0.2, turns: float = 1.5, seed: int = 0) -> Table:
    r"""Return two arms of an Archimedean spiral, one turned by half a circle.

    .. math::
        r = t, \quad (x_1, x_2) = r (\cos(2π T t + π c), \sin(2π T t + π c)) \cdot 3, \quad t \sim \sqrt{U(0, 1)}

    with class c in {0, 1} and T = `turns`. The root makes the rows equally dense along the arms.

    Args:
        samples: Number of rows N.
        noise: Standard deviation of the Gaussian noise; the arms are 3 / (2 T) apart.
        turns: T, turns of each arm.
        seed: Seed of the rows.

    Example:
        >>> spiral(samples=10).features.shape
        (10, 2)
    """
    _check(samples, noise)
    rng = np.random.default_rng(seed)
    arm = rng.permutation(np.arange(samples) % 2)
    t = np.sqrt(rng.uniform(size=samples))
    angle = 2 * np.pi * turns * t + np.pi * arm
    points = 3 * t[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return _table(points + noise * rng.standard_normal((samples, 2)), arm)


def _table(features: np.ndarray, target: np.ndarray) -> Table:
    return Table(features.astype(np.float64), NAMES, target.astype(np.int64), "class", CLASSES)


def _check(samples: int, noise: float) -> None:
    if not isinstance(samples, int) or isinstance(samples, bool) or samples < 10:
        raise BadInput(f"data.samples={samples}: must be a whole number ≥ 10")
    if not isinstance(noise, int | float) or not 0 <= noise < float("inf"):
        raise BadInput(f"data.noise={noise}: must be a finite number ≥ 0")
