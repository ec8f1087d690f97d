"""What torch does without saying so, shown on a recorded step: each claim is tried out on a copy of the module."""

import io
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from glassbox.explain.table import Row, Table
from glassbox.replay.audit import Audit
from glassbox.replay.check import Check, Grade
from glassbox.replay.compare import dense
from glassbox.replay.rng import preserved, restore
from glassbox.replay.step import Named, Step
from glassbox.replay.trace import fresh

COLUMNS = ("framework line", "the mechanics", "this step's numbers", "by hand vs torch")
NO_LOSS = "training_step returned no loss that depends on a parameter"
SHOWN = 4  # parameters that are named


@dataclass(frozen=True)
class Passes:
    """Forward and backward of one batch on a copy of the module: twice without clearing, then once after zero_grad.

    Attributes:
        losses: The loss of each pass.
        once: Parameter name → `p.grad` after the first pass.
        twice: Parameter name → `p.grad` after the second.
        left: How many tensors still had a `p.grad` that was not None after zero_grad.
        again: Parameter name → `p.grad` after the third.
        moved: How many numbers of the parameters changed during the three backwards.
        meddled: Whether `training_step` itself changed a `p.grad` before the second backward.
    """

    losses: tuple[float, float, float]
    once: Named
    twice: Named
    left: int
    again: Named
    moved: int
    meddled: bool

    @property
    def doubled(self) -> Check:
        """Whether the gradient that was not cleared is exactly two times that of one pass."""
        return self._same(self.twice, 2, "the second backward did not add the same gradient to p.grad")

    @property
    def cleared(self) -> Check:
        """Whether zero_grad left None everywhere, so that the next gradient is that of one pass."""
        if self.left:
            return Check(Grade.DISAGREES, f"{self.left} tensors still have a gradient after zero_grad")
        return self._same(self.again, 1, "the backward after zero_grad gives another gradient")

    @property
    def still(self) -> Check:
        """Whether backward left every parameter as it was."""
        return Check(Grade.DISAGREES, "a parameter moved during backward()") if self.moved else Check(Grade.EXACT)

    def _same(self, gradients: Named, factor: int, reason: str) -> Check:
        if not all(bool(torch.isfinite(gradient).all()) for gradient in self.once.values()):
            return Check(Grade.NOT_CHECKED, "a gradient is NaN or infinite")
        if len(set(self.losses)) > 1:
            return Check(Grade.NOT_CHECKED, "the same batch from the same state does not give the same loss again")
        if self.meddled and gradients is self.twice:
            return Check(Grade.NOT_CHECKED, "training_step itself changes p.grad")
        pairs = [(gradients[name], factor * gradient) for name, gradient in self.once.items()]
        if all(torch.equal(*pair) for pair in pairs):
            return Check(Grade.EXACT)
        return Check(Grade.DISAGREES, reason, max(float((got - wanted).abs().max()) for got, wanted in pairs))


def warnings_shown(audit: Audit) -> Table:
    """Return the table of what a framework does not say, tried out on copies; the step stays as it is.

    Args:
        audit: The audited step.
    """
    step = audit.step
    rows = [*_accumulation(step), *_modes(step), _seed(step), *_registration(step.module)]
    return Table("What the framework does not say, shown on this step", COLUMNS, rows)


def tensors(audit: Audit) -> Table:
    """Return the table of every tensor on the way: the batch, what each layer made, the loss, the parameters.

    Args:
        audit: The audited step.
    """
    step, loss = audit.step, live_loss(audit.step)
    rows = [_tensor(name, tensor) for name, tensor in batch_tensors(step.batch).items()]
    for position, call in enumerate(audit.calls, 1):
        shape = "no tensor" if call.output is None else _shape(call.output)
        recorded = str(call.requires_grad), call.grad_fn or "None", call.device
        rows.append(Row((f"{'loss' if call.produced else f'h{position}'} = {call.name}(…)", shape, *recorded)))
    if loss is not None and not any(call.produced for call in audit.calls):
        rows.append(_tensor("loss", loss))
    rows += [_tensor(name, parameter) for name, parameter in step.module.named_parameters()]
    columns = ("tensor", "shape", "requires_grad", "grad_fn", "device")
    note = "grad_fn is the operation that backward() goes back through; a parameter has none: the way ends there."
    return Table("Every tensor on the way", columns, rows, note)


