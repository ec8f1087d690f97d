"""A recorded step, done again and compared, line by line: loss, gradients, clipping, update."""

from dataclasses import dataclass, field

from torch import Tensor

from glassbox.mechanics.clip import by_norm, by_value
from glassbox.replay.check import Check, Grade
from glassbox.replay.compare import compare, difference, is_rounding, same
from glassbox.replay.gradient import gradient_checks, stale_check
from glassbox.replay.rng import preserved
from glassbox.replay.step import Named, Step
from glassbox.replay.trace import Call, Trace, trace
from glassbox.replay.update import formula_of, updates

UNCHECKED = Check(Grade.NOT_CHECKED)
CHANGERS = ("on_after_backward", "on_before_optimizer_step", "configure_gradient_clipping", "optimizer_step")


@dataclass
class Audit:
    """What was found about a step.

    Attributes:
        step: The recorded step.
        calls: The calls of leaf modules when it was done again.
        loss_value: The loss when it was done again; None if there was none.
        loss: Whether that is the recorded loss.
        gradients: Trainable parameter → whether its gradient is right.
        by_hand: Parameter → gradient by hand, where hand rules lead from the loss to it.
        stale: Whether gradients were cleared where they should be, and kept where batches add up.
        moved: Whether nothing moved before the update.
        clipping: Whether the update was given what clipping makes of the gradients; None if nothing clips or changes.
        updates: Parameter of the optimizer → whether its update is right; empty if there was no update.
        update_formula: The formula of the update; empty without a hand rule.

    Example:
        >>> from contextlib import nullcontext
        >>> from torch import nn, optim
        >>> step = Step(0, 0, nn.Linear(1, 1), None, {}, nullcontext, optim.SGD, [], {}, {}, refused="it is compiled")
        >>> str(audit(step).loss)
        'NOT CHECKED: it is compiled'
    """

    step: Step
    calls: list[Call] = field(default_factory=list)
    loss_value: Tensor | None = None
    loss: Check = UNCHECKED
    gradients: dict[str, Check] = field(default_factory=dict)
    by_hand: Named = field(default_factory=dict)
    stale: Check = UNCHECKED
    moved: Check = UNCHECKED
    clipping: Check | None = None
    updates: dict[str, Check] = field(default_factory=dict)
    update_formula: str = ""


def audit(step: Step, *, finite_differences: bool = True) -> Audit:
    """Do a recorded step again and compare everything with what happened.

    Args:
        step: The recorded step.
        finite_differences: Whether to check gradients without a hand rule by finite differences, which takes some
            evaluations of the net per parameter.

    Returns:
        What was found.

    Example:
        >>> import torch
        >>> from contextlib import nullcontext
        >>> from torch import nn, optim
        >>> from glassbox.replay.rng import capture
        >>> class Net(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.fc, self.loss = nn.Linear(2, 1), nn.MSELoss()
        ...
        ...     def training_step(self, batch, batch_idx):
        ...         return self.loss(self.fc(batch), torch.zeros(3, 1))
        >>> net, batch = Net(), torch.ones(3, 2)
        >>> step = Step(0, 0, net, batch, capture(), nullcontext, optim.SGD, [], {}, {})
        >>> loss = net.training_step(batch, 0)
        >>> step.loss, step.before_update = loss.detach(), {name: p.detach() for name, p in net.named_parameters()}
        >>> loss.backward()
        >>> step.gradients = {name: p.grad for name, p in net.named_parameters()}
        >>> found = audit(step)
        >>> str(found.loss), {name: str(check) for name, check in found.gradients.items()}
        ('EXACT', {'fc.weight': 'EXACT', 'fc.bias': 'EXACT'})
    """
    found = Audit(step, update_formula=formula_of(step))
    if step.refused:
        return _nothing(found, step.refused)
    with preserved():
        done = trace(step)
        found.calls, found.loss_value = done.calls, None if done.loss is None else done.loss.detach()
        found.loss = _loss(step, found.loss_value)
        found.moved = _moved(step, done)
        if step.stepped:
            found.clipping = _clipping(step)
            found.updates = updates(step)
        if found.loss.grade is Grade.EXACT:
            found.stale = stale_check(step, done.gradients)
            found.gradients, found.by_hand = gradient_checks(step, done, finite_differences)
            return found
    why = Check(Grade.NOT_CHECKED, found.loss.reason or "the loss cannot be had again")
    found.stale, found.gradients = why, dict.fromkeys(_trainable(step), why)
    return found


