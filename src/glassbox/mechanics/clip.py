"""Gradient clipping: no update is larger than a limit, however steep the loss is."""

from collections.abc import Mapping

import torch
from torch import Tensor


def by_norm(
    gradients: Mapping[str, Tensor], max_norm: float, norm_type: float = 2.0
) -> tuple[dict[str, Tensor], Tensor]:
    r"""Shrink all gradients by one factor so that their norm is at most a limit; their direction stays.

    With the gradients g₁, g₂, … of all parameters seen as one vector and c = `max_norm`:

    .. math::
        n = (\sum_i \sum_j |g_{ij}|^p)^{1/p},   g_i ← g_i \min(1, c / n)

    Args:
        gradients: Parameter name → gradient, all of them.
        max_norm: c, in units of the gradient.
        norm_type: p; infinity is the largest absolute value.

    Returns:
        Parameter name → clipped gradient, and the norm n before clipping.

    References:
        Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks, 2013, algorithm 1.

    Note:
        torch divides by n + 10⁻⁶, so a clipped norm is a little below c.

    Example:
        >>> clipped, norm = by_norm({"weight": torch.tensor([3.0]), "bias": torch.tensor([4.0])}, max_norm=1.0)
        >>> clipped["weight"], norm
        (tensor([0.6000]), tensor(5.))
    """
    norms = [torch.linalg.vector_norm(grad, norm_type) for grad in gradients.values()]
    norm = torch.linalg.vector_norm(torch.stack(norms), norm_type)
    factor = torch.clamp(max_norm / (norm + 1e-6), max=1.0)
    return {name: grad * factor for name, grad in gradients.items()}, norm


def by_value(gradients: Mapping[str, Tensor], clip_value: float) -> dict[str, Tensor]:
    r"""Cut every number of every gradient off at a limit; the direction changes.

    .. math::
        g_{ij} ← \max(-c, \min(c, g_{ij}))

    Args:
        gradients: Parameter name → gradient.
        clip_value: c, in units of the gradient.

    Returns:
        Parameter name → clipped gradient.

    Example:
        >>> by_value({"weight": torch.tensor([3.0, -0.5, -2.0])}, clip_value=1.0)
        {'weight': tensor([ 1.0000, -0.5000, -1.0000])}
    """
    return {name: grad.clamp(-clip_value, clip_value) for name, grad in gradients.items()}
