"""Outputs and losses of all members on the same rows, in the batches of a run alone."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from glassbox.population.net import Net

Evaluate = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def evaluation(net: Net, loss: nn.Module, batch_size: int) -> Evaluate:
    """Return the function (theta [P, K], x [N, D], y [N] or [N, 1]) → (outputs [N, C, K], batches' mean losses [T, K]).

    Args:
        net: The net.
        loss: The loss; (output, target) → scalar.
        batch_size: Rows B of a batch.
    """
    of_members = torch.func.vmap(loss, in_dims=-1)

    def evaluate(theta: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        output = net.output(theta, x)
        whole = len(x) // batch_size * batch_size
        target = y[..., None].expand(*y.shape, output.shape[-1])
        losses = []
        if whole:
            batches = (part[:whole].view(-1, batch_size, *part.shape[1:]) for part in (output, target))
            losses.append(torch.func.vmap(of_members)(*batches))
        if whole < len(x):
            losses.append(of_members(output[whole:], target[whole:])[None])
        return output, torch.cat(losses)

    return evaluate
