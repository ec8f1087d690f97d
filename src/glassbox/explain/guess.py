"""A loss that is no better than giving each class the same probability."""

import math
from collections.abc import Iterator

from torch import nn

from glassbox.explain.passes import live_loss
from glassbox.replay.audit import Audit

NEAR = 0.05  # relative distance to ln C within which a loss is a guess's


def guess(audit: Audit) -> Iterator[str]:
    """Tell a cross-entropy that is no better than the same probability for each class.

    Args:
        audit: The audited step.
    """
    step, classes = audit.step, _classes(audit)
    if step.loss is None or classes is None or not is_guess(float(step.loss), classes):
        return
    loss, told = f"{float(step.loss):.4f}", f"ln {classes} = {math.log(classes):.4f}"
    if step.number == 0:
        yield f"The loss, {loss}, is about that of an untrained guess: {told}."
    else:
        steps = "1 step" if step.number == 1 else f"{step.number} steps"
        yield f"After {steps} the loss of this batch, {loss}, is still about that of a guess: {told}."


def is_guess(loss: float, classes: int) -> bool:
    """Return whether a cross-entropy is that of giving each class the same probability, ln C, or within 5 % of it."""
    return classes > 1 and abs(loss - math.log(classes)) <= NEAR * math.log(classes)


def _classes(audit: Audit) -> int | None:
    """Return C where the loss is a plain mean cross-entropy over C classes, from a layer or from a function."""
    call = next((call for call in audit.calls if call.produced), None)
    if call is not None and isinstance(call.module, nn.BCEWithLogitsLoss | nn.BCELoss | nn.CrossEntropyLoss):
        options = {key: getattr(call.module, key, None) for key in ("weight", "pos_weight", "label_smoothing")}
        if call.module.reduction != "mean" or any(value is not None and value != 0.0 for value in options.values()):
            return None
        return int(call.inputs[0].shape[1]) if isinstance(call.module, nn.CrossEntropyLoss) else 2
    loss = live_loss(audit.step)
    made_by = "" if loss is None else type(loss.grad_fn).__name__
    outputs = [call.output for call in audit.calls if call.output is not None and call.output.dim() > 0]
    if made_by.startswith("NllLoss") and outputs and outputs[-1].dim() == 2:
        return int(outputs[-1].shape[1])
    return 2 if made_by.startswith("BinaryCrossEntropy") else None
