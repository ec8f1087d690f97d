"""The order of the samples of every member, made once for members of the same seed."""

from collections.abc import Sequence

import torch
from torch import Tensor

from glassbox.data.sampler import mix


class Orders:
    """The orders of an epoch, each as the member's run alone has it.

    Args:
        samples: Number of rows N.
        seeds: Seed of each of K members.
        device: Where they are used.

    Example:
        >>> from glassbox.data.sampler import EpochSampler
        >>> orders = Orders(5, [0, 1, 0])
        >>> order = orders.epoch(7)
        >>> order.shape, torch.equal(order[:, 0].long(), EpochSampler(5, seed=0).order(7))
        (torch.Size([5, 3]), True)
        >>> torch.equal(order[:, 0], order[:, 2]), torch.equal(order[:, 0], order[:, 1])
        (True, False)
    """

    def __init__(self, samples: int, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self._seeds = {seed: number for number, seed in enumerate(dict.fromkeys(seeds))}
        self._which = torch.tensor([self._seeds[seed] for seed in seeds], device=device)
        self._orders = torch.empty(len(self._seeds), samples, dtype=torch.int32)
        self._generator = torch.Generator()

    def epoch(self, epoch: int) -> Tensor:
        """Return the rows in the order of each member [N, K].

        Args:
            epoch: The epoch, from 0.
        """
        # As EpochSampler does it, with one generator that is seeded anew: making one takes as long as half an order.
        for row, seed in zip(self._orders, self._seeds, strict=True):
            torch.randperm(len(row), generator=self._generator.manual_seed(mix(seed, epoch)), out=row, dtype=row.dtype)
        return self._orders.to(self._which.device).T.contiguous().index_select(1, self._which)
