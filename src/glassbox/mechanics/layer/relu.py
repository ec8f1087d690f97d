"""The rectifier: negative values become zero."""

import torch
from torch import Tensor


def forward(x: Tensor) -> Tensor:
    r"""Return the rectified inputs.

    .. math::
        y = \max(x, 0)

    Args:
        x: Inputs x, any shape.

    Returns:
        y, of x's shape.

    Example:
        >>> forward(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([0., 0., 2.])
    """
    return x.clamp(min=0)


def backward(grad: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    r"""Return the gradient of the loss L with respect to the inputs: it passes where the unit fires.

    .. math::
        ∂L/∂x = ∂L/∂y  (y > 0),   ∂L/∂x = 0  (y = 0)

    A unit whose y is 0 on every sample receives no gradient at all: it is dead.

    Args:
        grad: ∂L/∂y.
        x: What `forward` was given; not needed here.
        y: What it returned.

    Returns:
        ∂L/∂x, and no parameter's gradient.

    Note:
        The derivative at x = 0 does not exist; torch takes 0.

    Example:
        >>> x = torch.tensor([-1.0, 0.0, 2.0])
        >>> backward(torch.ones(3), x, forward(x))
        (tensor([0., 0., 1.]), {})
    """
    return torch.where(y <= 0, 0.0, grad), {}
