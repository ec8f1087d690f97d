"""Gradients that are 0 everywhere, and which factor of the chain rule makes them so."""

from collections.abc import Iterator

from torch import Tensor, nn

from glassbox.explain.grammar import listed
from glassbox.explain.unit import DENSE
from glassbox.replay.audit import Audit
from glassbox.replay.compare import dense
from glassbox.replay.trace import Call


def zero_gradients(audit: Audit) -> Iterator[str]:
    """Tell which gradients are 0 everywhere, together where the cause is the same.

    Args:
        audit: The audited step.
    """
    causes: dict[str, list[str]] = {}
    for name, gradient in audit.step.gradients.items():
        if all_zero(dense(gradient)):
            causes.setdefault(_cause(audit.calls, name), []).append(name)
    for cause, names in causes.items():
        yield f"No gradient reaches {listed(names)} (0 everywhere){cause}."


def all_zero(tensor: Tensor) -> bool:
    """Return whether a tensor holds numbers, and each is 0."""
    return tensor.numel() > 0 and not bool(tensor.count_nonzero())


def _cause(calls: list[Call], name: str) -> str:
    """Say why a gradient is 0, where the chain rule leaves no other way; an empty text where it does."""
    layer, _, kind = name.rpartition(".")
    mine = [position for position, call in enumerate(calls) if call.name == layer]
    if not mine:
        return ""
    if kind == "weight" and all(call.inputs and all_zero(call.inputs[0]) for call in map(calls.__getitem__, mine)):
        return ", because the input of its layer is 0 for every row"
    found = [_walls(calls, position) for position in mine]
    if not all(found):
        return ""
    return f", because {listed(list(dict.fromkeys(wall for walls in found for wall in walls)))}"


def _walls(calls: list[Call], position: int) -> list[str]:
    """Return what multiplies every way from a call to the loss by 0; nothing if one way is open."""
    walls = []
    for user, call in enumerate(calls):
        if position not in call.sources:
            continue
        here, beyond = [], _walls(calls, user)
        if isinstance(call.module, DENSE) and all_zero(call.module.weight):
            here = [f"{call.name}.weight is 0"]
        elif isinstance(call.module, nn.ReLU) and call.output is not None and all_zero(call.output):
            here = [f"every unit of {call.name} is 0 on this batch"]
        if not here and not beyond:
            return []
        walls += here + beyond
    return walls