def passes(step: Step) -> Passes | None:
    """Run a step's forward and backward again on a copy, each time from the same state; see `Passes`.

    Args:
        step: The recorded step; it and the global generators are left as they are.

    Returns:
        What they gave; None if there is no loss to go back from, or no parameter that it reaches.
    """
    module = step.module if step.refused else fresh(step)[0]
    parameters = dict(module.named_parameters())
    if step.refused or not parameters:
        return None
    start = [(tensor, tensor.detach().clone()) for tensor in [*parameters.values(), *module.buffers()]]
    losses: list[float] = []
    gradients: list[Named] = []
    left, moved, meddled = 0, 0, False
    for position in range(3):
        with torch.no_grad():
            for tensor, value in start:
                tensor.copy_(value)
        if position != 1:
            torch.optim.SGD(parameters.values(), lr=1.0).zero_grad()
            left += sum(p.grad is not None for p in parameters.values())
        loss = forward(step, module, fresh(step)[1])
        if loss is None or not loss.requires_grad:
            return None
        if position == 1:
            kept = {name: dense(p.grad) for name, p in parameters.items() if p.grad is not None}
            meddled = not all(name in kept and torch.equal(kept[name], g) for name, g in gradients[0].items())
        before = {name: p.detach().clone() for name, p in parameters.items()}
        with warnings.catch_warnings(), preserved():
            warnings.simplefilter("ignore")
            loss.backward()  # type: ignore[no-untyped-call]
        moved += sum(int((p.detach() != before[name]).sum()) for name, p in parameters.items())
        losses.append(loss.item())
        gradients.append({name: dense(p.grad).clone() for name, p in parameters.items() if p.grad is not None})
    once, twice, again = gradients
    return Passes((losses[0], losses[1], losses[2]), once, twice, left, again, moved, meddled) if once else None


def forward(step: Step, module: nn.Module, arguments: tuple[Any, ...]) -> Tensor | None:
    """Return the loss that `training_step` makes, from the generators and in the context of the step.

    Unlike `glassbox.replay.trace.call_training_step` it records operations only where the caller does.

    Args:
        step: The recorded step.
        module: A copy of its module.
        arguments: Copies of the arguments.

    Returns:
        The loss; None if it returned none.
    """
    with preserved(), step.context(), warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        restore(step.rng)
        returned = module.training_step(*arguments)  # type: ignore[operator]
    loss = returned.get("loss") if isinstance(returned, Mapping) else returned
    return loss if isinstance(loss, Tensor) else None


def live_loss(step: Step) -> Tensor | None:
    """Return the loss of a step with its graph, from a copy of the module.

    Args:
        step: The recorded step; it and the global generators are left as they are.
    """
    return None if step.refused else forward(step, *fresh(step))


def batch_tensors(batch: Any, name: str = "batch") -> Named:
    """Return every tensor in a batch, named by its place, as in `batch[0]`.

    Args:
        batch: A tensor, or lists, tuples and mappings of tensors.
        name: The name of the whole.
    """
    if isinstance(batch, Tensor):
        return {name: batch}
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(batch, Mapping):
        items = batch.items()
    elif isinstance(batch, Sequence) and not isinstance(batch, str):
        items = enumerate(batch)
    return {key: t for place, part in items for key, t in batch_tensors(part, f"{name}[{place!r}]").items()}


def registered(module: nn.Module) -> dict[str, nn.Parameter]:
    """Find parameters as registration does, by hand: what a module holds itself, then its children; each once.

    Args:
        module: The module.
    """
    found: dict[int, tuple[str, nn.Parameter]] = {}

    def walk(part: nn.Module, path: str) -> None:
        for key, parameter in part._parameters.items():
            if parameter is not None:
                found.setdefault(id(parameter), (path + key, parameter))
        for key, child in part._modules.items():
            if child is not None:
                walk(child, f"{path}{key}.")

    walk(module, "")
    return dict(found.values())


def telling(gradients: Named) -> tuple[str, tuple[int, ...]]:
    """Return a parameter whose gradient is not 0 everywhere, and the place of its first number that is not 0.

    Args:
        gradients: Parameter name → gradient, at least one; where all are 0, the first number of the first.
    """
    name = next((name for name, g in gradients.items() if bool(g.count_nonzero())), next(iter(gradients)))
    nonzero = gradients[name].nonzero()
    return name, tuple(nonzero[0].tolist()) if len(nonzero) else (0,) * gradients[name].dim()


def element(name: str, place: tuple[int, ...], what: str = "") -> str:
    """Return the name of one number of a parameter, as in `net.fc1.weight.grad[0,1]`.

    Args:
        name: The parameter.
        place: The indices of the number.
        what: What of the parameter, as in `.grad`.
    """
    return f"{name}{what}[{','.join(map(str, place))}]" if place else f"{name}{what}"


def _accumulation(step: Step) -> Iterator[Row]:
    """Yield the rows on backward, which adds to p.grad and moves nothing, and on zero_grad, which leaves None."""
    lines = (
        ("loss.backward(), twice", "grad += new: what is not cleared adds up"),
        ("optimizer.zero_grad()", "grad ← None, not 0: step() skips what has None"),
        ("loss.backward()", "fills p.grad, leaves p alone"),
    )
    made = passes(step)
    if made is None:
        yield from (Row((*line, "–"), Check(Grade.NOT_CHECKED, step.refused or NO_LOSS)) for line in lines)
        return
    name, place = telling(made.once)
    once, twice, again = (f"{float(grad[name][place]):+.6f}" for grad in (made.once, made.twice, made.again))
    yield Row((*lines[0], f"{element(name, place, '.grad')} = {once}, then {twice}"), made.doubled)
    left = len(made.once) - made.left
    yield Row((*lines[1], f"{left} of {len(made.once)} tensors have None; then backward() gives {again}"), made.cleared)
    total = _count(step.module.parameters())
    told = f"{made.moved} of {total} numbers moved by backward()"
    if step.stepped:
        changed = sum(int((step.after[name] != p).sum()) for name, p in step.before_update.items())
        told = f"{told}, {changed} by optimizer.step()"
    yield Row((*lines[2], told), made.still)


