"""What one training step shows, in words: each sentence has its evidence, the most important comes first."""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from glassbox.explain.lesson import batch_tensors, live_loss
from glassbox.replay.audit import Audit
from glassbox.replay.compare import dense
from glassbox.replay.trace import Call

ROWS = 8  # on fewer rows a unit is 0 by chance
EDGE = 0.01  # how near to its limit an activation is saturated
NEAR = 0.05  # relative distance to ln C within which a loss is a guess's
LARGE, TINY = 0.1, 1e-6  # |update| / |p|
DENSE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)  # one row of the weight per unit
BY_CHANNEL = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
LIMITS: dict[type[nn.Module], tuple[float, float]] = {nn.Sigmoid: (0.0, 1.0), nn.Tanh: (-1.0, 1.0)}


def observations(audit: Audit) -> list[str]:
    """Return what a step shows: wiring first, then initialisation, then how it moved, then what is as it should be.

    Args:
        audit: The audited step; no sentence is made up that its tensors do not show.
    """
    wiring = (_not_finite, _hidden, _outside, _absent)
    initialisation = (_symmetric, _zero_weights, _zero_gradients, _stuck)
    movement = (_moved, _clipped)
    looks = (*wiring, *initialisation, *movement, _frozen, _guess, _first_adam)
    return [sentence for look in looks for sentence in look(audit)]


def not_finite(tensor: Tensor) -> int:
    """Return how many numbers of a tensor are NaN or infinite."""
    return int((~torch.isfinite(tensor)).sum())


def all_zero(tensor: Tensor) -> bool:
    """Return whether a tensor holds numbers, and each is 0."""
    return tensor.numel() > 0 and not bool(tensor.count_nonzero())


def equal_rows(tensor: Tensor) -> bool:
    """Return whether a tensor has two rows or more, all of them the same.

    Args:
        tensor: A weight or its gradient [H, ...], one row per unit.
    """
    return tensor.dim() > 1 and len(tensor) > 1 and bool((tensor == tensor[:1]).all())


def dead_units(output: Tensor, axis: int = -1) -> int:
    """Return how many units are 0 for every row (and position).

    Args:
        output: The output of a ReLU, [B, H] or [B, C, ...].
        axis: The axis of the units.
    """
    return int((_by_unit(output, axis) == 0).all(1).sum())


def saturated_units(output: Tensor, low: float, high: float, axis: int = -1) -> int:
    """Return how many units are within 1 % of a limit for every row (and position).

    Args:
        output: The output of a sigmoid or tanh, [B, H] or [B, C, ...].
        low: Its lower limit.
        high: Its upper limit.
        axis: The axis of the units.
    """
    units = _by_unit(output, axis)
    return int(((units < low + EDGE) | (units > high - EDGE)).all(1).sum())


def is_guess(loss: float, classes: int) -> bool:
    """Return whether a cross-entropy is that of giving each class the same probability, ln C, or within 5 % of it."""
    return classes > 1 and abs(loss - math.log(classes)) <= NEAR * math.log(classes)


def relative_update(before: Tensor, after: Tensor) -> float | None:
    """Return |after - before| / |before| in L2 norms; None where the parameter was 0."""
    size = float(torch.linalg.vector_norm(before.double()))
    return float(torch.linalg.vector_norm((after - before).double())) / size if size > 0 else None


def total_norm(gradients: Mapping[str, Tensor]) -> float:
    """Return the L2 norm of all gradients together."""
    return math.sqrt(sum(float(dense(gradient).double().square().sum()) for gradient in gradients.values()))


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


def unregistered(module: nn.Module) -> dict[str, int]:
    """Return how many numbers are in layers or parameters that a plain list, tuple or dict hides from `parameters()`.

    Args:
        module: The module; its submodules are searched, too.
    """
    known = {id(p) for p in module.parameters()}
    found = {}
    for owner, part in module.named_modules():
        for key, value in vars(part).items():
            items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
            if key in ("_parameters", "_buffers", "_modules"):
                continue
            hidden = {
                id(p): p.numel()
                for item in items
                if isinstance(item, nn.Module | nn.Parameter)
                for p in (item.parameters() if isinstance(item, nn.Module) else (item,))
                if id(p) not in known
            }
            if hidden:
                found[f"{owner}.{key}".lstrip(".")] = sum(hidden.values())
    return found


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
    held = _held(audit)
    names = [name for name, p in audit.step.module.named_parameters() if p.requires_grad and name not in held]
    if names:
        yield f"{_listed(names)} {_be(len(names))} trainable but in no optimizer: step() never moves {_it(len(names))}."


def _absent(audit: Audit) -> Iterator[str]:
    """Tell which trainable parameters the optimizer holds for nothing."""
    step, held = audit.step, _held(audit)
    trainable = [name for name, p in step.module.named_parameters() if p.requires_grad and name in held]
    names = [name for name in trainable if name not in step.gradients]
    if names and step.loss is not None:
        yield f"{_listed(names)} received no gradient: no recorded operation leads from the loss to {_it(len(names))}."


