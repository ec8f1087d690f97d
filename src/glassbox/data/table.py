"""A table: what every data set returns."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Table:
    """Rows of numbers with one target.

    Attributes:
        features: Raw features [N, D], float64.
        feature_names: D names.
        target: Class codes [N], int64, or values [N], float64.
        target_name: Name of the target.
        classes: Name of each class code; None for a numeric target.

    Example:
        >>> table = Table(np.array([[0.0, 1.0], [2.0, 3.0]]), ("a", "b"), np.array([1, 0]), "label", ("no", "yes"))
        >>> [table.classes[code] for code in table.target]
        ['yes', 'no']
    """

    features: np.ndarray
    feature_names: tuple[str, ...]
    target: np.ndarray
    target_name: str
    classes: tuple[str, ...] | None
