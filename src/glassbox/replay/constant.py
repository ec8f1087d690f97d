"""What a program cuts off from the graph on purpose, such as a target, is a constant: here it stays one."""

import inspect
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

APPLY = inspect.unwrap(torch.autograd.Function.apply).__code__
CUTS = ("detach", "detach_", "item", "__float__", "tolist")


class Constants(TorchFunctionMode):
    """Note every result that is cut off from the graph, or give those of another run again, in the same order.

    Cut off is what `.detach()`, `.data` and `.item()` return, and what is computed under `no_grad`.

    Args:
        given: The results of a run before; None to note them.

    Attributes:
        found: The results of this run.

    Example:
        >>> def loss(x):
        ...     return x * x.detach()
        >>> with Constants() as first:
        ...     at_two = loss(torch.tensor(2.0))
        >>> with Constants(first.found):
        ...     at_three = loss(torch.tensor(3.0))
        >>> float(at_two), float(at_three)
        (4.0, 6.0)
    """

    def __init__(self, given: list[Any] | None = None) -> None:
        super().__init__()
        self.given = given
        self.found: list[Any] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if not _cuts(func) or not _has_number(output):
            return output
        position = len(self.found)
        self.found.append(tree_map(_clone, output))
        if self.given is None:
            return output
        if position >= len(self.given):
            raise RuntimeError("its course depends on its numbers")
        if isinstance(output, Tensor) and args and output is args[0]:  # in place, such as a running average
            with torch.no_grad():
                return output.copy_(self.given[position])
        return tree_map(_clone, self.given[position])


def _cuts(func: Any) -> bool:
    name = getattr(func, "__name__", "")
    if name == "__get__":
        return func.__self__ is Tensor.data
    return name in CUTS or (not torch.is_grad_enabled() and name != "__set__" and not _in_custom_forward())


def _in_custom_forward() -> bool:
    """Return whether a custom autograd function is computing: torch runs it without a graph, but nothing is cut off."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not APPLY:
        frame = frame.f_back
    return frame is not None


def _has_number(output: Any) -> bool:
    return any(
        isinstance(leaf, float) or (isinstance(leaf, Tensor) and leaf.is_floating_point())
        for leaf in tree_leaves(output)
    )


def _clone(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value
