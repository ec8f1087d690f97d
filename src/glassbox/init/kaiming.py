"""He's initialisation: it makes up for the half of the signal that a ReLU drops."""

import math

import torch
from torch import Tensor

from glassbox.errors import BadInput
from glassbox.init.draw import draw
from glassbox.init.fan import fans

# How much each activation shrinks a signal of unit variance, inverted; `leaky_relu` depends on its slope.
GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 0.75}


def kaiming(
    weight: Tensor,
    *,
    generator: torch.Generator,
    mode: str = "fan_in",
    nonlinearity: str = "relu",
    a: float = 0.0,
    distribution: str = "uniform",
) -> Tensor:
    r"""Fill a weight so that the variance of signals (or of gradients) stays the same through the activation.

    .. math::
        σ = g / \sqrt{fan}

    with fan = fan_in (keeps signals) or fan_out (keeps gradients) by `mode`, and the gain g of `nonlinearity`: √2
    for ReLU, because half of a symmetric signal's power is dropped; √(2 / (1 + a²)) for a leaky ReLU of slope `a`.

    Args:
        weight: W, at least two axes, outputs first; changed in place.
        generator: The source of the draws.
        mode: `fan_in` or `fan_out`.
        nonlinearity: linear, sigmoid, tanh, relu, leaky_relu or selu, as torch spells them.
        a: Slope of a leaky ReLU on the negative side.
        distribution: `uniform` or `normal`, of standard deviation σ.

    Returns:
        The weight.

    Raises:
        BadInput: The mode, nonlinearity or distribution is unknown.

    References:
        He et al., Delving deep into rectifiers, 2015.

    Note:
        torch's `kaiming_uniform_` takes a leaky ReLU unless told otherwise; the nets here have ReLUs, so `relu` is
        the default.

    Example:
        >>> w = kaiming(torch.empty(8, 6), generator=torch.Generator().manual_seed(0))
        >>> bool(w.abs().max() <= 1.0)
        True
    """
    fan_in, fan_out = fans(weight)
    fan = {"fan_in": fan_in, "fan_out": fan_out}.get(mode)
    if fan is None:
        raise BadInput(f"init.mode={mode}: must be fan_in or fan_out")
    gain = (GAINS | {"leaky_relu": math.sqrt(2.0 / (1.0 + a**2))}).get(nonlinearity)
    if gain is None:
        raise BadInput(f"init.nonlinearity={nonlinearity}: must be one of {', '.join([*GAINS, 'leaky_relu'])}")
    return draw(weight, gain / math.sqrt(fan), distribution, generator)
