"""Cosine annealing: the learning rate falls along half a cosine, slowly at both ends."""

import math

from glassbox.mechanics.number import Number, cos, double, where


def update(step: Number, lr: Number, *, base_lr: Number, T_max: Number, eta_min: Number = 0.0) -> Number:
    r"""Return the learning rate at a step, from the one before, as torch's `CosineAnnealingLR` does.

    .. math::
        η_t = η_{min} + (η - η_{min}) \frac{c_t}{2},   c_t = 1 + \cos(π t / T);
        step by step: η_t = η_{min} + \frac{c_t}{c_{t-1}} (η_{t-1} - η_{min})

    Every number, here even the step, may be a tensor with one number per model; they broadcast against each other.

    Args:
        step: t ≥ 0, in the units in which the schedule is stepped: epochs, or optimizer steps.
        lr: η_{t-1}, the rate before; at t = 0 any number.
        base_lr: η, the optimizer's own rate.
        T_max: T, steps from η down to its least; after it the rate rises again.
        eta_min: η_min, the least rate.

    Returns:
        η_t.

    References:
        Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts, 2017, without the restarts.

    Note:
        Where c_{t-1} = 0, at t = T + 1, torch adds the first rise: η_t = η_{t-1} + (η - η_min) (1 - cos(π / T)) / 2.

    Example:
        >>> rates = [update(0, 0.0, base_lr=1.0, T_max=4)]
        >>> for step in range(1, 5):
        ...     rates.append(update(step, rates[-1], base_lr=1.0, T_max=4))
        >>> [round(lr, 4) for lr in rates]
        [1.0, 0.8536, 0.5, 0.1464, 0.0]
    """
    t, T, pi = double(step, T_max, math.pi)
    now, before = 1 + cos(pi * t / T), 1 + cos(pi * (t - 1) / T)
    lowest = (t - 1 - T) % (2 * T) == 0  # c_{t-1} = 0
    rise = lr + (base_lr - eta_min) * (1 - cos(pi / T)) / 2
    lr = where(lowest, rise, now / where(lowest, 1.0, before) * (lr - eta_min) + eta_min)
    return where(t == 0, base_lr, lr)
