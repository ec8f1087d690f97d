"""Gaussian weights of one width for every layer."""

import torch
from torch import Tensor


@torch.no_grad()
def normal(weight: Tensor, *, generator: torch.Generator, mean: float = 0.0, std: float = 0.1) -> Tensor:
    r"""Fill a weight with independent Gaussian draws.

    .. math::
        W_{ij} \sim N(μ, σ^2)

    with μ = `mean` and σ = `std`, whatever the size of the layer. A layer of D inputs multiplies the size of a
    signal by about σ √D, so one σ cannot suit narrow and wide layers alike; `xavier` and `kaiming` divide by √D.

    Args:
        weight: W, any shape; changed in place.
        generator: The source of the draws.
        mean: μ.
        std: σ ≥ 0.

    Returns:
        The weight.

    Raises:
        RuntimeError: `std` is negative or NaN.

    Example:
        >>> normal(torch.ones(1, 2), generator=torch.Generator(), mean=3.0, std=0.0)
        tensor([[3., 3.]])
    """
    return weight.normal_(mean, std, generator=generator)
