"""The arithmetic of an update, with one factor that is a number or a tensor.

With a number each function is torch's own operation of that name, so the rounding is torch's. With a tensor it is the
same formula, broadcast. The tensor may be more precise than the parameters: what is done with it beforehand, such as
1 - β, is done in its own type, and it is rounded to theirs here, as torch does with a number.
"""

import torch
from torch import Tensor

from glassbox.mechanics.number import Number


def like(x: Tensor, value: Number) -> Number:
    """Return a number as it is, and a tensor in x's type.

    Args:
        x: A tensor of the type that is wanted.
        value: A hyper-parameter, or what has been computed from some.

    Returns:
        The value.

    Example:
        >>> like(torch.zeros(2), torch.tensor([0.5], dtype=torch.float64)).dtype, like(torch.zeros(2), 0.1)
        (torch.float32, 0.1)
    """
    if not isinstance(value, Tensor):
        return value
    value = value.to(x.dtype)
    # Compiled, what has strides is computed beforehand; all else again for every element of x, such as a power.
    return value.as_strided(value.shape, value.stride()) if torch.compiler.is_compiling() else value


def add(x: Tensor, y: Tensor, alpha: Number) -> Tensor:
    r"""Return a sum of which one term is scaled.

    .. math::
        x + α y

    Args:
        x: x.
        y: y.
        alpha: α.

    Returns:
        The sum, of x's type.

    Example:
        >>> add(torch.tensor([1.0, 2.0]), torch.tensor([4.0, 4.0]), alpha=-0.25)
        tensor([0., 1.])
    """
    if isinstance(alpha, Tensor):
        return torch.addcmul(x, y, alpha.to(x.dtype))
    return torch.add(x, y, alpha=alpha)


def lerp(x: Tensor, y: Tensor, weight: Number) -> Tensor:
    r"""Return a point between two: a running average moves towards what is new.

    .. math::
        x + w (y - x) = (1 - w) x + w y

    Args:
        x: x.
        y: y.
        weight: w.

    Returns:
        The point, of x's type.

    Example:
        >>> lerp(torch.tensor([0.0, 10.0]), torch.tensor([10.0, 10.0]), weight=0.25)
        tensor([ 2.5000, 10.0000])
    """
    return torch.lerp(x, y, like(x, weight))


def addcmul(x: Tensor, y: Tensor, z: Tensor, value: Number) -> Tensor:
    r"""Return a sum with a scaled product.

    .. math::
        x + v y z

    Args:
        x: x.
        y: y.
        z: z.
        value: v.

    Returns:
        The sum, of x's type.

    Example:
        >>> addcmul(torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([3.0]), value=0.5)
        tensor([4.])
    """
    if isinstance(value, Tensor):
        return torch.addcmul(x, y * like(y, value), z)
    return torch.addcmul(x, y, z, value=value)


def addcdiv(x: Tensor, y: Tensor, z: Tensor, value: Number) -> Tensor:
    r"""Return a sum with a scaled quotient.

    .. math::
        x + v y / z

    Args:
        x: x.
        y: y.
        z: z.
        value: v.

    Returns:
        The sum, of x's type.

    Example:
        >>> addcdiv(torch.tensor([1.0]), torch.tensor([3.0]), torch.tensor([2.0]), value=-0.5)
        tensor([0.2500])
    """
    if isinstance(value, Tensor):
        return torch.addcdiv(x, y * like(y, value), z)
    return torch.addcdiv(x, y, z, value=value)
