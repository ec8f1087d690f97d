"""Any net without state of its own, by torch.func: the member axis comes first in memory."""

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap


class Vmapped:
    """A net and its loss, applied to K members by vmap.

    Args:
        net: The net; its own weights are not used.
        loss: The loss; (output, target) → scalar.

    Example:
        >>> net = Vmapped(nn.Linear(2, 1), nn.MSELoss())
        >>> theta = net.place(torch.ones(3, 4))
        >>> net.output(theta, torch.ones(5, 2)).shape
        torch.Size([5, 1, 4])
        >>> (batch,) = net.batches(torch.ones(5, 2), torch.ones(5, 1), torch.zeros(2, 4, dtype=torch.int64), size=2)
        >>> [tensor.shape for tensor in net.gradient(theta, batch)]
        [torch.Size([2, 1, 4]), torch.Size([4]), torch.Size([3, 4])]
    """

    def __init__(self, net: nn.Module, loss: nn.Module) -> None:
        self.net = net
        self.loss = loss
        parameters = dict(net.named_parameters())
        self.names = list(parameters)
        self.shapes = [p.shape for p in parameters.values()]
        self._sizes = [p.numel() for p in parameters.values()]

    def place(self, theta: Tensor) -> Tensor:
        """Return parameters [P, K] with those of a member side by side in memory."""
        return theta.T.contiguous().T

    def batches(self, x: Tensor, y: Tensor, order: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
        """Return the batches of some steps, [K, B, D] and [K, B] or [K, B, 1].

        Args:
            x: Features [N, D].
            y: Targets [N] or [N, 1].
            order: Rows of each member's batches, one batch after another [T B, K].
            size: Rows B of a batch; the last may be smaller.
        """
        rows = order.T.reshape(-1)
        x, y = (t.index_select(0, rows).view(order.shape[1], order.shape[0], *t.shape[1:]) for t in (x, y))
        return list(zip(torch.split(x, size, 1), torch.split(y, size, 1), strict=True))

    def gradient(self, theta: Tensor, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return outputs [B, C, K], mean losses [K] and their gradients [P, K].

        Args:
            theta: Parameters [P, K].
            batch: One of those that `batches` returned.
        """
        grad, (loss, output) = vmap(grad_and_value(self._loss, has_aux=True))(theta.T, *batch)
        return output.movedim(0, -1), loss, grad.T

    def output(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return what all members make of the same rows, [N, C, K].

        Args:
            theta: Parameters [P, K].
            x: Features [N, D].
        """
        output: Tensor = vmap(self._output, in_dims=(0, None), out_dims=-1)(theta.T, x)
        return output

    def _output(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return the outputs of one member [B, C], whose parameters are [P]."""
        parts = zip(self.names, torch.split(theta, self._sizes), self.shapes, strict=True)
        output: Tensor = functional_call(self.net, {name: part.view(shape) for name, part, shape in parts}, (x,))
        return output

    def _loss(self, theta: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        output = self._output(theta, x)
        loss: Tensor = self.loss(output, y)
        return loss, output
