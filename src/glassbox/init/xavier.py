"""Glorot's initialisation: a compromise between keeping signals and keeping gradients."""

import math

import torch
from torch import Tensor

from glassbox.init.draw import draw
from glassbox.init.fan import fans


def xavier(weight: Tensor, *, generator: torch.Generator, gain: float = 1.0, distribution: str = "uniform") -> Tensor:
    r"""Fill a weight so that variances stay about the same forwards and backwards, if the activation is near linear.

    .. math::
        σ = g \sqrt{2 / (fan_{in} + fan_{out})}

    Keeping the variance of signals asks for σ² = 1 / fan_in, that of gradients for σ² = 1 / fan_out; the formula
    takes the mean of both fans. g = `gain`.

    Args:
        weight: W, at least two axes, outputs first; changed in place.
        generator: The source of the draws.
        gain: g > 0; more than 1 makes up for what an activation takes away.
        distribution: `uniform` or `normal`, of standard deviation σ.

    Returns:
        The weight.

    Raises:
        BadInput: The distribution is neither.
        RuntimeError: `gain` is negative or NaN.

    References:
        Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010.

    Example:
        >>> w = xavier(torch.empty(4, 2), generator=torch.Generator().manual_seed(0))
        >>> bool(w.abs().max() <= 1.0)
        True
    """
    fan_in, fan_out = fans(weight)
    return draw(weight, gain * math.sqrt(2.0 / (fan_in + fan_out)), distribution, generator)
