"""The order of the samples of every member."""

from collections.abc import Sequence

import torch
from torch import Tensor

from glassbox.data.sampler import by_epoch, by_seed


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
        shuffled = {seed: by_seed(samples, seed).int() for seed in dict.fromkeys(seeds)}
        self._rows = torch.stack([shuffled[seed] for seed in seeds], dim=1).to(device)

    def epoch(self, epoch: int) -> Tensor:
        """Return the rows in the order of each member [N, K].

        Args:
            epoch: The epoch, from 0.
        """
        return self._rows.index_select(0, by_epoch(len(self._rows), epoch).to(self._rows.device))
