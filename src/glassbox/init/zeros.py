"""All zeros: the initialisation that shows why symmetry must be broken."""

import torch
from torch import Tensor


@torch.no_grad()
def zeros(weight: Tensor, *, generator: torch.Generator) -> Tensor:
    r"""Fill a weight with zeros, W = 0.

    With a hidden layer, h = φ(0) is the same for every unit and row, and the gradient that reaches W₁ is
    multiplied by W₂ = 0: with ReLU only the last bias ever moves, and the net can learn one constant.

    Args:
        weight: W, any shape; changed in place.
        generator: Nothing is drawn from it.

    Returns:
        The weight.

    Example:
        >>> zeros(torch.ones(1, 2), generator=torch.Generator())
        tensor([[0., 0.]])
    """
    return weight.zero_()
