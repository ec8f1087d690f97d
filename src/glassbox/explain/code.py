"""The hand-written functions that did a step again, as they stand in `glassbox.mechanics`."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import glassbox
from glassbox.mechanics import clip
from glassbox.replay.audit import Audit
from glassbox.replay.rule import rule_for
from glassbox.replay.update import rule_of

ROOT = Path(glassbox.__file__).resolve().parents[2]


def sources(audit: Audit) -> list[tuple[str, str]]:
    """Return (place, source) of each function once, in the order of a step.

    Args:
        audit: The audited step.

    Returns:
        The place is `file:line`, the file relative to the project.
    """
    functions = dict.fromkeys(_functions(audit))
    return [(_place(function), inspect.getsource(function).rstrip()) for function in functions]


def _functions(audit: Audit) -> Iterator[Callable[..., Any]]:
    layers: list[ModuleType] = []
    for call in audit.calls:
        rule = rule_for(call.module)
        if rule is not None:
            layers.append(rule.by_hand)
    yield from (layer.forward for layer in layers)
    yield from (layer.backward for layer in reversed(layers))
    if audit.step.clip is not None:
        yield clip.by_norm if audit.step.clip[0] == "norm" else clip.by_value
    for group in audit.step.groups:
        optimizer = rule_of(audit.step.optimizer, group)
        if optimizer is not None:
            yield optimizer.by_hand.update


def _place(function: Callable[..., Any]) -> str:
    file = Path(inspect.getfile(function)).resolve()
    shown = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
    return f"{shown}:{inspect.getsourcelines(function)[1]}"
