"""What `eval()` and `no_grad()` do to a step: one switches layers, the other stops recording."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from glassbox.explain.passes import NO_LOSS, forward, live_loss
from glassbox.explain.table import Row
from glassbox.explain.tensor import grad_fn
from glassbox.replay.check import Check, Grade
from glassbox.replay.step import Step
from glassbox.replay.trace import fresh


def modes(step: Step) -> Iterator[Row]:
    """Yield the rows on eval(), which switches layers, and on no_grad(), which stops recording.

    Args:
        step: The recorded step.
    """
    lines = ("model.eval()", "switches Dropout, BatchNorm and the like"), ("", "and still records; no_grad() does not")
    here = live_loss(step)
    try:
        evaluated = _evaluated(step)
        with torch.no_grad():
            silent = _evaluated(step)
    except Exception as error:  # noqa: BLE001  (training_step is the user's, and may not know eval mode)
        reason = f"training_step fails in eval mode: {type(error).__name__}: {' '.join(str(error).split())}"
        yield from (Row((*line, "–"), Check(Grade.NOT_CHECKED, reason)) for line in lines)
        return
    if here is None or evaluated is None or silent is None or not here.requires_grad:
        yield from (Row((*line, "–"), Check(Grade.NOT_CHECKED, step.refused or NO_LOSS)) for line in lines)
        return
    yield Row((*lines[0], _switched(step.module, here.item(), evaluated.item())))
    told = f"loss.grad_fn: {grad_fn(evaluated)} after eval(), {grad_fn(silent)} under no_grad()"
    recorded = evaluated.requires_grad and not silent.requires_grad
    check = Check(Grade.NOT_CHECKED, "training_step switches recording on or off by itself")
    yield Row((*lines[1], told), Check(Grade.EXACT) if recorded else check)


def depends_on_mode(layer: nn.Module) -> bool:
    """Return whether a layer of torch computes something else after `eval()`.

    Args:
        layer: The layer itself; its children are not looked at.
    """
    if isinstance(layer, nn.modules.dropout._DropoutNd):
        return bool(layer.p > 0)
    if isinstance(layer, nn.RNNBase | nn.MultiheadAttention):
        return bool(layer.dropout > 0 and getattr(layer, "num_layers", 2) > 1)
    if isinstance(layer, nn.modules.batchnorm._NormBase):  # BatchNorm, InstanceNorm
        return bool(layer.track_running_stats)
    return isinstance(layer, nn.RReLU)


def _evaluated(step: Step) -> Tensor | None:
    if step.refused:
        return None
    module, arguments = fresh(step)
    return forward(step, module.eval(), arguments)


def _switched(module: nn.Module, here: float, evaluated: float) -> str:
    """Say what eval() does to the loss, and which layers do it."""
    kinds = {type(part).__name__: None for part in module.modules() if depends_on_mode(part)}
    mode = "train()" if module.training else "eval()"
    if here != evaluated:
        who = ", ".join(kinds) or "something that reads self.training"
        return f"loss {here:.6f} in {mode}, {evaluated:.6f} after eval(): {who}"
    if not kinds:
        return f"no layer here depends on the mode: loss {here:.6f} in both"
    return f"loss {here:.6f} in both, though {', '.join(kinds)} may depend on the mode"
