"""The staircase: the learning rate falls by a factor at regular steps."""

from glassbox.mechanics.number import Number, where


def update(step: int, lr: Number, *, base_lr: Number, step_size: Number, gamma: Number = 0.1) -> Number:
    r"""Return the learning rate at a step, from the one before, as torch's `StepLR` does.

    .. math::
        η_t = η γ^{⌊t / S⌋};   step by step: η_t = γ η_{t-1} if t is a multiple of S, else η_{t-1}

    Every number but the step may be a tensor with one number per model; they broadcast against each other.

    Args:
        step: t ≥ 0, in the units in which the schedule is stepped: epochs, or optimizer steps.
        lr: η_{t-1}, the rate before; at t = 0 any number.
        base_lr: η, the optimizer's own rate.
        step_size: S, steps between two falls.
        gamma: γ, the factor.

    Returns:
        η_t.

    Example:
        >>> rates = [update(0, 0.0, base_lr=1.0, step_size=2, gamma=0.5)]
        >>> for step in range(1, 5):
        ...     rates.append(update(step, rates[-1], base_lr=1.0, step_size=2, gamma=0.5))
        >>> rates
        [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    if step == 0:
        return base_lr
    return where(step % step_size == 0, lr * gamma, lr)
