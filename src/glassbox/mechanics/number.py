"""A hyper-parameter is a number, or a tensor with one number per model; both go through the same formulas."""

import math

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


def double(*values: Number) -> tuple[Number, ...]:
    """Return all values as tensors of double precision if one is a tensor, so that they divide as Python's numbers do.

    Args:
        values: Numbers of one formula. Left as they are, a tensor of whole numbers times 0.5 would be single precision,
            and 1.0 / tensor, which torch takes for a product with the reciprocal, be off in the last digit.

    Returns:
        The values, as they are if all are numbers.

    Example:
        >>> double(3, 0.5)
        (3, 0.5)
        >>> double(torch.tensor([3, 5]), 0.5)
        (tensor([3., 5.], dtype=torch.float64), tensor(0.5000, dtype=torch.float64))
    """
    devices = [value.device for value in values if isinstance(value, Tensor)]
    if not devices:
        return values
    return tuple(torch.as_tensor(value, dtype=torch.float64, device=devices[0]) for value in values)


def cos(angle: Number) -> Number:
    """Return the cosine.

    Args:
        angle: In radians.

    Returns:
        A number if the angle is one, else a tensor.

    Example:
        >>> cos(math.pi), cos(torch.tensor([0.0, math.pi]))
        (-1.0, tensor([ 1., -1.]))
    """
    return torch.cos(angle) if isinstance(angle, Tensor) else math.cos(angle)


def where(condition: bool | Tensor, value: Number, other: Number) -> Number:
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
