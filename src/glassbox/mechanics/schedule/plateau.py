"""Reduce on plateau: the learning rate falls when a metric has not improved for some time."""

import math
from typing import NamedTuple

from torch import Tensor

from glassbox.mechanics.number import Number, where


class State(NamedTuple):
    """What the schedule remembers; each a number, or a tensor with one number per model.

    Attributes:
        lr: η, the learning rate.
        best: m*, the best metric so far.
        num_bad_epochs: n, epochs since then, or since the last fall.
        cooldown_counter: Epochs to wait until bad ones count again.

    Example:
        >>> initial(0.1)
        State(lr=0.1, best=inf, num_bad_epochs=0, cooldown_counter=0)
    """

    lr: Number
    best: Number
    num_bad_epochs: Number
    cooldown_counter: Number


def initial(lr: Number, mode: str = "min") -> State:
    """Return the state before the first metric: any is better than none.

    Args:
        lr: The optimizer's own rate.
        mode: `min` if a smaller metric is better, `max` if a larger one is.

    Returns:
        The state.

    Example:
        >>> initial(0.1, mode="max").best
        -inf
    """
    return State(lr, math.inf if mode == "min" else -math.inf, 0, 0)


def update(
    metric: Number,
    state: State,
    *,
    mode: str = "min",
    factor: Number = 0.1,
    patience: Number = 10,
    threshold: Number = 1e-4,
    threshold_mode: str = "rel",
    cooldown: Number = 0,
    min_lr: Number = 0.0,
    eps: Number = 1e-8,
) -> State:
    r"""Return the state after one more epoch, as torch's `ReduceLROnPlateau` does.

    A metric m is better than the best m* so far if

    .. math::
        m < m^* (1 - θ)   (rel),   m < m^* - θ   (abs);   for mode max: m > m^* (1 + θ),   m > m^* + θ

    Then m becomes m* and n = 0, else n grows by one. When n exceeds the patience P,

    .. math::
        η ← \max(φ η, η_{min}),   n ← 0

    Every number may be a tensor with one number per model; they broadcast against each other.

    Args:
        metric: m; a tensor should be as precise as it is meant, float64 for torch's own comparison.
        state: η, m*, n and the cooldown.
        mode: `min` if a smaller metric is better, `max` if a larger one is.
        factor: φ < 1.
        patience: P, bad epochs that are borne.
        threshold: θ.
        threshold_mode: `rel` or `abs`.
        cooldown: Epochs after a fall in which bad ones do not count.
        min_lr: η_min.
        eps: A fall by less than this is not made.

    Returns:
        The new state.

    Note:
        A metric that is NaN is never better.

    Example:
        >>> state = initial(1.0)
        >>> for metric in (0.5, 0.4, 0.4, 0.4):
        ...     state = update(metric, state, factor=0.5, patience=1)
        >>> state
        State(lr=0.5, best=0.4, num_bad_epochs=0, cooldown_counter=0)
    """
    better = _better(metric, state.best, mode, threshold, threshold_mode)
    best = where(better, metric, state.best)
    bad = where(better, 0, state.num_bad_epochs + 1)  # n
    resting = state.cooldown_counter > 0
    bad = where(resting, 0, bad)
    counter = where(resting, state.cooldown_counter - 1, state.cooldown_counter)
    falls = bad > patience
    lower = state.lr * factor
    lower = where(lower > min_lr, lower, min_lr)  # max(φ η, η_min)
    lr = where(falls & (state.lr - lower > eps), lower, state.lr)
    return State(lr, best, where(falls, 0, bad), where(falls, cooldown, counter))


def _better(metric: Number, best: Number, mode: str, threshold: Number, threshold_mode: str) -> bool | Tensor:
    """Tell whether a metric is better than the best so far, by more than the threshold."""
    if mode == "min":
        return metric < (best * (1.0 - threshold) if threshold_mode == "rel" else best - threshold)
    return metric > (best * (threshold + 1.0) if threshold_mode == "rel" else best + threshold)
