"""Real tables that scikit-learn ships."""

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np

from glassbox.data.table import Table
from glassbox.errors import BadInput


def breast_cancer(features: Sequence[str] | str = "all") -> Table:
    """Return Wisconsin breast cancer: 569 tumours, 30 features of their cells; is it benign?

    Args:
        features: Names of features, or `all`.

    Returns:
        A table of the classes malignant (0) and benign (1).

    Raises:
        BadInput: There is no such feature.

    References:
        Wolberg, Mangasarian, Street and Street, Breast Cancer Wisconsin (Diagnostic), UCI repository, 1995.

    Example:
        >>> breast_cancer(["mean concave points", "worst texture"]).features.shape
        (569, 2)
    """
    from sklearn.datasets import load_breast_cancer

    return select(_classes(load_breast_cancer(), "diagnosis"), features)


def digits(features: Sequence[str] | str = "all") -> Table:
    """Return 1797 handwritten digits of 8 x 8 pixels, values 0 to 16, in 10 classes.

    Args:
        features: Names of pixels, or `all`.

    References:
        Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI repository, 1998.

    Example:
        >>> digits().features.shape
        (1797, 64)
    """
    from sklearn.datasets import load_digits

    return select(_classes(load_digits(), "digit"), features)


def diabetes(features: Sequence[str] | str = "all") -> Table:
    """Return 442 patients, 10 features; the target is the progression of their diabetes after a year, 25 to 346.

    Args:
        features: Names of features, or `all`.

    References:
        Efron, Hastie, Johnstone and Tibshirani, Least Angle Regression, 2004.

    Example:
        >>> diabetes().features.shape
        (442, 10)
    """
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes(scaled=False)
    names = tuple(str(name) for name in bunch.feature_names)
    table = Table(bunch.data.astype(np.float64), names, bunch.target.astype(np.float64), "progression", None)
    return select(table, features)


def select(table: Table, features: Sequence[str] | str) -> Table:
    """Return a table with some of its features.

    Args:
        table: A table.
        features: Names of features in the order wanted, or `all`.

    Raises:
        BadInput: There is no such feature, or none is named.

    Example:
        >>> table = Table(np.array([[1.0, 2.0, 3.0]]), ("a", "b", "c"), np.array([0]), "label", ("no", "yes"))
        >>> select(table, ["c", "a"]).features.tolist()
        [[3.0, 1.0]]
    """
    if features == "all":
        return table
    wanted = [str(name) for name in features] if isinstance(features, list | tuple) else [str(features)]
    if not wanted:
        raise BadInput("data.features=[]: name a feature, or all")
    for name in wanted:
        if name not in table.feature_names:
            near = difflib.get_close_matches(str(name), table.feature_names, n=1)
            some = ", ".join(table.feature_names[:5]) + (", …" if len(table.feature_names) > 5 else "")
            hint = f", did you mean '{near[0]}'?" if near else f"; it has {some}"
            raise BadInput(f"data.features: no feature '{name}'{hint}")
    columns = [table.feature_names.index(name) for name in wanted]
    return Table(table.features[:, columns], tuple(wanted), table.target, table.target_name, table.classes)


def _classes(bunch: Any, target_name: str) -> Table:
    names = tuple(str(name) for name in bunch.feature_names)
    classes = tuple(str(name) for name in bunch.target_names)
    return Table(bunch.data.astype(np.float64), names, bunch.target.astype(np.int64), target_name, classes)
