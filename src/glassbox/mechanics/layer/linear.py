"""The linear layer: every output is a weighted sum of all inputs."""

import torch
from torch import Tensor


def forward(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""Return the outputs of a linear layer.

    .. math::
        y = x W^T + b

    Args:
        x: Inputs x [B, D].
        weight: W [H, D].
        bias: b [H]; None for a layer without.

    Returns:
        y [B, H].

    Note:
        torch adds b inside the matrix product (`addmm`), which rounds once less than adding it afterwards.

    Example:
        >>> forward(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([0.5]))
        tensor([[11.5000]])
    """
    return x @ weight.T if bias is None else torch.addmm(bias, x, weight.T)


def backward(
    grad: Tensor, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    r"""Return the gradients of the loss L with respect to the inputs and the parameters.

    With G = ∂L/∂y:

    .. math::
        ∂L/∂x = G W,   ∂L/∂W = G^T x,   ∂L/∂b_h = \sum_b G_{bh}

    Args:
        grad: G [B, H].
        x: What `forward` was given [B, D].
        y: What it returned; not needed here.
        weight: W [H, D].
        bias: b [H]; None for a layer without.

    Returns:
        ∂L/∂x [B, D], and the gradients by parameter name, each of its parameter's shape.

    Note:
        Where x lies in memory column by column, as a single number does too, torch computes the first product
        transposed: the same numbers, rounded in another order.

    Example:
        >>> grad, x, weight = torch.tensor([[1.0], [2.0]]), torch.eye(2), torch.tensor([[3.0, 4.0]])
        >>> backward(grad, x, x @ weight.T, weight)
        (tensor([[3., 4.],
                [6., 8.]]), {'weight': tensor([[1., 2.]])})
    """
    by_column = x.stride() == (1, x.shape[0])
    grad_x = (weight.T @ grad.T).T if by_column else grad @ weight
    gradients = {"weight": grad.T @ x}
    if bias is not None:
        gradients["bias"] = grad.sum(0)
    return grad_x, gradients
