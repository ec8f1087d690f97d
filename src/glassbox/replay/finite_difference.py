r"""Gradients where no hand rule exists: does the loss change as the gradient says, when a parameter moves a little?"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from glassbox.replay.check import Check, Grade
from glassbox.replay.constant import Constants
from glassbox.replay.duplicate import duplicate
from glassbox.replay.rng import restore
from glassbox.replay.step import Named, Step
from glassbox.replay.trace import call_training_step, fresh, gradients_of

THRESHOLD = 1e-5  # healthy nets stay below 1e-7; a wrong backward or a detached graph gives about 1
GOOD = 1e-7  # at this error no other direction is tried
EPSILONS = (1e-5, 1e-4, 1e-6)  # lengths of the move; another one where a kink, such as ReLU's, lies in the way
DIRECTIONS = 2
HELD = "with what is cut off by .detach() or no_grad held constant"
ROUNDING = 8 * torch.finfo(torch.float64).eps
RESOLVED = 1e-6  # a derivative is resolved where rounding is so small a part of it
CANNOT = (RuntimeError, TypeError, ValueError, AttributeError, KeyError, IndexError, AssertionError)


@dataclass(frozen=True)
class Slope:
    """How the loss changes along one direction of one parameter.

    Attributes:
        measured: By a finite difference.
        autograd: By the gradient.
        error: Their difference, relative to the larger one, or to what the finite difference resolves.

    Example:
        >>> Slope(2.0, 2.0, 0.0).error
        0.0
    """

    measured: float
    autograd: float
    error: float


class Twin:
    r"""A float64 copy of a recorded step, on which parameters can be moved and the loss be looked at.

    For a parameter p, a random direction u of length 1 and the gradient g of the copy's own autograd:

    .. math::
        \frac{L(p + ε u) - L(p - ε u)}{2 ε} = ⟨g, u⟩ + O(ε^2)

    Every evaluation begins from the same copy and the same random numbers, so that dropout drops the same units.

    Args:
        step: The recorded step; nothing of it changes.

    Example:
        >>> from contextlib import nullcontext
        >>> from glassbox.replay.rng import capture
        >>> class Net(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.fc = nn.Linear(2, 3)
        ...
        ...     def training_step(self, batch, batch_idx):
        ...         return self.fc(batch).sin().sum()
        >>> step = Step(0, 0, Net(), torch.ones(4, 2), capture(), nullcontext, torch.optim.SGD, [], {}, {})
        >>> check = Twin(step).check("fc.weight")
        >>> check.grade.value, check.error < 1e-7
        ('FD', True)
    """

    def __init__(self, step: Step) -> None:
        self.rng = step.rng
        module, arguments = fresh(step)
        self.module = to_double(module)
        self.arguments = tree_map(_double, arguments)
        self.generator = torch.Generator().manual_seed(0)

    def check(self, name: str) -> Check:
        """Compare the gradient of one parameter with finite differences.

        Args:
            name: The parameter's name.

        Returns:
            FD with the relative error; DISAGREES with the likely cause; NOT CHECKED where float64 fails.
        """
        parameter = dict(self.module.named_parameters())[name]
        if parameter.is_complex() or not parameter.numel():
            return Check(Grade.NOT_CHECKED, "no finite difference for a complex or empty parameter")
        if parameter._backward_hooks:
            return Check(Grade.NOT_CHECKED, f"a hook of {name} changes its gradient, so that it is no derivative")
        try:
            slope = self._best(name, parameter.shape)
        except CANNOT as error:
            return Check(Grade.NOT_CHECKED, f"no hand rule, and float64 fails: {_first_line(error)}")
        none = name not in self._base[1]
        if slope.error <= THRESHOLD:
            return Check(Grade.FD, "unused: the loss does not depend on it" if none else "", slope.error)
        if self._casts:
            return Check(Grade.NOT_CHECKED, f"no hand rule, and a cast to {self._casts[0]} spoils finite differences")
        if slope.autograd != 0.0 and (held := self._held(name, parameter.shape)) is not None:
            return Check(Grade.FD, HELD, held.error)
        return Check(Grade.DISAGREES, _cause(name, slope, none), slope.error)

    def _held(self, name: str, shape: torch.Size) -> Slope | None:
        """Return the slope with all that is cut off from the graph held constant, if that is what autograd gives."""
        try:
            slope = self._best(name, shape, self._constants)
        except CANNOT:
            return None
        return slope if slope.error <= THRESHOLD else None

    @cached_property
    def _constants(self) -> list[Any]:
        module, arguments = duplicate(self.module, self.arguments)
        mode = Constants()
        with mode:
            self._loss(module, arguments)
        return mode.found

    @cached_property
    def _base(self) -> tuple[Tensor, Named]:
        """The loss and its gradients, where no parameter has moved."""
        module, arguments = duplicate(self.module, self.arguments)
        with _Casts() as mode:
            loss = self._loss(module, arguments)
        self._casts = mode.found
        return loss.detach(), gradients_of(loss, module) if loss.requires_grad else {}

    def _loss(self, module: nn.Module, arguments: tuple[Any, ...]) -> Tensor:
        restore(self.rng)
        with _default_double():
            loss = call_training_step(module, arguments)
        if loss is None or loss.dtype != torch.float64:
            raise TypeError(f"training_step returns {'no loss' if loss is None else loss.dtype}")
        return loss

    def _moved(self, name: str, shift: Tensor, constants: list[Any] | None) -> float:
        module, arguments = duplicate(self.module, self.arguments)
        with torch.no_grad():
            dict(module.named_parameters())[name].add_(shift)
        with nullcontext() if constants is None else Constants(constants):
            loss = self._loss(module, arguments)
        return float(loss.detach())

    def _best(self, name: str, shape: torch.Size, constants: list[Any] | None = None) -> Slope:
        return min(self._slopes(name, shape, constants), key=lambda slope: slope.error)

    def _slopes(self, name: str, shape: torch.Size, constants: list[Any] | None) -> Iterator[Slope]:
        """Yield slopes along a few directions with a few lengths, until one agrees."""
        loss, gradients = self._base
        gradient = gradients.get(name, torch.zeros(shape, dtype=torch.float64, device=loss.device)).to_dense()
        for epsilon in EPSILONS:
            for _ in range(DIRECTIONS):
                u = torch.randn(shape, dtype=torch.float64, generator=self.generator).to(loss.device)
                u /= torch.linalg.vector_norm(u)
                slope = _slope(
                    lambda shift: self._moved(name, shift, constants), u, epsilon, float((gradient * u).sum())
                )
                yield slope
                if slope.error <= GOOD:
                    return


def to_double(module: nn.Module) -> nn.Module:
    """Turn a module to float64, with the tensors and modules that it keeps as plain attributes or in plain lists.

    Args:
        module: Changed in place.

    Example:
        >>> net = nn.Linear(1, 1)
        >>> net.hidden = [nn.Linear(1, 1)]
        >>> to_double(net).hidden[0].weight.dtype
        torch.float64
    """
    module.double()
    for part in list(module.modules()):
        for key, value in list(vars(part).items()):
            if key in ("_parameters", "_buffers", "_modules", "_trainer") or not _holds(value):
                continue
            part.__dict__[key] = tree_map(_double, value)
    return module


def _holds(value: Any) -> bool:
    """Return whether an attribute is, or is a container of, tensors or modules of its own."""
    return isinstance(value, Tensor | nn.Module | list | tuple | dict) and any(
        isinstance(leaf, Tensor | nn.Module) for leaf in tree_leaves(value)
    )


def _double(value: Any) -> Any:
    if isinstance(value, nn.Parameter):
        value.data = value.data.double() if value.is_floating_point() else value.data
        return value
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    return value.double() if isinstance(value, nn.Module) else value


def _slope(loss: Callable[[Tensor], float], u: Tensor, epsilon: float, autograd: float) -> Slope:
    above, below = loss(epsilon * u), loss(-epsilon * u)
    measured = (above - below) / (2 * epsilon)
    resolution = ROUNDING * max(abs(above), abs(below)) / epsilon / RESOLVED
    scale = max(abs(measured), abs(autograd), resolution)
    return Slope(measured, autograd, abs(measured - autograd) / scale if scale else 0.0)


def _cause(name: str, slope: Slope, none: bool) -> str:
    layer = name.rpartition(".")[0] or "it"
    changes = f"the loss changes by {slope.measured:.2e} per unit of {name}"
    if none or slope.autograd == 0.0:
        return (
            f"detached graph: {changes}, but no gradient reaches it: .detach(), .data, .item() or no_grad "
            f"between {layer} and the loss"
        )
    wrong = "a custom backward is wrong, or a part of the graph is detached (.detach(), .data or no_grad)"
    return f"wrong gradient: {changes} in a random direction, autograd says {slope.autograd:.2e}: {wrong}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def _default_double() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class _Casts(TorchFunctionMode):
    """Note casts of what carries a gradient to less than float64: a finite difference cannot see through them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(output):
            if (
                isinstance(leaf, Tensor)
                and leaf.is_floating_point()
                and leaf.dtype != torch.float64
                and leaf.requires_grad
            ):
                self.found.append(str(leaf.dtype).removeprefix("torch."))
        return output
