"""The constant schedule: the learning rate stays what it is."""

from glassbox.mechanics.number import Number


def update(step: int, lr: Number, *, base_lr: Number) -> Number:
    r"""Return the learning rate at a step.

    .. math::
        η_t = η

    Every number but the step may be a tensor with one number per model; they broadcast against each other.

    Args:
        step: t ≥ 0, in the units in which the schedule is stepped: epochs, or optimizer steps.
        lr: η_{t-1}, the rate before; not needed here.
        base_lr: η, the optimizer's own rate.

    Returns:
        η_t.

    Example:
        >>> update(7, 0.1, base_lr=0.1)
        0.1
    """
    return base_lr
