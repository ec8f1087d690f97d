"""Mean squared error: what least squares minimises."""

from torch import Tensor


def forward(prediction: Tensor, target: Tensor) -> Tensor:
    r"""Return the mean squared error.

    With predictions ŷ and targets y, over all M elements:

    .. math::
        L = \frac{1}{M} \sum_i (ŷ_i - y_i)^2

    Args:
        prediction: ŷ, usually [B, 1].
        target: y, of ŷ's shape and type.

    Returns:
        L, in squared units of y.

    Example:
        >>> import torch
        >>> forward(torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [4.0]]))
        tensor(2.)
    """
    return ((prediction - target) ** 2).mean()


def backward(prediction: Tensor, target: Tensor, grad: float | Tensor = 1.0) -> Tensor:
    r"""Return the gradient with respect to the predictions.

    .. math::
        ∂L/∂ŷ_i = \frac{2}{M} (ŷ_i - y_i)

    Args:
        prediction: ŷ, usually [B, 1].
        target: y, of ŷ's shape and type.
        grad: What the loss is multiplied by before anything else is done to it, such as 1 / (batches to accumulate).

    Returns:
        ∂L/∂ŷ times `grad`, of ŷ's shape.

    Example:
        >>> import torch
        >>> backward(torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [4.0]]))
        tensor([[ 0.],
                [-2.]])
    """
    return 2 / prediction.numel() * (prediction - target) * grad
