"""The learning rates of all members, epoch by epoch, by the schedules of `glassbox.mechanics`."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau, StepLR

from glassbox.mechanics.number import Number
from glassbox.mechanics.schedule import constant, cosine, one_cycle, plateau, step
from glassbox.mechanics.schedule import warmup_cosine as warm_up
from glassbox.training.schedule import warmup_cosine


def _one_cycle(t: int, lr: Number, *, base_lr: Number, cycle_momentum: bool = False, **options: Any) -> Number:
    return one_cycle.values(t, **options).lr


# What makes a scheduler → its rate at a step, from the step and from the rate before.
RULES: dict[Any, Callable[..., Number]] = {
    None: constant.update,
    StepLR: step.update,
    CosineAnnealingLR: cosine.update,
    warmup_cosine: warm_up.update,
    OneCycleLR: _one_cycle,
}


class Schedule:
    """The learning rates of K members.

    Args:
        scheduler: The class or function that makes torch's scheduler; None keeps the rate.
        options: Its arguments, each a number or a tensor [K].
        lr: The optimizer's own rate, a number or a tensor [K].
        interval: Whether it steps per `epoch` or per `step`.
        steps: Optimizer steps T of an epoch.
        members: Their number K.

    Attributes:
        rate: The rate that the optimizers now have, a number or a tensor [K] on the CPU.

    Example:
        >>> schedule = Schedule(StepLR, {"step_size": 1, "gamma": 0.5}, 0.8, "epoch", steps=2, members=3)
        >>> schedule.epoch(), schedule.epoch()
        ([0.8, 0.8], [0.4, 0.4])
        >>> schedule.rate
        0.2
    """

    def __init__(
        self, scheduler: Any, options: Mapping[str, Any], lr: Number, interval: str, steps: int, members: int
    ) -> None:
        self._options = dict(options)
        self._per_step = interval == "step"
        self._steps = steps
        self._time = 0
        self._plateau: plateau.State | None = None
        if scheduler is ReduceLROnPlateau:
            rate = torch.zeros(members, dtype=torch.float64) + lr  # each member falls on its own
            self._plateau = plateau.initial(rate, self._options.get("mode", "min"))
            self.rate: Number = rate
        else:
            self._update, self._base_lr = RULES[scheduler], lr
            self.rate = self._update(0, lr, base_lr=lr, **self._options)

    def epoch(self) -> list[Number]:
        """Return the rate of each step of the next epoch; afterwards `rate` is that of its end."""
        if self._per_step:
            return [self._advance() for _ in range(self._steps)]
        return [self._advance()] * self._steps

    def observe(self, metric: Tensor) -> None:
        """Tell the metric that a plateau is judged by; other schedules do not listen.

        Args:
            metric: Its value [K], float64.
        """
        if self._plateau is not None:
            self._plateau = plateau.update(metric, self._plateau, **self._options)
            self.rate = self._plateau.lr

    def _advance(self) -> Number:
        """Return the rate as it is, and go on to the next."""
        rate = self.rate
        if self._plateau is None:
            self._time += 1
            self.rate = self._update(self._time, rate, base_lr=self._base_lr, **self._options)
        return rate
