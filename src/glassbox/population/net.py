"""What a population asks of a net: outputs and gradients of all members at once."""

from typing import Protocol

import torch
from torch import Tensor, nn

from glassbox.population.chain import Chain
from glassbox.population.vmapped import Vmapped

Batch = tuple[Tensor, Tensor]


class Net(Protocol):
    """A net of K members, whose parameters are one tensor [P, K].

    Attributes:
        names: Names of the parameters, in the order in which they stand in it.
        shapes: Their shapes.
    """

    names: list[str]
    shapes: list[torch.Size]

    def place(self, theta: Tensor) -> Tensor:
        """Return parameters [P, K] as they lie best in memory."""
        ...

    def batches(self, x: Tensor, y: Tensor, order: Tensor, size: int) -> list[Batch]:
        """Return the batches of some steps, in a layout of its own.

        Args:
            x: Features [N, D].
            y: Targets [N] or [N, 1].
            order: Rows of each member's batches, one batch after another [T B, K].
            size: Rows B of a batch; the last may be smaller.
        """
        ...

    def gradient(self, theta: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return outputs [B, C, K], mean losses [K] and their gradients [P, K].

        Args:
            theta: Parameters [P, K].
            batch: One of those that `batches` returned.
        """
        ...

    def output(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return what all members make of the same rows, [N, C, K].

        Args:
            theta: Parameters [P, K].
            x: Features [N, D].
        """
        ...


def choose(net: nn.Module, loss: nn.Module) -> Net:
    """Return the fastest form of a net and its loss.

    Args:
        net: The net.
        loss: The loss.
    """
    return Chain.of(net, loss) or Vmapped(net, loss)
