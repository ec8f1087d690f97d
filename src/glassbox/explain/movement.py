"""How far the parameters moved, and what stood in their way."""

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from glassbox.explain.wiring import optimized
from glassbox.explain.zero_gradient import all_zero
from glassbox.replay.audit import Audit
from glassbox.replay.compare import dense

LARGE, TINY = 0.1, 1e-6  # |update| / |p|


def movement(audit: Audit) -> Iterator[str]:
    """Tell an update of an unusual size, and a gradient that was clipped.

    Args:
        audit: The audited step.
    """
    for look in (_moved, _clipped):
        yield from look(audit)


def first_adam(audit: Audit) -> Iterator[str]:
    """Tell that Adam's first step has one size for every gradient.

    Args:
        audit: The audited step.
    """
    step = audit.step
    if step.optimizer.__name__ not in ("Adam", "AdamW") or not step.stepped or any(map(len, step.state.values())):
        return
    moves, sizes, rates = [], [], set()
    for group in step.groups:
        for name in set(group["params"]) & set(step.clipped):
            gradient, rate, eps = dense(step.clipped[name]), float(group["lr"]), float(group["eps"])
            if rate > 0:
                moves.append(update_in_lr(step.before_update[name], step.after[name], gradient, rate, eps).flatten())
                sizes.append(gradient.abs()[gradient.abs() > 1000 * eps].flatten())
                rates.add(rate)
    move, size = (torch.cat(parts) if parts else torch.empty(0) for parts in (moves, sizes))
    kind = step.optimizer.__name__
    if len(rates) == 1 and len(move) > 1 and bool(((move > 0.9) & (move < 1.1)).all()):
        yield (
            f"{kind}'s first step moves a number by about lr = {rates.pop():g}, whatever its gradient: "
            f"gradients of size {_span(size, '.1e')} give updates of {_span(move, '.3f')} lr."
        )


def norm(tensor: Tensor) -> float:
    """Return the L2 norm of a tensor, dense or sparse."""
    return float(torch.linalg.vector_norm(dense(tensor).double()))


def relative_update(before: Tensor, after: Tensor) -> float | None:
    """Return |after - before| / |before| in L2 norms; None where the parameter was 0."""
    size = norm(before)
    return norm(after - before) / size if size > 0 else None


def total_norm(gradients: Mapping[str, Tensor]) -> float:
    """Return the L2 norm of all gradients together."""
    return math.hypot(*map(norm, gradients.values()))


def update_in_lr(before: Tensor, after: Tensor, gradient: Tensor, lr: float, eps: float = 1e-8) -> Tensor:
    """Return |update| / lr of every number whose gradient is clearly not 0.

    Args:
        before: The parameter before the update.
        after: The parameter after it.
        gradient: What the update was given.
        lr: The learning rate, > 0.
        eps: What Adam adds to its denominator; a gradient counts from 1000 times of it.
    """
    counts = dense(gradient).abs() > 1000 * eps
    return ((after.double() - before.double()).abs() / lr)[counts]


def _moved(audit: Audit) -> Iterator[str]:
    """Tell the weight that moved farthest for its size, where that is unusual."""
    ratios = _ratios(audit)
    name = max(ratios, key=lambda name: ratios[name], default="")
    if not name or TINY <= ratios[name] <= LARGE or all(map(all_zero, map(dense, audit.step.gradients.values()))):
        return
    lr = next(float(group["lr"]) for group in audit.step.groups if name in group["params"])
    if ratios[name] > LARGE:
        yield f"optimizer.step() moves {name} by {100 * ratios[name]:.0f} % of its norm (lr = {lr:g}); 0.1 % is usual."
    elif ratios[name] > 0:
        share = f"{100 * ratios[name]:.1g} %"
        yield f"No weight moves by more than {share} of its norm ({name}, lr = {lr:g}); 0.1 % is usual."
    else:
        yield f"optimizer.step() moves no weight, though there are gradients (lr = {lr:g})."


def _clipped(audit: Audit) -> Iterator[str]:
    step = audit.step
    if step.clip is None or not step.clipped:
        return
    how, limit = step.clip
    if how == "norm":
        before, after = total_norm(step.gradients), total_norm(step.clipped)
        if after < 0.9999 * before:
            yield f"The gradient was clipped from norm {before:.4g} to {after:.4g}."
        return
    changed = [dense(step.gradients[name]) != dense(gradient) for name, gradient in step.clipped.items()]
    if count := sum(int(places.sum()) for places in changed):
        total = sum(places.numel() for places in changed)
        yield f"{count} of {total} numbers of the gradient were clipped to ±{limit:g}."


def _ratios(audit: Audit) -> dict[str, float]:
    """Return |update| / |p| of the weights, the parameters of two axes or more, that the optimizer was to move."""
    step, held = audit.step, optimized(audit)
    names = [name for name, p in step.before_update.items() if step.stepped and p.dim() > 1 and name in held]
    ratios = {name: relative_update(step.before_update[name], step.after[name]) for name in names}
    return {name: ratio for name, ratio in ratios.items() if ratio is not None and math.isfinite(ratio)}


def _span(values: Tensor, form: str) -> str:
    ends = {f"{float(end):{form}}": None for end in (values.min(), values.max())}
    return " to ".join(ends)
