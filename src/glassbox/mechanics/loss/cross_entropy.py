"""Cross entropy of logits over C classes: the cost in nats of predicting the classes with the net's probabilities."""

import torch
from torch import Tensor


def forward(logits: Tensor, target: Tensor) -> Tensor:
    r"""Return the mean cross entropy.

    With logits z and true classes k:

    .. math::
        L = -\frac{1}{B} \sum_b \log p_{b k_b},   \log p_{bc} = z_{bc} - \log \sum_j e^{z_{bj}}

    Args:
        logits: z [B, C].
        target: k [B], whole numbers from 0 to C - 1.

    Returns:
        L, in nats; an untrained net gives about ln C.

    Note:
        The average is torch's own `nll_loss`, which adds the B numbers in an order of its own.

    Example:
        >>> forward(torch.zeros(2, 10), torch.tensor([3, 7]))
        tensor(2.3026)
    """
    return torch.nn.functional.nll_loss(torch.log_softmax(logits, dim=1), target)


def backward(logits: Tensor, target: Tensor, grad: float | Tensor = 1.0) -> Tensor:
    r"""Return the gradient with respect to the logits: predicted minus true.

    Through log p, with G = ∂L/∂(log p), which is -1/B at the true class and 0 elsewhere:

    .. math::
        ∂L/∂z_{bc} = G_{bc} - p_{bc} \sum_j G_{bj} = (p_{bc} - [c = k_b]) / B

    Args:
        logits: z [B, C].
        target: k [B], whole numbers from 0 to C - 1.
        grad: What the loss is multiplied by before anything else is done to it, such as 1 / (batches to accumulate).

    Returns:
        ∂L/∂z [B, C] times `grad`.

    Note:
        torch computes the middle form in one kernel whose exponential differs from `exp` in the last bit; the kernel
        itself is called here.

    Example:
        >>> backward(torch.zeros(1, 4), torch.tensor([0]))
        tensor([[-0.7500,  0.2500,  0.2500,  0.2500]])
    """
    log_p = torch.log_softmax(logits, dim=1)
    one_hot = torch.nn.functional.one_hot(target, logits.shape[1]).to(logits.dtype)
    grad_log_p = one_hot * (-grad / len(target))
    grad_logits: Tensor = torch.ops.aten._log_softmax_backward_data(grad_log_p, log_p, 1, logits.dtype)
    return grad_logits
