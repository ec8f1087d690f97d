"""Batches cut from tensors that fit in memory."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from glassbox.data.sampler import share


class TensorBatches:
    """Cut tensors into batches: one gather per epoch, then views; no row is touched alone.

    A DataLoader fetches a batch row by row and stacks it; for a small net that takes longer than the step.

    Args:
        tensors: Tensors of N rows, on the device where they are used.
        batch_size: Rows B of a batch over all processes; the last batch may be smaller.
        order: Called at the start of each epoch, returns row numbers [N]; None keeps the order of the tensors.
        rank: Number of this process.
        world: Number of processes; each takes every `world`-th row of a batch, and none of a batch that is too small.

    Example:
        >>> import torch
        >>> [batch[0].tolist() for batch in TensorBatches((torch.arange(5),), batch_size=2)]
        [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        tensors: tuple[Tensor, ...],
        batch_size: int,
        order: Callable[[], Tensor] | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.tensors = tensors
        self.batch_size = batch_size
        self.order = order
        self.rank = rank
        self.world = world

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        tensors = self.tensors
        if self.order is not None:
            order = self.order().to(tensors[0].device)
            tensors = tuple(tensor[order] for tensor in tensors)
        batches = zip(*(torch.split(tensor, self.batch_size) for tensor in tensors), strict=True)
        if self.world == 1:
            return batches
        return (tuple(part[self.rank :: self.world] for part in batch) for batch in batches)

    def __len__(self) -> int:
        return -(-len(self.tensors[0]) // self.batch_size)

    def share(self, index: int) -> float:
        """Return the rows of this process in a batch over those of a process on average.

        Args:
            index: Number of the batch.
        """
        return share(min(self.batch_size, len(self.tensors[0]) - index * self.batch_size), self.rank, self.world)
