"""The first table: one training step, line by line, as the lesson's loop has it."""

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor

from glassbox.errors import BadInput
from glassbox.explain.formula import Named, named
from glassbox.explain.movement import total_norm
from glassbox.explain.table import Row, Table
from glassbox.explain.tensor import batch_tensors
from glassbox.replay.audit import Audit
from glassbox.replay.chain import links
from glassbox.replay.check import Check, Grade
from glassbox.replay.compare import dense
from glassbox.replay.rule import LOSSES, rule_for

COLUMNS = ("framework line", "the mechanics", "this step's numbers", "by hand vs torch")
MOST = 12  # gradients and updates that get a row of their own; the others share one
SEVERITY = (Grade.EXACT, Grade.FD, Grade.NOT_CHECKED, Grade.DISAGREES)


def step_table(audit: Audit, sample: int = 0) -> Table:
    """Return the table of a step: clear, forward, loss, backward, update.

    Args:
        audit: The audited step.
        sample: The row of the batch whose numbers are shown.

    Raises:
        BadInput: The batch has no such row.
    """
    rows_of = (len(tensor) for tensor in batch_tensors(audit.step.batch).values() if tensor.dim() > 0)
    count = next(rows_of, 1)
    if not 0 <= sample < count:
        raise BadInput(f"sample={sample}: the batch has {count} rows, 0 to {count - 1}")
    calls = named(audit.calls)
    rows = [_clear(audit), *_forward(calls, sample), _loss(audit), *_backward(audit, calls, sample), _still(audit)]
    if audit.clipping is not None:
        rows.append(_clip(audit))
    rows += _update(audit)
    return Table("One training step", COLUMNS, rows)


def number(value: Tensor, sample: int = 0) -> str:
    """Return one number of a tensor with its place: of row `sample`, the first; of row 0 where there is no such row.

    Args:
        value: Any shape.
        sample: The index along the first axis.

    Example:
        >>> import torch
        >>> number(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 1), number(torch.tensor(0.5))
        ('[1,0] = +3.000000', ' = 0.500000')
    """
    if value.dim() == 0:
        return f" = {float(value):.6f}"
    if value.numel() == 0:
        return " has no numbers"
    place = (sample if sample < len(value) else 0, *[0] * (value.dim() - 1))
    return f"[{','.join(map(str, place))}] = {float(value[place]):+.6f}"


def worst(checks: Mapping[str, Check]) -> Check:
    """Return the check that says least: a disagreement before what is not checked, that before FD, that before EXACT.

    Args:
        checks: At least one.

    Example:
        >>> worst({"a": Check(Grade.EXACT), "b": Check(Grade.FD, error=1e-9)}).grade.value
        'FD'
    """
    return max(checks.values(), key=lambda check: (SEVERITY.index(check.grade), check.error or 0.0))


def _clear(audit: Audit) -> Row:
    parameters = [p for p in audit.step.module.parameters() if p.requires_grad]
    told = f"{len(parameters)} tensors, {sum(p.numel() for p in parameters)} numbers cleared"
    if audit.step.batch_idx % audit.step.accumulate:
        told = f"kept: batch {audit.step.batch_idx % audit.step.accumulate + 1} of {audit.step.accumulate} is added"
    return Row(("optimizer.zero_grad()", "grad = None (else grad += new)", told), audit.stale)


def _forward(calls: Sequence[Named], sample: int) -> Iterator[Row]:
    """Yield a row per call of a layer."""
    for name in calls:
        output = name.call.output
        told = "no tensor" if output is None else name.output + number(output, sample)
        yield Row((name.line, name.forward or type(name.call.module).__name__, told), name.call.check)


def _loss(audit: Audit) -> Row:
    loss = audit.step.loss
    assert loss is not None
    told = "loss" + number(loss.detach())
    return Row(("loss = training_step(batch)", "all of it once more, from the same state", told), audit.loss)


