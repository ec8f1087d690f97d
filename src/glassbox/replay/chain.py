"""Gradients by hand: through the layers before the loss, as far back as each has a hand rule and feeds the next one."""

import torch
from torch import nn

from glassbox.mechanics.network import Chain
from glassbox.replay.rule import LOSSES, RULES
from glassbox.replay.step import Named
from glassbox.replay.trace import Call, Trace


def links(calls: list[Call]) -> list[Call]:
    """Return the layers with a hand rule that lead to the loss, each fed by the one before, and the loss.

    The list begins where a rule is missing or the input comes from elsewhere: for a net of known layers it is the
    whole net. It is empty if what `training_step` returned is not what a loss with a hand rule made.

    Args:
        calls: The calls of the step.

    Example:
        >>> links([])
        []
    """
    call = next((call for call in calls if call.produced and type(call.module) in LOSSES), None)
    found: list[Call] = []
    while call is not None and call.ruled and (call.produced or call.inputs[0].dim() == 2):
        found.insert(0, call)
        source = call.sources[0]
        call = None if source is None else calls[source]
    once = [call for call in found if _count(call.module, calls) == 1]
    return found if len(once) == len(found) else []


@torch.no_grad()
def by_hand(trace: Trace, accumulate: int) -> Named:
    """Return the gradients by hand of the parameters on the way to the loss.

    They are right if nothing else uses these parameters and no hook changes what flows, which they cannot see.

    Args:
        trace: The step, done again.
        accumulate: What the loss is divided by.

    Returns:
        Parameter name → gradient; empty where no hand rule leads to the loss.

    Example:
        >>> by_hand(Trace(nn.Linear(1, 1), [], None, {}), 1)
        {}
    """
    layers = links(trace.calls)
    if not layers:
        return {}
    *before, last = layers
    chain = Chain([(call.name, RULES[type(call.module)].by_hand) for call in before])
    parameters = {f"{call.name}.{key}": p for call in before for key, p in call.module.named_parameters()}
    x = before[0].inputs[0] if before else last.inputs[0]
    tape = chain.forward(parameters, x)
    grad = LOSSES[type(last.module)].by_hand.backward(tape[-1], last.inputs[1], 1 / accumulate)
    return chain.backward(parameters, tape, grad)


def _count(module: nn.Module, calls: list[Call]) -> int:
    return sum(call.module is module for call in calls)
