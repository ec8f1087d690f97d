"""Binary cross entropy of logits: the cost in nats of predicting the classes with the net's probabilities."""

import torch
from torch import Tensor


def forward(logits: Tensor, target: Tensor) -> Tensor:
    r"""Return the mean binary cross entropy.

    With logits z, targets y in [0, 1] and the predicted probability σ(z) = 1 / (1 + e⁻ᶻ), over all M elements:

    .. math::
        L = -\frac{1}{M} \sum_i y_i \log σ(z_i) + (1 - y_i) \log(1 - σ(z_i))
          = \frac{1}{M} \sum_i (1 - y_i) z_i - \log σ(z_i)

    The second form follows from log(1 - σ(z)) = log σ(z) - z; with log σ(z) = min(z, 0) - log(1 + e⁻ᶻ for z ≥ 0,
    eᶻ for z < 0) it never takes the logarithm of a rounded 0, which the first form does from z ≈ 17 on in float32.

    Args:
        logits: z, usually [B, 1].
        target: y, of z's shape and type.

    Returns:
        L, in nats; an untrained net gives about ln 2 = 0.693.

    Example:
        >>> forward(torch.zeros(4, 1), torch.tensor([[0.0], [1.0], [1.0], [0.0]]))
        tensor(0.6931)
        >>> forward(torch.tensor([[1000.0]]), torch.tensor([[0.0]]))
        tensor(1000.)
    """
    return ((1 - target) * logits - torch.nn.functional.logsigmoid(logits)).mean()


def backward(logits: Tensor, target: Tensor, grad: float | Tensor = 1.0) -> Tensor:
    r"""Return the gradient with respect to the logits: predicted minus true.

    .. math::
        ∂L/∂z_i = (σ(z_i) - y_i) / M

    Args:
        logits: z, usually [B, 1].
        target: y, of z's shape and type.
        grad: What the loss is multiplied by before anything else is done to it, such as 1 / (batches to accumulate).

    Returns:
        ∂L/∂z times `grad`, of z's shape.

    Example:
        >>> backward(torch.zeros(2, 1), torch.tensor([[0.0], [1.0]]))
        tensor([[ 0.2500],
                [-0.2500]])
    """
    return (torch.sigmoid(logits) - target) * grad / logits.numel()