def _symmetric(audit: Audit) -> Iterator[str]:
    step = audit.step
    for layer, weight in _weights(step.module):
        gradient = step.gradients.get(f"{layer}weight")
        if gradient is None or not equal_rows(weight) or not equal_rows(gradient):
            continue
        rows, zero = len(weight), " (0 everywhere)" if all_zero(gradient) else ""
        yield (
            f"All {rows} rows of {layer}weight receive the same gradient{zero} and were equal before: symmetry is not "
            f"broken, and {rows} units do the work of one."
        )


def _zero_weights(audit: Audit) -> Iterator[str]:
    names = [f"{layer}weight" for layer, weight in _weights(audit.step.module) if all_zero(weight)]
    if names:
        yield f"Every number of {_listed(names)} is 0."


def _zero_gradients(audit: Audit) -> Iterator[str]:
    """Tell which gradients are 0 everywhere, together where the cause is the same."""
    causes: dict[str, list[str]] = {}
    for name, gradient in audit.step.gradients.items():
        if all_zero(dense(gradient)):
            causes.setdefault(_cause(audit.calls, name), []).append(name)
    for cause, names in causes.items():
        yield f"No gradient reaches {_listed(names)} (0 everywhere){cause}."


def _stuck(audit: Audit) -> Iterator[str]:
    """Tell the units that pass no gradient on, or hardly any, whatever the row."""
    for position, call in enumerate(audit.calls):
        output, (low, high) = call.output, LIMITS.get(type(call.module), (0.0, 0.0))
        if output is None or output.dim() < 2:
            continue
        axis = _axis(audit.calls, position)
        units, rows = output.shape[axis], f"for every one of its {len(output)} rows"
        if output.numel() < ROWS * units:
            continue
        if isinstance(call.module, nn.ReLU) and (count := dead_units(output, axis)):
            told = f"dead on this batch: 0 {rows}, so no gradient passes through {_it(count)}"
        elif high > low and (count := saturated_units(output, low, high, axis)):
            told = f"saturated on this batch: within {EDGE} of {low:g} or {high:g} {rows}, where the slope is almost 0"
        else:
            continue
        yield f"{count} of {units} units of {call.name} {_be(count)} {told}."


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


def _frozen(audit: Audit) -> Iterator[str]:
    names = [name for name, p in audit.step.module.named_parameters() if not p.requires_grad]
    if names:
        yield f"{_listed(names)} {_be(len(names))} frozen: requires_grad is False, no gradient is made."


def _guess(audit: Audit) -> Iterator[str]:
    """Tell a cross-entropy that is no better than the same probability for each class."""
    step, classes = audit.step, _classes(audit)
    if step.loss is None or classes is None or not is_guess(float(step.loss), classes):
        return
    loss, told = f"{float(step.loss):.4f}", f"ln {classes} = {math.log(classes):.4f}"
    if step.number == 0:
        yield f"The loss, {loss}, is about that of an untrained guess: {told}."
    else:
        yield f"After {step.number} steps the loss of this batch, {loss}, is still about that of a guess: {told}."


def _first_adam(audit: Audit) -> Iterator[str]:
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
    return f", because {_listed(list(dict.fromkeys(wall for walls in found for wall in walls)))}"


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


def _axis(calls: list[Call], position: int) -> int:
    """Return the axis of the units of a call's output: 1 behind a convolution, the last behind a linear layer."""
    output = calls[position].output
    maker: int | None = position
    while maker is not None:
        if isinstance(calls[maker].module, nn.Linear):
            return -1
        if isinstance(calls[maker].module, BY_CHANNEL):
            return 1
        maker = next(iter(calls[maker].sources), None)
    return 1 if output is not None and output.dim() > 3 else -1


def _by_unit(output: Tensor, axis: int) -> Tensor:
    return output.movedim(axis, 0).flatten(1)


def _weights(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the dense layers, as in `net.fc1.`, and their weights [H, ...]."""
    for name, part in module.named_modules():
        if isinstance(part, DENSE):
            yield f"{name}.".lstrip("."), part.weight.detach()


def _held(audit: Audit) -> set[str]:
    return {name for group in audit.step.groups for name in group["params"]}


def _ratios(audit: Audit) -> dict[str, float]:
    """Return |update| / |p| of the weights, the parameters of two axes or more, that the optimizer was to move."""
    step, held = audit.step, _held(audit)
    names = [name for name, p in step.before_update.items() if step.stepped and p.dim() > 1 and name in held]
    ratios = {name: relative_update(step.before_update[name], step.after[name]) for name in names}
    return {name: ratio for name, ratio in ratios.items() if ratio is not None and math.isfinite(ratio)}


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


def _listed(names: Sequence[str]) -> str:
    """Return names as a list in words, of four names at most."""
    shown = [*names[:4], f"{len(names) - 4} more"] if len(names) > 5 else list(names)
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _span(values: Tensor, form: str) -> str:
    ends = {f"{float(end):{form}}": None for end in (values.min(), values.max())}
    return " to ".join(ends)


def _be(count: int) -> str:
    return "is" if count == 1 else "are"


def _it(count: int) -> str:
    return "it" if count == 1 else "them"
