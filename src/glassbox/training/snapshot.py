"""A copy of a LightningModule in the middle of a run, that can be trained on without the run noticing."""

import copy
import inspect
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers.logger import DummyLogger
from torch import Tensor, nn

from glassbox.replay.duplicate import duplicate

SILENT = ("log", "log_dict", "print")


def snapshot(
    trainer: pl.Trainer, module: pl.LightningModule, arguments: tuple[Any, ...]
) -> tuple[nn.Module, tuple[Any, ...], tuple[str, ...]]:
    """Return a deep copy of a module that logs nothing and sees a trainer that stands still, and of the batch.

    Args:
        trainer: The trainer; the copy gets one of the same settings, at this step for ever.
        module: The module.
        arguments: The arguments of `training_step`.

    Returns:
        The module, the arguments, and the attributes whose tensors were copied without their graph.

    Raises:
        ValueError: An attribute is a function that would use the module itself also in the copy.
    """
    still = _standing_still(trainer)
    memo: dict[int, Any] = {id(trainer): still}
    shared = [*trainer.callbacks, *trainer.loggers, *trainer.optimizers, trainer.strategy]  # type: ignore[attr-defined]
    shared += [config.scheduler for config in trainer.lr_scheduler_configs]
    data = getattr(trainer, "datamodule", None)
    shared += [] if data is None else [data]
    memo |= {id(item): item for item in shared}
    kept = []
    for where, tensor in _tensors(module):
        if tensor.grad_fn is not None:
            memo[id(tensor)] = tensor.detach().clone()
            kept.append(where)
    copied, given = duplicate(module, arguments, memo)
    for where in _functions_of({id(part) for part in module.modules()}, copied):
        raise ValueError(f"{where} is a function that refers to the module itself")
    for part in copied.modules():
        _forget_watchers(part, shared)
        if isinstance(part, pl.LightningModule):
            part.__dict__.update(dict.fromkeys(SILENT, _say_nothing))
    return copied, given, tuple(dict.fromkeys(kept))


def _standing_still(trainer: pl.Trainer) -> pl.Trainer:
    """Return a shallow copy of a trainer whose counters do not go on and whose metrics and loggers are its own."""
    constant = {
        "global_step": trainer.global_step,
        "current_epoch": trainer.current_epoch,
        "is_last_batch": trainer.is_last_batch,
        **{key: dict(getattr(trainer, key)) for key in ("callback_metrics", "logged_metrics", "progress_bar_metrics")},
    }
    still = copy.copy(trainer)
    still.state = copy.copy(trainer.state)
    still._loggers = [DummyLogger()] if trainer.loggers else []
    members = constant | {"__deepcopy__": lambda self, memo: self}
    still.__class__ = type(type(trainer).__name__, (type(trainer),), members)
    return still


def _say_nothing(*args: Any, **kwargs: Any) -> None:
    """Stand for `log`, `log_dict` and `print` in a copy."""


def _forget_watchers(part: nn.Module, shared: list[Any]) -> None:
    """Remove the hooks by which callbacks look at a module."""
    for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
        hooks = getattr(part, kind)
        for key in [key for key, hook in hooks.items() if any(getattr(hook, "__self__", None) is s for s in shared)]:
            del hooks[key]


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield (where, tensor) of everything that a module keeps as an attribute, also in lists and dicts."""
    for name, part in module.named_modules():
        for key, value in [*vars(part).items(), *part._buffers.items()]:
            if key not in ("_parameters", "_modules", "_buffers"):
                where = f"{name}.{key}".removeprefix(".")
                yield from ((where, tensor) for tensor in _within(value))


def _within(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _within(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _within(item)


def _functions_of(originals: set[int], copied: nn.Module) -> Iterator[str]:
    """Yield the names of attributes of a copy that are functions with an original in their closure."""
    for name, part in copied.named_modules():
        for key, value in vars(part).items():
            if isinstance(value, FunctionType) and key not in SILENT:
                for content in inspect.getclosurevars(value).nonlocals.values():
                    if id(getattr(content, "__self__", content)) in originals:
                        yield f"{name}.{key}".removeprefix(".")
