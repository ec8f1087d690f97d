"""Warm-up, then cosine annealing: the learning rate rises linearly, then falls along half a cosine to zero."""

from glassbox.mechanics.number import Number, double, where
from glassbox.mechanics.schedule import cosine


def update(
    step: int, lr: Number, *, base_lr: Number, warmup_epochs: Number, max_epochs: Number, start_factor: Number = 0.1
) -> Number:
    r"""Return the learning rate at a step, from the one before, as torch's `LinearLR` and `CosineAnnealingLR` in a row.

    .. math::
        η_t = η (f + (1 - f) t / W)  (t < W),   η_t = η (1 + \cos(π (t - W) / (T - W))) / 2  (t ≥ W);
        step by step, t < W: η_t = η_{t-1} (1 + \frac{1 - f}{W f + (t - 1) (1 - f)})

    Every number but the step may be a tensor with one number per model; they broadcast against each other.

    Args:
        step: t ≥ 0, in the units in which the schedule is stepped: epochs, or optimizer steps.
        lr: η_{t-1}, the rate before; at t = 0 any number.
        base_lr: η, the peak.
        warmup_epochs: W, steps of warm-up, 1 ≤ W < T.
        max_epochs: T, steps in all.
        start_factor: 0 < f ≤ 1, the share of η to begin with.

    Returns:
        η_t.

    References:
        Cosine: Loshchilov and Hutter, SGDR, 2017. Linear warm-up: Goyal et al., Accurate, Large Minibatch SGD, 2017.

    Example:
        >>> rates = [update(0, 0.0, base_lr=1.0, warmup_epochs=2, max_epochs=6, start_factor=0.5)]
        >>> for step in range(1, 6):
        ...     rates.append(update(step, rates[-1], base_lr=1.0, warmup_epochs=2, max_epochs=6, start_factor=0.5))
        >>> [round(lr, 4) for lr in rates]
        [0.5, 0.75, 1.0, 0.8536, 0.5, 0.1464]
    """
    if step == 0:
        return base_lr * start_factor
    t, W, f = double(step, warmup_epochs, start_factor)
    rising = lr * (1.0 + (1.0 - f) / (W * f + (t - 1) * (1.0 - f)))
    falling = cosine.update(t - W, lr, base_lr=base_lr, T_max=max_epochs - W)
    return where(t < W, rising, falling)
