"""The order of the samples, a function of seed and epoch alone; and how processes share out its batches."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Sampler

from glassbox.errors import BadInput


class EpochSampler(Sampler[int]):
    """Shuffle by the seed, and what is shuffled once more by the epoch.

    Each order is uniformly random, and two of one seed or of one epoch are independent. The second shuffle is the same
    for all seeds, which have the way that places move from epoch to epoch in common, but never the rows there. So many
    seeds need one shuffle each for all epochs, and one per epoch for all.

    Epoch 7 has the same order whether it is reached from the start or from a checkpoint, and whatever else draws random
    numbers meanwhile. It is also a sampler for an ordinary DataLoader: Lightning calls its `set_epoch`.

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
        return by_seed(self.size, self.seed)[by_epoch(self.size, epoch)]

    def __iter__(self) -> Iterator[int]:
        return iter(self.order(self.epoch).tolist())

    def __len__(self) -> int:
        return self.size


class SharedBatches(Sampler[list[int]]):
    """The rows of one process in the batches of a DataLoader: every `world`-th row of each batch.

    Args:
        batches: The batch sampler of the whole, which knows its length.
        rank: Number of this process.
        world: Number of processes.
        agree: Called with the batches of an epoch, returns those of the first process: the order may come from random
            numbers that processes do not share.

    Raises:
        BadInput: A batch has fewer rows than there are processes.

    Example:
        >>> from torch.utils.data import BatchSampler
        >>> whole = BatchSampler(range(5), batch_size=3, drop_last=False)
        >>> [list(SharedBatches(whole, rank, 2)) for rank in (0, 1)]
        [[[0, 2], [3]], [[1], [4]]]
    """

    def __init__(
        self, batches: Any, rank: int, world: int, agree: Callable[[list[list[int]]], list[list[int]]] = list
    ) -> None:
        self.batches = batches
        self.sampler = getattr(batches, "sampler", None)  # Lightning tells it the epoch
        self.rank = rank
        self.world = world
        self.agree = agree
        self._sizes: Sequence[int] = ()

    def __iter__(self) -> Iterator[list[int]]:
        whole = self.agree([list(batch) for batch in islice(self.batches, len(self))])
        self._sizes = [len(batch) for batch in whole]
        if min(self._sizes, default=self.world) < self.world:
            raise BadInput(
                f"trainer.devices={self.world}: a batch of {min(self._sizes)} rows has no row for some of the "
                "processes; choose another batch_size, drop_last=True in the DataLoader, or fewer devices"
            )
        for batch in whole:
            yield batch[self.rank :: self.world]

    def __len__(self) -> int:
        return len(self.batches)

    def share(self, index: int) -> float:
        """Return the rows of this process in a batch over those of a process on average.

        Args:
            index: Number of the batch in the running epoch.
        """
        return share(self._sizes[index], self.rank, self.world)


def share(rows: int, rank: int, world: int) -> float:
    """Return what weight the mean over one process's rows of a batch has in the mean over processes.

    Args:
        rows: Rows of the batch.
        rank: Number of the process, which takes every `world`-th row.
        world: Number of processes.

    Example:
        >>> [share(3, rank, 2) for rank in (0, 1)]  # two rows and one
        [1.3333333333333333, 0.6666666666666666]
    """
    return len(range(rank, rows, world)) * world / rows


def by_seed(size: int, seed: int) -> Tensor:
    """Return the rows as a seed shuffles them, before any epoch.

    Args:
        size: Number of rows N.
        seed: The run's seed.

    Returns:
        Row numbers [N].

    Example:
        >>> by_seed(5, 0).sort().values
        tensor([0, 1, 2, 3, 4])
    """
    return torch.randperm(size, generator=torch.Generator().manual_seed(mix(seed, 0)))


def by_epoch(size: int, epoch: int) -> Tensor:
    """Return how an epoch shuffles what a seed has shuffled, whatever the seed.

    Args:
        size: Number of rows N.
        epoch: The epoch, from 0.

    Returns:
        Numbers of places [N].

    Example:
        >>> bool((by_epoch(50, 0) == by_epoch(50, 1)).all())
        False
    """
    return torch.randperm(size, generator=torch.Generator().manual_seed(mix(0, epoch + 1)))


def mix(seed: int, epoch: int) -> int:
    """Return a 64-bit seed for (seed, epoch): pairs that are near give seeds that are far.

    The pair is packed into one number, `seed * 2^32 + epoch`, and sent through the finaliser of SplitMix64, a bijection
    of 64-bit numbers, so that different pairs of numbers below 2^32 cannot collide. torch's generator on the CPU takes
    the low 32 bits of it, of which two among n are equal with a chance of n² / 2^33.

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
