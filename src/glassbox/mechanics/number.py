"""A hyper-parameter is a number, or a tensor with one number per model; both go through the same formulas."""

from typing import Any

import torch
from torch import Tensor

Number = float | Tensor
"""One number for all models, or a tensor that broadcasts against the parameters, such as [K, 1, 1] for [K, H, D]."""


def active(value: Number) -> bool:
    """Tell whether a term with this factor is to be computed: a tensor's always is, since some model may need it.

    Args:
        value: A factor that switches its term off where it is 0.

    Returns:
        False for the number 0.

    Example:
        >>> active(0.0), active(0.9), active(torch.tensor([0.0, 0.9]))
        (False, True, True)
    """
    return isinstance(value, Tensor) or value != 0


def where(condition: bool | Tensor, value: Number, other: Number) -> Any:
    """Return `value` where the condition holds, else `other`; per model if any of them is a tensor.

    Args:
        condition: The condition.
        value: What is returned where it holds.
        other: What is returned elsewhere.

    Returns:
        A number if all three are numbers, else a tensor.

    Example:
        >>> where(2.0 > 1.0, 5.0, 6.0)
        5.0
        >>> where(torch.tensor([True, False]), 5.0, torch.tensor([6.0, 7.0]))
        tensor([5., 7.])
    """
    if isinstance(condition, Tensor):
        return torch.where(condition, _precise(value, condition), _precise(other, condition))
    return value if condition else other


def _precise(value: Number, like: Tensor) -> Tensor:
    """Return a number as a scalar tensor: whole, or of double precision, where `torch.where` would make it single."""
    if isinstance(value, Tensor):
        return value
    return torch.tensor(value, dtype=torch.int64 if isinstance(value, int) else torch.float64, device=like.device)