def _nothing(found: Audit, reason: str) -> Audit:
    """Return an audit in which nothing is checked."""
    why = Check(Grade.NOT_CHECKED, reason)
    found.loss = found.stale = found.moved = why
    found.gradients = dict.fromkeys(_trainable(found.step), why)
    names = [name for group in found.step.groups for name in group["params"]]
    found.updates = dict.fromkeys(names, why) if found.step.stepped else {}
    return found


def _trainable(step: Step) -> list[str]:
    return [name for name, p in step.module.named_parameters() if p.requires_grad]


def _loss(step: Step, again: Tensor | None) -> Check:
    """Compare the loss with the recorded one."""
    if step.loss is None or again is None:
        return Check(Grade.NOT_CHECKED, "training_step returned no loss, so there is no backward and no gradient")
    if not bool(step.loss.isfinite().all()):
        return Check(Grade.NOT_CHECKED, f"the loss is {float(step.loss)}, and so is all that follows from it")
    if same(again, step.loss):
        return Check(Grade.EXACT)
    third = trace(step).loss
    if third is None or not same(third.detach(), again):
        reason = "training_step gives another loss each time, though its random numbers are the same"
        return Check(Grade.NOT_CHECKED, reason)
    cause = "training_step, run again from the same state, gives another loss: it uses something outside the module"
    return compare(again, step.loss, cause)


def _moved(step: Step, done: Trace) -> Check:
    """Check that parameters are before the update what they were before the batch."""
    start, again = (dict(module.named_parameters()) for module in (step.module, done.module))
    later = step.before_update if step.stepped else step.before_update | step.after
    moved = [name for name, p in start.items() if name in later and not same(p.detach(), later[name])]
    if not moved:
        return Check(Grade.EXACT)
    if all(same(again[name].detach(), later[name]) for name in moved):
        return Check(Grade.NOT_CHECKED, f"training_step itself changes {', '.join(moved)}")
    error = max(difference(start[name].detach(), later[name]) for name in moved)
    return Check(Grade.DISAGREES, f"{', '.join(moved)} moved before the update: backward() is not an update", error)


def _clipping(step: Step) -> Check | None:
    """Compare the gradients that the update was given with those of backward, clipped by hand."""
    if step.scaler:
        return Check(Grade.NOT_CHECKED, "gradients are scaled for float16") if step.clip else None
    names = [name for group in step.groups for name in group["params"] if name in step.gradients]
    given = {name: step.clipped[name] for name in names if name in step.clipped}
    try:
        wanted = clip({name: step.gradients[name] for name in names}, step.clip)
    except (RuntimeError, NotImplementedError) as refusal:
        return Check(Grade.NOT_CHECKED, f"no hand rule: {str(refusal).splitlines()[0]}")
    if all(same(wanted[name], given.get(name)) for name in names):
        return Check(Grade.EXACT) if step.clip else None
    error = max(difference(wanted[name], given.get(name)) for name in names)
    if all(same(wanted[name], given.get(name)) or is_rounding(wanted[name], given.get(name)) for name in names):
        return Check(Grade.NOT_CHECKED, f"equal up to rounding ({error:.0e}), not bit for bit")
    if "configure_gradient_clipping" in step.overridden:
        return Check(Grade.NOT_CHECKED, "the module has a configure_gradient_clipping of its own")
    hooks = [hook for hook in CHANGERS if hook in step.overridden]
    told = f", maybe by the module's own {' or '.join(hooks)}" if hooks else ""
    return Check(Grade.DISAGREES, f"gradients were changed between backward and the update{told}", error)


def clip(gradients: Named, how: tuple[str, float] | None) -> Named:
    """Return gradients clipped by hand.

    Args:
        gradients: Parameter name → gradient.
        how: (`norm` or `value`, limit); None for no clipping.

    Example:
        >>> import torch
        >>> clip({"p": torch.tensor([-3.0, 0.1])}, ("value", 1.0))
        {'p': tensor([-1.0000,  0.1000])}
    """
    if how is None or not gradients:
        return gradients
    kind, limit = how
    return by_norm(gradients, limit)[0] if kind == "norm" else by_value(gradients, limit)
