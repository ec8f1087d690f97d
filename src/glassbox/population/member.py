"""A member of a population, what all of them share, and what becomes of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map


@dataclass(frozen=True)
class Member:
    """What one member has of its own.

    Attributes:
        seed: Seed of the order of its samples.
        weights: Parameter name → initial value.
        optimizer: The arguments of the optimizer.
        scheduler: The arguments of the scheduler, but for interval and monitor.
        clip: The largest norm or value of its gradient; None does not clip, and then no member does.

    Example:
        >>> Member(0, {}, {"lr": 0.1}).optimizer["lr"]
        0.1
    """

    seed: int
    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    clip: float | None = None


@dataclass(frozen=True)
class Cohort:
    """What all members share.

    Attributes:
        net: The net; its own weights are not used.
        loss: The loss; (output, target) → scalar.
        task: `binary`, `multiclass` or `regression`; chooses the metrics.
        optimizer: The class of torch.
        max_epochs: Epochs of a member that is not stopped.
        batch_size: Rows B of a batch.
        scheduler: The class or function that makes the scheduler; None keeps the learning rate.
        interval: Whether the scheduler steps per `epoch` or per `step`.
        scheduler_monitor: The metric that ReduceLROnPlateau looks at.
        monitor: The metric of the best checkpoint; None keeps none.
        mode: Whether a `min` or `max` of it is best.
        stopping: Arguments of EarlyStopping; None does not stop.
        clip_algorithm: `norm` or `value`.
        target_scale: One unit of a standardised target in the target's own units.
        trainer: Arguments of the Trainer that say where it runs and how precisely.
    """

    net: nn.Module
    loss: nn.Module
    task: str
    optimizer: type[torch.optim.Optimizer]
    max_epochs: int
    batch_size: int
    scheduler: Callable[..., Any] | None = None
    interval: str = "epoch"
    scheduler_monitor: str = "val/loss"
    monitor: str | None = "val/loss"
    mode: str = "min"
    stopping: Mapping[str, Any] | None = None
    clip_algorithm: str = "norm"
    target_scale: float = 1.0
    trainer: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """A member at the end of an epoch.

    Attributes:
        epoch: The epoch, from 0.
        weights: Parameter name → value.
        state: Optimizer's name of a tensor → parameter name → value.
        steps: Updates made, where the optimizer counts them; else 0.
        lr: The learning rate that the optimizer then has.
    """

    epoch: int
    weights: dict[str, Tensor]
    state: dict[str, dict[str, Tensor]]
    steps: int
    lr: float

    def __getstate__(self) -> dict[str, Any]:
        """Travel to another process as arrays: torch would send each of thousands of small tensors by itself."""
        arrays: dict[str, Any] = tree_map(Tensor.numpy, {"weights": self.weights, "state": self.state})
        return vars(self) | arrays

    def __setstate__(self, state: dict[str, Any]) -> None:
        tensors = tree_map(torch.from_numpy, {key: state[key] for key in ("weights", "state")})
        vars(self).update(state | tensors)


@dataclass(frozen=True)
class Trained:
    """What became of a member.

    Attributes:
        rows: Epoch → row of its curves, as a run alone writes it.
        status: `finished` or `diverged`.
        reason: Why it diverged; else None.
        best: The member at its best epoch; None if none was kept.
        last: The member at the end of its last epoch.
        test: Test metrics of the best, else of the last; empty if it diverged.
        logits: Outputs of the same on the grid of the boundary [2500, C]; None if there is none to draw.
    """

    rows: dict[int, dict[str, float]]
    status: str
    reason: str | None
    best: Snapshot | None
    last: Snapshot
    test: dict[str, float]
    logits: Tensor | None

    def __getstate__(self) -> dict[str, Any]:
        """Travel to another process as arrays."""
        return vars(self) | {"logits": None if self.logits is None else self.logits.numpy()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        logits = state["logits"]
        vars(self).update(state | {"logits": None if logits is None else torch.from_numpy(logits)})


def varied(members: Sequence[Member]) -> tuple[str, ...]:
    """Return the hyper-parameters in which members differ; those of the scheduler have its name in front.

    Args:
        members: All members of a cohort, whichever chunk they go to.

    Example:
        >>> varied([Member(0, {}, {"lr": lr, "eps": 1e-8}, {"gamma": lr}) for lr in (0.1, 0.2)])
        ('lr', 'scheduler.gamma')
    """
    named = [
        {**m.optimizer, **{f"scheduler.{key}": value for key, value in m.scheduler.items()}, "clip": m.clip}
        for m in members
    ]
    return tuple(key for key in named[0] if any(other.get(key) != named[0][key] for other in named))
