"""What a member costs in memory, measured: the tensors that live at the peak of a short training."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from glassbox.data.module import TableModule
from glassbox.population.member import Cohort, Member
from glassbox.population.setting import LANES, Setting
from glassbox.population.train import Program


def memory(cohort: Cohort, datamodule: TableModule, member: Member) -> tuple[int, int]:
    """Return the bytes that a member takes while it trains, and the bytes that are free where it does.

    Args:
        cohort: The cohort.
        datamodule: What it trains on.
        member: One of its members.
    """
    few, more = (peak(cohort, datamodule, member, width) for width in (LANES, 2 * LANES))
    return (more - few) // LANES, free_memory(cohort)


def peak(cohort: Cohort, datamodule: TableModule, member: Member, width: int) -> int:
    """Return the bytes of all tensors that a population has at once, at most, in two epochs.

    Args:
        cohort: The cohort.
        datamodule: What it trains on.
        member: One of its members, whom all places repeat.
        width: How many places.
    """
    program = Program(replace(cohort, max_epochs=2), datamodule, Setting(width))
    live = Live()
    with live:
        program.train([member])
    return live.most


class Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count the bytes of the tensors that operations make, as long as these live.

    Attributes:
        most: The most at once.

    Example:
        >>> with Live() as live:
        ...     for _ in range(9):
        ...         x = torch.zeros(1000) + 1
        >>> live.most
        12000
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Make an operation, and count what is new of its results."""
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            storage = tensor.untyped_storage() if isinstance(tensor, Tensor) else None
            if storage is not None and storage._cdata not in self._known:
                self._known.add(storage._cdata)
                self._now += storage.nbytes()
                self.most = max(self.most, self._now)
                weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        return made

    def _gone(self, storage: int, size: int) -> None:
        self._known.discard(storage)
        self._now -= size


def free_memory(cohort: Cohort) -> int:
    """Return the bytes that a program may still take, on the device where a cohort trains.

    Args:
        cohort: The cohort.
    """
    if cohort.trainer.get("accelerator") != "cpu" and torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0]
    free: int = psutil.virtual_memory().available
    group = Path("/sys/fs/cgroup")  # the limit of a container
    limit, taken = group / "memory.max", group / "memory.current"
    if limit.exists() and (text := limit.read_text().strip()) != "max":
        free = min(free, int(text) - int(taken.read_text()))
    return max(free, 0)
