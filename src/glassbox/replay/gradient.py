"""What backward left in `p.grad`: is it the gradient of this batch's loss, and that gradient right?"""

import torch
from torch import Tensor

from glassbox.replay.chain import by_hand
from glassbox.replay.check import Check, Grade
from glassbox.replay.compare import ROUNDINGS, dense, difference, is_rounding, same
from glassbox.replay.finite_difference import Twin
from glassbox.replay.step import Named, Step
from glassbox.replay.trace import Trace

SKIPPED = "stale gradient: zero_grad was skipped; what is here is the new gradient plus the old one"
LOST = "zero_grad was called between batches that are to be added up: the gradients of earlier batches are lost"


def stale_check(step: Step, new: Named) -> Check:
    """Check that backward added to the gradients that it should have added to: to none, unless batches accumulate.

    Args:
        step: The recorded step.
        new: The gradients of this batch alone, by autograd.

    Returns:
        EXACT where old gradients are cleared or kept as `accumulate` has it; DISAGREES where it is the other way.

    Example:
        >>> from contextlib import nullcontext
        >>> from torch import nn
        >>> old, one = {"weight": torch.tensor([[5.0]])}, {"weight": torch.tensor([[1.0]])}
        >>> step = Step(1, 1, nn.Linear(1, 1), None, {}, nullcontext, torch.optim.SGD, [], {}, old)
        >>> step.gradients = {"weight": torch.tensor([[6.0]])}
        >>> stale_check(step, one).grade.value
        'DISAGREES'
        >>> step.accumulate = 2
        >>> stale_check(step, one).grade.value
        'EXACT'
    """
    names = [name for name, p in step.module.named_parameters() if p.requires_grad]
    wrong = [name for name in names if not same(expected(step, new, name), step.gradients.get(name))]
    if not wrong:
        return Check(Grade.EXACT)
    told = [_stale(step, new, name) for name in wrong]
    found = next((check for check in told if check is not None), None)
    return found or Check(Grade.NOT_CHECKED, "the gradients differ for another reason")


def expected(step: Step, new: Named, name: str) -> Tensor | None:
    """Return what `p.grad` of one parameter should be after backward.

    Args:
        step: The recorded step.
        new: The gradients of this batch alone.
        name: The parameter's name.

    Example:
        >>> from contextlib import nullcontext
        >>> from torch import nn
        >>> step = Step(1, 1, nn.Linear(1, 1), None, {}, nullcontext, torch.optim.SGD, [], {}, {}, accumulate=2)
        >>> step.stale = {"weight": torch.tensor([[5.0]])}
        >>> expected(step, {"weight": torch.tensor([[1.0]])}, "weight")
        tensor([[6.]])
    """
    old = step.stale.get(name) if _adds_up(step) else None
    grad = new.get(name)
    if old is None or grad is None:
        return grad if old is None else old
    return old + grad


def gradient_checks(step: Step, done: Trace, finite_differences: bool) -> tuple[dict[str, Check], Named]:
    """Check the gradient of every trainable parameter: recorded against autograd's, and that by hand or by differences.

    Args:
        step: The recorded step.
        done: The step, done again.
        finite_differences: Whether to use them where there is no hand rule.

    Returns:
        Parameter name → what was found; the gradients by hand.

    Example:
        >>> from contextlib import nullcontext
        >>> from torch import nn
        >>> module = nn.Linear(1, 1)
        >>> step = Step(0, 0, module, None, {}, nullcontext, torch.optim.SGD, [], {}, {})
        >>> checks, _ = gradient_checks(step, Trace(module, [], None, {}), finite_differences=False)
        >>> str(checks["weight"])
        'NOT CHECKED: no hand rule'
    """
    ours = by_hand(done, step.accumulate)
    twin: Twin | None = None
    checks: dict[str, Check] = {}
    for name, parameter in step.module.named_parameters():
        if not parameter.requires_grad:
            continue
        found = _recorded(step, done.gradients, name)
        if found is None and name in ours and same(ours[name], done.gradients.get(name)):
            found = Check(Grade.EXACT)
        if found is None and finite_differences:
            twin = twin or Twin(step)
            found = twin.check(name)
        checks[name] = found or Check(Grade.NOT_CHECKED, "no hand rule")
    return checks, ours


def _recorded(step: Step, new: Named, name: str) -> Check | None:
    """Return what is wrong with the recorded gradient beside autograd's; None if nothing is."""
    wanted, found = expected(step, new, name), step.gradients.get(name)
    if step.scaler:
        return Check(Grade.NOT_CHECKED, "gradients are scaled for float16")
    if found is not None and not bool(dense(found).isfinite().all()):
        return Check(Grade.NOT_CHECKED, "the gradient is not finite: nan or inf")
    if same(wanted, found):
        return None
    stale = _stale(step, new, name)
    if stale is not None:
        return stale
    error = difference(wanted, found)
    if is_rounding(wanted, found):
        return Check(Grade.NOT_CHECKED, f"equal to autograd's up to rounding ({error:.0e}), not bit for bit")
    return Check(Grade.DISAGREES, _why(step), error)


def _adds_up(step: Step) -> bool:
    """Return whether this batch is added to the one before, which is so in all of a window but its first."""
    return step.batch_idx % step.accumulate != 0


def _stale(step: Step, new: Named, name: str) -> Check | None:
    """Return what is wrong if the recorded gradient is the new one with some multiple of the old one, else None."""
    old, found, grad = step.stale.get(name), step.gradients.get(name), new.get(name)
    if old is None or found is None or not bool(dense(old).any()):
        return None
    old, found = dense(old).double(), dense(found).double()
    rest = found if grad is None else found - dense(grad).double()
    k = float((rest * old).sum() / (old * old).sum())
    scale = max(float(found.abs().max()), float(old.abs().max()))
    tolerance = ROUNDINGS * torch.finfo(step.stale[name].dtype).eps * scale
    if float((rest - k * old).abs().max()) > tolerance:
        return None
    if _adds_up(step):
        return Check(Grade.DISAGREES, LOST, difference(rest, old)) if abs(k) < 1e-3 else None
    if abs(k) < 1e-3:
        return None
    times = "" if abs(k - 1) < 1e-3 else f" times {k:.3g}"
    return Check(Grade.DISAGREES, SKIPPED + times, float(rest.abs().max()))


def _why(step: Step) -> str:
    told = "p.grad is not the gradient of this batch's loss"
    if step.kept:
        return f"{told}: the module keeps a tensor with its graph from earlier batches in {', '.join(step.kept)}"
    hooks = [hook for hook in ("backward", "on_before_backward") if hook in step.overridden]
    if hooks:
        return f"{told}: the module has a {' and a '.join(hooks)} of its own"
    return f"{told}: something changed it during backward, such as a hook of a tensor"
