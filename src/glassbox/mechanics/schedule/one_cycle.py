"""One cycle: the learning rate rises to its peak and falls far below its start; momentum does the opposite."""

import math
from typing import NamedTuple

from torch import Tensor

from glassbox.mechanics.number import Number, cos, double, where


class Values(NamedTuple):
    """What the schedule sets.

    Attributes:
        lr: η, the learning rate.
        momentum: μ, SGD's momentum or Adam's β₁.

    Example:
        >>> Values(lr=0.1, momentum=0.9).lr
        0.1
    """

    lr: Number
    momentum: Number


def values(
    step: int,
    *,
    max_lr: Number,
    total_steps: Number,
    pct_start: Number = 0.3,
    anneal_strategy: str = "cos",
    base_momentum: Number = 0.85,
    max_momentum: Number = 0.95,
    div_factor: Number = 25.0,
    final_div_factor: Number = 1e4,
    three_phase: bool = False,
) -> Values:
    r"""Return learning rate and momentum at a step, as torch's `OneCycleLR` does.

    With the share p ∈ [0, 1] of the phase that has passed, a value that goes from a to b in it is

    .. math::
        b + (a - b) (1 + \cos(π p)) / 2   (cos),   a + (b - a) p   (linear)

    and the rate goes, with P = `pct_start` and T = `total_steps`,

    .. math::
        η/d → η   until t = P T - 1,   then   η → η/(d f)   until t = T - 1

    while momentum goes from its largest to its least value and back. In three phases the fall to η/d takes as long as
    the rise, and only then the rate goes on to η/(d f).

    Every number but the step may be a tensor with one number per model; they broadcast against each other.

    Args:
        step: t, from 0 to T - 1, in optimizer steps; past the end of a model the formula goes on, where torch raises.
        max_lr: η, the peak.
        total_steps: T.
        pct_start: P, the share of the steps that rise; P T = 1 would leave the rise no step, and divides by zero.
        anneal_strategy: `cos` or `linear`.
        base_momentum: The least momentum, at the peak of η.
        max_momentum: The largest momentum.
        div_factor: d.
        final_div_factor: f.
        three_phase: Whether there are three phases.

    Returns:
        η_t and μ_t.

    References:
        Smith and Topin, Super-convergence: very fast training of neural networks using large learning rates, 2018.

    Note:
        The paper's cycle is linear and has three phases.

    Example:
        >>> for step in range(4):
        ...     lr, momentum = values(step, max_lr=1.0, total_steps=4, pct_start=0.5, anneal_strategy="linear")
        ...     print(round(lr, 4), round(momentum, 4))
        0.04 0.95
        1.0 0.85
        0.5 0.9
        0.0 0.95
    """
    P, T = double(pct_start, total_steps)
    top, d, f = double(max_lr, div_factor, final_div_factor)
    low, high = base_momentum, max_momentum
    peak, back, last = (P * T - 1, top, low), (2 * P * T - 2, top / d, high), (T - 1, top / d / f, high)
    origin: tuple[Number, ...] = (0, top / d, high)  # where a phase begins: its step, rate and momentum
    goal: tuple[Number, ...] = peak  # where it ends
    for end in (back, last) if three_phase else (last,):
        passed = step > goal[0]
        origin, goal = _choose(passed, goal, origin), _choose(passed, end, goal)
    share = (step - origin[0]) / (goal[0] - origin[0])
    return Values(*(_between(a, b, share, anneal_strategy) for a, b in zip(origin[1:], goal[1:], strict=True)))


def _choose(condition: bool | Tensor, end: tuple[Number, ...], other: tuple[Number, ...]) -> tuple[Number, ...]:
    """Return an end where the condition holds, and the other elsewhere."""
    return tuple(where(condition, a, b) for a, b in zip(end, other, strict=True))


def _between(a: Number, b: Number, share: Number, strategy: str) -> Number:
    """Return the value that lies a share of the way from a to b."""
    if strategy == "linear":
        return (b - a) * share + a
    return b + (a - b) / 2.0 * (cos(math.pi * share) + 1)
