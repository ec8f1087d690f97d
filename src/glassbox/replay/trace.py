"""`training_step` once more, on a copy, with a look at every call of a layer."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from glassbox.replay.check import Check, Grade
from glassbox.replay.compare import compare
from glassbox.replay.duplicate import duplicate
from glassbox.replay.rng import restore
from glassbox.replay.rule import LOSSES, rule_for, unruly
from glassbox.replay.step import Named, Step


@dataclass
class Call:
    """One call of a leaf module during `training_step`.

    Attributes:
        name: Its name among the module's `named_modules()`.
        module: The leaf module, of the copy that was run.
        inputs: Its tensor arguments, copies as they were before the call.
        output: A copy of what it returned; None if that is no tensor.
        requires_grad: Whether the output requires a gradient.
        grad_fn: The type of the output's `grad_fn`.
        device: Where the output is.
        check: The forward formula by hand against torch.
        formula: The forward formula; empty without a hand rule.
        sources: For each input the index of the call that made it; None: it comes from elsewhere.
        ruled: Whether the hand rule holds for this call.
        produced: Whether its output is, as an object, the loss that `training_step` returned.

    Example:
        >>> layer = nn.ReLU()
        >>> x = torch.tensor([-1.0, 2.0])
        >>> call = Call("relu", layer, (x,), layer(x), False, None, "cpu", Check(Grade.EXACT), "h = max(a, 0)", (None,))
        >>> str(call.check)
        'EXACT'
    """

    name: str
    module: nn.Module
    inputs: tuple[Tensor, ...]
    output: Tensor | None
    requires_grad: bool
    grad_fn: str | None
    device: str
    check: Check
    formula: str
    sources: tuple[int | None, ...]
    ruled: bool = False
    produced: bool = False


@dataclass
class Trace:
    """`training_step` done again.

    Attributes:
        module: The copy on which it was done, as it is afterwards.
        calls: The calls of leaf modules, in order.
        loss: What it returned, with its graph; None if it returned none.
        gradients: Parameter name → gradient of the loss divided by `accumulate`, where there is one.

    Example:
        >>> Trace(nn.Linear(1, 1), [], None, {}).loss is None
        True
    """

    module: nn.Module
    calls: list[Call]
    loss: Tensor | None
    gradients: Named


def trace(step: Step) -> Trace:
    """Do `training_step` of a recorded step again, with its generators and in its context, and differentiate its loss.

    Nothing outside changes but the state of the random number generators; `glassbox.replay.rng.preserved` keeps that.

    Args:
        step: The recorded step.

    Returns:
        What happened.

    Example:
        >>> from contextlib import nullcontext
        >>> from glassbox.replay.rng import capture
        >>> class Net(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.fc, self.loss = nn.Linear(2, 1), nn.MSELoss()
        ...
        ...     def training_step(self, batch, batch_idx):
        ...         return self.loss(self.fc(batch), torch.zeros(3, 1))
        >>> step = Step(0, 0, Net(), torch.ones(3, 2), capture(), nullcontext, torch.optim.SGD, [], {}, {})
        >>> done = trace(step)
        >>> [(call.name, call.formula, str(call.check)) for call in done.calls]
        [('fc', "a = x W' + b", 'EXACT'), ('loss', 'L = mean[(z - y)^2]', 'EXACT')]
        >>> sorted(done.gradients)
        ['fc.bias', 'fc.weight']
    """
    module, arguments = fresh(step)
    calls: list[Call] = []
    with watched(module, calls) as made, step.context():
        restore(step.rng)
        loss = call_training_step(module, arguments)
        for call, output in zip(calls, made, strict=True):
            call.produced = loss is not None and output is loss
    gradients = {} if loss is None or not loss.requires_grad else gradients_of(loss / step.accumulate, module)
    return Trace(module, calls, loss, gradients)


def fresh(step: Step) -> tuple[nn.Module, tuple[Any, ...]]:
    """Return new copies of a step's module and of the arguments of its `training_step`.

    Args:
        step: The recorded step.

    Example:
        >>> from contextlib import nullcontext
        >>> step = Step(0, 4, nn.Linear(1, 1), torch.ones(1), {}, nullcontext, torch.optim.SGD, [], {}, {})
        >>> module, arguments = fresh(step)
        >>> module is step.module, arguments
        (False, (tensor([1.]), 4))
    """
    arguments = (step.batch, step.batch_idx) if step.arguments is None else step.arguments
    return duplicate(step.module, arguments)


def call_training_step(module: Any, arguments: tuple[Any, ...]) -> Tensor | None:
    """Call `training_step` as the framework does, without what it prints, and return its loss.

    Args:
        module: A copy of the module.
        arguments: Its arguments.

    Example:
        >>> class Net(nn.Module):
        ...     def training_step(self, batch, batch_idx):
        ...         print("not again")
        ...         return {"loss": batch.sum(), "rows": len(batch)}
        >>> call_training_step(Net(), (torch.ones(3), 0))
        tensor(3.)
    """
    with torch.enable_grad(), redirect_stdout(io.StringIO()):
        return loss_of(module.training_step(*arguments))


def loss_of(output: Any) -> Tensor | None:
    """Return the loss in what `training_step` returned: that itself, or what a mapping has as `loss`; else None.

    Args:
        output: A tensor, a mapping or None.

    Example:
        >>> loss_of({"loss": torch.tensor(0.5), "rows": 3}), loss_of(None)
        (tensor(0.5000), None)
    """
    loss = output.get("loss") if isinstance(output, Mapping) else output
    return loss if isinstance(loss, Tensor) else None


def gradients_of(loss: Tensor, module: nn.Module) -> Named:
    """Return parameter name → gradient by autograd, where there is one.

    Args:
        loss: A scalar with its graph.
        module: A copy of the module.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> gradients_of(layer(torch.tensor([[3.0]])).sum(), layer)
        {'weight': tensor([[3.]]), 'bias': tensor([1.])}
    """
    names = [name for name, p in module.named_parameters() if p.requires_grad]
    parameters = [p for p in module.parameters() if p.requires_grad]
    found: Sequence[Tensor | None] = ()
    if _is_checkpointed(loss.grad_fn):
        loss.backward()  # type: ignore[no-untyped-call]  # `grad` cannot see through a reentrant checkpoint
        found = [p.grad for p in parameters]
    elif parameters:
        found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return {name: gradient for name, gradient in zip(names, found, strict=True) if gradient is not None}


def _is_checkpointed(node: Any) -> bool:
    """Return whether a graph contains a reentrant checkpoint."""
    seen, todo = set(), [node]
    while todo:
        node = todo.pop()
        if node is not None and node not in seen:
            seen.add(node)
            todo += [following for following, _ in node.next_functions]
    return any(node.name() == "CheckpointFunctionBackward" for node in seen)


@contextmanager
def watched(module: nn.Module, calls: list[Call]) -> Iterator[list[Any]]:
    """Add every call of a leaf module to a list.

    Args:
        module: The module; its hooks are removed at the end.
        calls: The list.

    Yields:
        The outputs themselves, call by call.

    Example:
        >>> net, calls = nn.Sequential(nn.Linear(1, 2), nn.Tanh()), []
        >>> with watched(net, calls):
        ...     output = net(torch.ones(1, 1))
        >>> [(call.name, call.sources) for call in calls]
        [('0', (None,)), ('1', (0,))]
    """
    made: list[Any] = []  # kept, so that no other tensor gets the id of one of them
    origin: dict[int, int] = {}
    open_calls: list[tuple[tuple[Tensor, ...], tuple[int | None, ...], str]] = []

    def before(layer: nn.Module, args: Any, kwargs: Any) -> None:
        tensors = tuple(leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor))
        copies = tuple(tensor.detach().clone() for tensor in tensors)
        reason = unruly(layer, copies) if copies else f"{type(layer).__name__} was called without a tensor"
        open_calls.append((copies, tuple(origin.get(id(tensor)) for tensor in tensors), reason))

    def after(layer: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        inputs, sources, reason = open_calls.pop()
        for leaf in tree_leaves(output):
            if isinstance(leaf, Tensor):
                origin[id(leaf)] = len(calls)
        made.append(output)
        calls.append(_call(names[id(layer)], layer, inputs, output, sources, reason))

    # By id: a metric of torchmetrics hashes to another number after each update.
    leaves = [(name, layer) for name, layer in module.named_modules() if _is_leaf(layer)]
    names = {id(layer): name for name, layer in leaves}
    hooked = {id(layer) for _, layer in leaves if layer._forward_hooks or layer._forward_pre_hooks}
    handles = [layer.register_forward_pre_hook(before, with_kwargs=True) for _, layer in leaves]
    handles += [layer.register_forward_hook(after, with_kwargs=True) for _, layer in leaves]
    try:
        yield made
    finally:
        for handle in handles:
            handle.remove()
    for call in calls:
        if id(call.module) in hooked:
            call.ruled = False
            call.check = Check(Grade.NOT_CHECKED, f"{call.name} has a forward hook, which may change what it returns")


def _is_leaf(layer: nn.Module) -> bool:
    return isinstance(layer, nn.MultiheadAttention) or next(layer.children(), None) is None


def _call(
    name: str,
    layer: nn.Module,
    inputs: tuple[Tensor, ...],
    output: Any,
    sources: tuple[int | None, ...],
    reason: str,
) -> Call:
    tensor = output if isinstance(output, Tensor) else None
    leaves = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
    rule = rule_for(layer)
    return Call(
        name=name,
        module=layer,
        inputs=inputs,
        output=None if tensor is None else tensor.detach().clone(),
        requires_grad=any(leaf.requires_grad for leaf in leaves),
        grad_fn=next((type(leaf.grad_fn).__name__ for leaf in leaves if leaf.grad_fn is not None), None),
        device=str(leaves[0].device) if leaves else "",
        check=_by_hand(layer, inputs, tensor, reason),
        formula="" if rule is None else rule.formula,
        sources=sources,
        ruled=not reason and len(leaves) == 1,
    )


@torch.no_grad()
def _by_hand(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor | None, reason: str) -> Check:
    """Compute a call by hand and compare."""
    rule = rule_for(layer)
    if reason or rule is None or output is None:
        return Check(Grade.NOT_CHECKED, reason or f"{type(layer).__name__} returns no tensor")
    if type(layer) in LOSSES:
        return compare(rule.by_hand.forward(*inputs), output, f"{type(layer).__name__} is not {rule.formula}")
    (x,) = inputs
    parameters = dict(layer.named_parameters(recurse=False))
    rows = x.reshape(-1, x.shape[-1]) if parameters and x.dim() != 2 else x  # a sequence [B, T, D] is B T rows
    ours = rule.by_hand.forward(rows, **parameters).reshape(output.shape)
    return compare(ours, output, f"{type(layer).__name__} is not {rule.formula}")
