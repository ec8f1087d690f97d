"""Which single hyper-parameter, had it been another one, explains an update that is not what it should be?"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from glassbox.replay.compare import difference, is_rounding, same

Run = Callable[["Member", Mapping[str, Any]], tuple[Tensor, dict[str, Any]]]
EXPLAINED = 1e-3  # what a fit may leave of the difference that it is to explain
ROUNDINGS = 4
ROUNDS = 30  # of Newton's method
DIGITS = range(1, 8)


@dataclass(frozen=True)
class Member:
    """One parameter at an update.

    Attributes:
        before: The parameter before the update.
        grad: The gradient that the update was given.
        state: The optimizer's state before, as the hand rule has it.
        after: The parameter after the update.
        state_after: The optimizer's state after, as torch has it.

    Example:
        >>> one = torch.ones(1)
        >>> Member(one, one, (), one, {}).agrees(one, {})
        True
    """

    before: Tensor
    grad: Tensor
    state: Any
    after: Tensor
    state_after: Mapping[str, Any]

    def pairs(self, param: Tensor, state: Mapping[str, Any]) -> list[tuple[Tensor, Tensor]]:
        """Return (by hand, as it happened) of the state's tensors, then of the parameter.

        Args:
            param: The parameter by hand.
            state: The state by hand.
        """
        after = {key: value for key, value in self.state_after.items() if key != "step" and isinstance(value, Tensor)}
        ours = ((state.get(key), value) for key, value in after.items())
        return [(torch.zeros_like(b) if a is None else a, b) for a, b in ours] + [(param, self.after)]

    def agrees(self, param: Tensor, state: Mapping[str, Any]) -> bool:
        """Return whether parameter and state are the same bits.

        Args:
            param: The parameter by hand.
            state: The state by hand.
        """
        return all(same(ours, theirs) for ours, theirs in self.pairs(param, state))

    def nearly(self, param: Tensor, state: Mapping[str, Any]) -> bool:
        """Return whether only the rounding differs.

        Args:
            param: The parameter by hand.
            state: The state by hand.
        """
        return all(same(a, b) or is_rounding(a, b, ROUNDINGS) for a, b in self.pairs(param, state))

    def wide(self) -> "Member":
        """Return the same in float64."""
        state = tree_map(lambda value: value.double() if isinstance(value, Tensor) else value, self.state)
        return replace(self, before=self.before.double(), grad=self.grad.double(), state=state)


def cause(members: Sequence[Member], run: Run, options: Mapping[str, Any]) -> str:
    """Name the hyper-parameter that explains the updates of all parameters of a group.

    Each is tried alone: switches by turning them, numbers by a fit (Newton's method) to the recorded values. A fit
    counts where it leaves a thousandth of the difference at most; a fit of all numbers of all parameters by one
    number does not succeed by chance.

    Args:
        members: The parameters whose update disagrees.
        run: The update by hand; its second argument has hyper-parameters other than the optimizer's.
        options: The optimizer's hyper-parameters.

    Returns:
        A sentence; empty if none explains it.

    Example:
        >>> def descend(member, other):
        ...     return member.before - {"lr": 0.1, **other}["lr"] * member.grad, {}
        >>> one = torch.ones(2, dtype=torch.float64)
        >>> cause([Member(one, one, (), one - 0.3, {})], descend, {"lr": 0.1})
        'the update fits lr=0.3, the optimizer says 0.1'
    """
    asked = [pair for member in members for pair in member.pairs(*run(member, {}))]
    if all(member.nearly(*run(member, {})) for member in members):
        return ""
    for name, turned in _switches(options):
        if _explains(members, run, {name: turned}, asked):
            return f"the update fits {name}={turned}, the optimizer says {not turned}"
    for name, value, make in _numbers(options):
        fitted = _fit(members, run, make, value)
        if fitted is None or not _explains(members, run, make(fitted), asked):
            continue
        short = [0.0, *(float(f"{fitted:.{digits}g}") for digits in DIGITS)]
        exact = (h for h in short if all(member.agrees(*run(member, make(h))) for member in members))
        close = (h for h in short if _explains(members, run, make(h), asked))
        return f"the update fits {name}={next(exact, next(close, fitted)):g}, the optimizer says {value:g}"
    return ""


def _switches(options: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    for name, value in options.items():
        if isinstance(value, bool):
            yield name, not value


def _numbers(options: Mapping[str, Any]) -> Iterator[tuple[str, float, Callable[[float], dict[str, Any]]]]:
    """Yield name, value and what a new value is called in `update`; a pair of betas is two numbers."""
    if "betas" in options:
        one, two = options["betas"]
        yield "beta1", one, lambda beta: {"betas": (beta, two)}
        yield "beta2", two, lambda beta: {"betas": (one, beta)}
    for name, value in options.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value), lambda number, name=name: {name: number}  # type: ignore[misc]


def _explains(
    members: Sequence[Member], run: Run, other: Mapping[str, Any], asked: Sequence[tuple[Tensor, Tensor]]
) -> bool:
    """Return whether hyper-parameters leave next to nothing of the differences."""
    given = [pair for member in members for pair in member.pairs(*run(member, other))]
    for (ours, theirs), (first, _) in zip(given, asked, strict=True):
        rounding = ROUNDINGS * torch.finfo(theirs.dtype).eps * float(theirs.abs().max()) if theirs.numel() else 0.0
        if not difference(ours, theirs) <= EXPLAINED * difference(first, theirs) + rounding:
            return False
    return True


def _fit(members: Sequence[Member], run: Run, make: Callable[[float], dict[str, Any]], start: float) -> float | None:
    """Return the number that fits best, by least squares in float64; None if it does not matter or leaves its range."""
    wide = [member.wide() for member in members]

    def residual(number: float) -> Tensor:
        pairs = [pair for member in wide for pair in member.pairs(*run(member, make(number)))]
        scales = [max(float(theirs.double().abs().max()), 1e-300) for _, theirs in pairs]
        rows = [((a.double() - b.double()) / s).flatten() for (a, b), s in zip(pairs, scales, strict=True)]
        return torch.cat(rows)

    number = start
    for _ in range(ROUNDS):
        try:
            left = residual(number)
            small = 1e-7 * max(abs(number), 1e-3)
            slope = (residual(number - small) - left) / -small
        except (ValueError, ZeroDivisionError, OverflowError, TypeError):
            return None
        size = float(slope @ slope)
        if not 0.0 < size < float("inf"):
            return None
        change = float(slope @ left) / size
        number -= change
        if abs(change) <= 1e-12 * abs(number):
            break
    return number