def _modes(step: Step) -> Iterator[Row]:
    """Yield the rows on eval(), which switches layers, and on no_grad(), which stops recording."""
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
    told = f"loss.grad_fn: {_grad_fn(evaluated)} after eval(), {_grad_fn(silent)} under no_grad()"
    recorded = evaluated.requires_grad and not silent.requires_grad
    check = Check(Grade.NOT_CHECKED, "training_step switches recording on or off by itself")
    yield Row((*lines[1], told), Check(Grade.EXACT) if recorded else check)


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


def _seed(step: Step) -> Row:
    """Return the smallest example of autograd there is, on numbers of the batch."""
    x = _two_numbers(step.batch).requires_grad_()
    y = (x**2).sum()
    y.backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    told = f"x = {_values(x)}: y = {y.item():.6f}, x.grad = {_values(x.grad)}"
    right = torch.equal(x.grad, 2 * x.detach())
    check = Check(Grade.EXACT) if right else Check(Grade.DISAGREES, "x.grad is not 2x")
    return Row(("y = (x ** 2).sum(); y.backward()", "y = Σ x², dy/dx = 2x", told), check)


def _two_numbers(batch: Any) -> Tensor:
    """Return the first two numbers of a batch, or 1 and 2 where it has none with a fraction."""
    for tensor in batch_tensors(batch).values():
        if tensor.is_floating_point() and tensor.numel() > 1:
            numbers = tensor.detach().flatten()[:2].clone()
            if bool(torch.isfinite(numbers).all()):
                return numbers
    return torch.tensor([1.0, 2.0])


def _registration(module: nn.Module) -> Iterator[Row]:
    """Yield the rows on which parameters are found, and which are not."""
    found, by_hand = dict(module.named_parameters()), registered(module)
    same = [*map(id, found.values())] == [*map(id, by_hand.values())] and list(found) == list(by_hand)
    check = Check(Grade.EXACT) if same else Check(Grade.DISAGREES, "named_parameters() gives other parameters")
    shown = [f"{name} {p.numel()}" for name, p in list(found.items())[:SHOWN]]
    shown += [f"{len(found) - SHOWN} more"] if len(found) > SHOWN else []
    told = f"{_count(found.values())} numbers in {len(found)} tensors: {', '.join(shown)}"
    yield Row(("model.parameters()", "finds what is set as an attribute", told), check)
    parts = layers(module)
    names = " and ".join(parts) if len(parts) < SHOWN else f"{next(iter(parts))} and {len(parts) - 1} more"
    plain, listed = nn.Module(), nn.Module()
    plain.layers = list(parts.values())  # type: ignore[assignment]
    listed.layers = nn.ModuleList(parts.values())
    seen, counted = _count(plain.parameters()), _count(listed.parameters())
    total = _count({id(p): p for part in parts.values() for p in registered(part).values()}.values())
    told = f"{names} in a plain list: {seen} of {total} numbers found; in an nn.ModuleList: {counted}"
    check = Check(Grade.DISAGREES, f"found {seen} and {counted} of {total} numbers")
    check = Check(Grade.EXACT) if (seen, counted) == (0, total) else check
    yield Row(("self.layers = [...]", "a plain list hides them; nn.ModuleList does not", told), check)


def layers(module: nn.Module) -> dict[str, nn.Module]:
    """Return the parts with parameters of the first module, from the top, that has two or more of them.

    Args:
        module: The module; two small layers stand in for one without layers.
    """
    path = ""
    while True:
        parts = {f"{path}{name}": part for name, part in module.named_children() if registered(part)}
        ((name, only),) = parts.items() if len(parts) == 1 else (("", nn.Module()),)
        if not any(registered(part) for part in only.children()):
            break
        module, path = only, f"{name}."
    with torch.device("meta"):  # draws no random numbers
        return parts or {"nn.Linear(2, 8)": nn.Linear(2, 8), "nn.Linear(8, 1)": nn.Linear(8, 1)}


def _tensor(name: str, tensor: Tensor) -> Row:
    return Row((name, _shape(tensor), str(tensor.requires_grad), _grad_fn(tensor), str(tensor.device)))


def _shape(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "one number"


def _grad_fn(tensor: Tensor) -> str:
    return "None" if tensor.grad_fn is None else type(tensor.grad_fn).__name__


def _values(x: Tensor) -> str:
    return f"[{', '.join(f'{value:.6f}' for value in x.tolist())}]"


def _count(parameters: Iterable[Tensor]) -> int:
    return sum(p.numel() for p in parameters)
