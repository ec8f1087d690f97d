"""A copy of a module that behaves as the module does."""

import copy
from typing import Any

from torch import nn


def duplicate(
    module: nn.Module, arguments: tuple[Any, ...], memo: dict[int, Any] | None = None
) -> tuple[nn.Module, tuple[Any, ...]]:
    """Return deep copies of a module and of arguments, with what `copy.deepcopy` leaves out.

    That is the hooks by which parameters change their gradient, and the trainer of a LightningModule, which is shared.

    Args:
        module: The module.
        arguments: Its arguments; a tensor that is in both is one tensor in the copies, too.
        memo: Object's id → what stands for it in the copies.

    Returns:
        The copies; parameters have no `grad`.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> hook = layer.weight.register_hook(lambda grad: 2 * grad)
        >>> copied, _ = duplicate(layer, ())
        >>> copied is layer, len(copied.weight._backward_hooks)
        (False, 1)
    """
    memo = {} if memo is None else memo
    copied: tuple[nn.Module, tuple[Any, ...]] = copy.deepcopy((module, arguments), memo)
    for old, new in zip(module.modules(), copied[0].modules(), strict=True):
        trainer = old.__dict__.get("_trainer")
        if trainer is not None:
            new.__dict__["_trainer"] = memo.get(id(trainer), trainer)
    for parameter, twin in zip(module.parameters(), copied[0].parameters(), strict=True):
        twin.grad = None
        for hook in (parameter._backward_hooks or {}).values() if twin.requires_grad else ():
            twin.register_hook(hook)  # type: ignore[no-untyped-call]
    return copied
