"""The order of the samples: a function of seed and epoch, and of nothing else."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Sampler


class EpochSampler(Sampler[int]):
    """Shuffle by (seed, epoch), with a fresh generator for every epoch.

    So epoch 7 has the same order whether it is reached from the start or from a checkpoint, and whatever else draws
    random numbers meanwhile. It is also a sampler for an ordinary DataLoader: Lightning calls its `set_epoch`.

    Args:
        size: Number of rows N.
        seed: The run's seed.
        shuffle: Whether to shuffle at all.

    Example:
        >>> sampler = EpochSampler(5, seed=0)
        >>> sorted(sampler) == [0, 1, 2, 3, 4]
        True
        >>> first = list(sampler)
        >>> sampler.set_epoch(1)
        >>> first == list(sampler)
        False
    """

    def __init__(self, size: int, seed: int, shuffle: bool = True) -> None:
        self.size = size
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0."""
        self.epoch = epoch

    def order(self, epoch: int) -> Tensor:
        """Return the order of an epoch.

        Args:
            epoch: The epoch, from 0.

        Returns:
            Row numbers [N].
        """
        if not self.shuffle:
            return torch.arange(self.size)
        return torch.randperm(self.size, generator=torch.Generator().manual_seed(mix(self.seed, epoch)))

    def __iter__(self) -> Iterator[int]:
        return iter(self.order(self.epoch).tolist())

    def __len__(self) -> int:
        return self.size


def mix(seed: int, epoch: int) -> int:
    """Return a 64-bit seed for (seed, epoch): pairs that are near give seeds that are far, and none gives the same.

    The pair is packed into one number, `seed * 2^32 + epoch`, and sent through the finaliser of SplitMix64, a bijection
    of 64-bit numbers, so that different pairs of numbers below 2^32 cannot collide.

    Args:
        seed: From 0 to 2^32 - 1.
        epoch: From 0 to 2^32 - 1.

    References:
        Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014.

    Example:
        >>> len({mix(seed, epoch) for seed in range(50) for epoch in range(50)})
        2500
    """
    mask = 2**64 - 1
    z = (((seed << 32) | epoch) + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)