def _backward(audit: Audit, calls: Sequence[Named], sample: int) -> Iterator[Row]:
    """Yield the gradients: from the loss back where hand rules lead, else in the order of the parameters."""
    chain = list(_chain(audit, calls, sample))
    told = {name for name, _, _ in chain if name}
    chain += [(name, "chain rule, from the loss to here", "") for name in audit.gradients if name not in told]
    for position, (name, formula, number_of) in enumerate(chain[:MOST]):
        line = "loss.backward()" if position == 0 else ""
        if not name:
            yield Row((line, formula, number_of))
            continue
        gradient = audit.step.gradients.get(name)
        shown = f"{name} has no gradient" if gradient is None else f"{name}.grad{number(dense(gradient))}"
        yield Row((line, formula, shown), audit.gradients[name])
    rest = {name: audit.gradients[name] for name, _, _ in chain[MOST:] if name}
    if rest:
        yield Row(("", "", f"and {len(rest)} more parameters"), worst(rest))


def _chain(audit: Audit, calls: Sequence[Named], sample: int) -> Iterator[tuple[str, str, str]]:
    """Yield (parameter, formula, "") from the loss back, and ("", formula, number) for what lies between."""
    linked = [name for name in calls if any(name.call is link for link in links(audit.calls))]
    parameters = [
        [f"{name.call.name}.{key}" for key, _ in name.call.module.named_parameters() if audit.by_hand]
        for name in linked
    ]
    for position in reversed(range(len(linked))):
        name = linked[position]
        yield from ((full, name.parameter(full.rpartition(".")[2]), "") for full in parameters[position])
        if not any(parameters[:position]):
            return
        yield "", *_between(name, audit.step.accumulate, sample)


def _between(name: Named, accumulate: int, sample: int) -> tuple[str, str]:
    """Return the formula of the gradient that a call passes back, and its number where the loss makes it."""
    rule = rule_for(name.call.module)
    if type(name.call.module) not in LOSSES or rule is None:
        return name.backward, ""
    gradient = rule.by_hand.backward(*name.call.inputs, 1 / accumulate)
    batches = f" / {accumulate} batches" if accumulate > 1 else ""
    return name.backward + batches, f"d{name.inputs[0]}{number(gradient, sample)}"


def _still(audit: Audit) -> Row:
    start = {name: p.detach() for name, p in audit.step.module.named_parameters()}
    pairs = [(p, start[name]) for name, p in audit.step.before_update.items() if name in start and p.numel()]
    moved = max((float((p - old).abs().max()) for p, old in pairs), default=0.0)
    return Row(
        ("(nothing moved yet)", "backward() is not an update", f"max|p_after - p_before| = {moved:g}"), audit.moved
    )


def _clip(audit: Audit) -> Row:
    assert audit.clipping is not None
    before, after = (total_norm(gradients) for gradients in (audit.step.gradients, audit.step.clipped))
    told = f"|g| {before:.6f} → {after:.6f}"
    if audit.step.clip is None:
        return Row(("(between backward and update)", "nothing should happen to g here", told), audit.clipping)
    how, limit = audit.step.clip
    mechanics = {"norm": f"g *= min(1, {limit:g} / |g|)", "value": f"g = clamp(g, ±{limit:g})"}[how]
    return Row((f"clip by {how}", mechanics, told), audit.clipping)


def _update(audit: Audit) -> Iterator[Row]:
    """Yield the updates; the parts of the formula stand one below the other."""
    step, parts = audit.step, audit.update_formula.split("; ")
    if not step.stepped:
        told = f"not yet: the gradients of {step.accumulate} batches are added up first"
        yield Row(("optimizer.step()", audit.update_formula, told))
        return
    shown = list(audit.updates.items())[:MOST]
    for position, (name, check) in enumerate(shown):
        before, after = step.before_update[name], step.after[name]
        place = (0,) * before.dim()
        where = f"[{','.join(map(str, place))}]" if place else ""
        told = f"{name}{where} {float(before[place]):.6f} → {float(after[place]):.6f}"
        here = parts[position : position + 1] if position < len(shown) - 1 else parts[position:]
        yield Row(("optimizer.step()" if position == 0 else "", "; ".join(here), told), check)
    rest = dict(list(audit.updates.items())[MOST:])
    if rest:
        yield Row(("", "", f"and {len(rest)} more parameters"), worst(rest))
