"""The logistic function: values are squeezed into (0, 1), as a probability is."""

import torch
from torch import Tensor


def forward(x: Tensor) -> Tensor:
    r"""Return the logistic function of the inputs.

    .. math::
        y = σ(x) = 1 / (1 + e^{-x})

    Args:
        x: Inputs x, any shape.

    Returns:
        y, of x's shape.

    Example:
        >>> forward(torch.tensor([-100.0, 0.0, 100.0]))
        tensor([0.0000, 0.5000, 1.0000])
    """
    return torch.sigmoid(x)


def backward(grad: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    r"""Return the gradient of the loss L with respect to the inputs.

    .. math::
        ∂L/∂x = ∂L/∂y \, (1 - y) \, y

    It is at most a quarter of ∂L/∂y, and vanishes where y is near 0 or 1: the unit is saturated.

    Args:
        grad: ∂L/∂y.
        x: What `forward` was given; not needed here.
        y: What it returned.

    Returns:
        ∂L/∂x, and no parameter's gradient.

    Example:
        >>> x = torch.tensor([0.0, 100.0])
        >>> backward(torch.ones(2), x, forward(x))
        (tensor([0.2500, 0.0000]), {})
    """
    return grad * (1 - y) * y, {}
