"""Whether the parts of a step are connected: numbers that are finite, parameters that are found, held and reached."""

from collections.abc import Iterator

import torch
from torch import Tensor

from glassbox.explain.grammar import be, it, listed
from glassbox.explain.registration import unregistered
from glassbox.explain.tensor import batch_tensors
from glassbox.replay.audit import Audit
from glassbox.replay.compare import dense


def wiring(audit: Audit) -> Iterator[str]:
    """Tell what is not finite, what parameters() misses, what no optimizer holds and what no gradient reaches.

    Args:
        audit: The audited step.
    """
    for look in (_not_finite, _hidden, _outside, _absent):
        yield from look(audit)


def frozen(audit: Audit) -> Iterator[str]:
    """Tell which parameters are not to be trained.

    Args:
        audit: The audited step.
    """
    names = [name for name, p in audit.step.module.named_parameters() if not p.requires_grad]
    if names:
        yield f"{listed(names)} {be(len(names))} frozen: requires_grad is False, no gradient is made."


def not_finite(tensor: Tensor) -> int:
    """Return how many numbers of a tensor are NaN or infinite."""
    return int((~torch.isfinite(tensor)).sum())


def optimized(audit: Audit) -> set[str]:
    """Return the names of the parameters that an optimizer holds.

    Args:
        audit: The audited step.
    """
    return {name for group in audit.step.groups for name in group["params"]}


def _not_finite(audit: Audit) -> Iterator[str]:
    """Tell the first place on the way where numbers stop being finite."""
    step = audit.step
    ways: list[tuple[str, Tensor]] = list(batch_tensors(step.batch).items())
    ways += [(name, p) for name, p in step.module.named_parameters()]
    ways += [(f"{call.name}'s output", call.output) for call in audit.calls if call.output is not None]
    ways += [("loss", step.loss)] if step.loss is not None else []
    ways += [(f"{name}.grad", dense(gradient)) for name, gradient in step.gradients.items()]
    for name, tensor in ways:
        if count := not_finite(tensor):
            yield f"{name} is the first tensor on the way that is not finite: {count} of {tensor.numel()} numbers."
            return


def _hidden(audit: Audit) -> Iterator[str]:
    for name, count in unregistered(audit.step.module).items():
        yield f"{name} is no nn.Module: parameters() misses the {count} numbers in it, and so does the optimizer."


def _outside(audit: Audit) -> Iterator[str]:
    held = optimized(audit)
    names = [name for name, p in audit.step.module.named_parameters() if p.requires_grad and name not in held]
    if names:
        yield f"{listed(names)} {be(len(names))} trainable but in no optimizer: step() never moves {it(len(names))}."


def _absent(audit: Audit) -> Iterator[str]:
    """Tell which trainable parameters the optimizer holds for nothing."""
    step, held = audit.step, optimized(audit)
    trainable = [name for name, p in step.module.named_parameters() if p.requires_grad and name in held]
    names = [name for name in trainable if name not in step.gradients]
    if names and step.loss is not None:
        yield f"{listed(names)} received no gradient: no recorded operation leads from the loss to {it(len(names))}."
