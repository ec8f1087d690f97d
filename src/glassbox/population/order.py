"""The order of the samples of every member, made once for members of the same seed."""

from collections.abc import Sequence

import torch
from torch import Tensor

from glassbox.data.sampler import EpochSampler


class Orders:
    """The orders of an epoch, each as the member's run alone has it.

    Args:
        samples: Number of rows N.
        seeds: Seed of each of K members.
        device: Where they are used.

    Example:
        >>> orders = Orders(5, [0, 1, 0])
        >>> order = orders.epoch(7)
        >>> order.shape, torch.equal(order[:, 0], EpochSampler(5, seed=0).order(7))
        (torch.Size([5, 3]), True)
        >>> torch.equal(order[:, 0], order[:, 2]), torch.equal(order[:, 0], order[:, 1])
        (True, False)
    """

    def __init__(self, samples: int, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        distinct = {seed: number for number, seed in enumerate(dict.fromkeys(seeds))}
        self._samplers = [EpochSampler(samples, seed) for seed in distinct]
        self._which = torch.tensor([distinct[seed] for seed in seeds], device=device)

    def epoch(self, epoch: int) -> Tensor:
        """Return the rows in the order of each member [N, K].

        Args:
            epoch: The epoch, from 0.
        """
        orders = torch.stack([sampler.order(epoch) for sampler in self._samplers])
        return orders.to(self._which.device)[self._which].T
