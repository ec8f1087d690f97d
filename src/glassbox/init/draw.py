"""Zero-mean draws of a given variance: the last step of `xavier` and `kaiming`."""

import math

import torch
from torch import Tensor

from glassbox.errors import BadInput


@torch.no_grad()
def draw(weight: Tensor, std: float, distribution: str, generator: torch.Generator) -> Tensor:
    r"""Fill a weight with independent draws of mean 0 and standard deviation σ.

    .. math::
        uniform: W_{ij} \sim U(-\sqrt{3} σ, \sqrt{3} σ),   normal: W_{ij} \sim N(0, σ^2)

    The variance of U(-a, a) is a² / 3, hence a = √3 σ.

    Args:
        weight: W, any shape; changed in place.
        std: σ > 0.
        distribution: `uniform` or `normal`.
        generator: The source of the draws.

    Returns:
        The weight.

    Raises:
        BadInput: The distribution is neither.
        RuntimeError: `std` is negative or NaN.

    Example:
        >>> w = draw(torch.empty(1000), 2.0, "uniform", torch.Generator().manual_seed(0))
        >>> bool(w.abs().max() <= 2.0 * math.sqrt(3.0))
        True
    """
    if distribution == "uniform":
        bound = math.sqrt(3.0) * std
        return weight.uniform_(-bound, bound, generator=generator)
    if distribution == "normal":
        return weight.normal_(0.0, std, generator=generator)
    raise BadInput(f"init.distribution={distribution}: must be uniform or normal")
