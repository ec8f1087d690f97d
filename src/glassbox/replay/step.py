"""One training batch as it really happened: what was there before, what the framework made of it, in which order."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

Named = dict[str, Tensor]  # parameter name → tensor


@dataclass
class Step:
    """One training batch of a run, recorded from outside; tensors are copies, so nothing that follows changes them.

    Attributes:
        number: Optimizer steps made before this batch.
        batch_idx: The batch's number in its epoch.
        module: A deep copy of the module as it was at the start of the batch, in the mode (train or eval) it was in.
        batch: A copy of the batch.
        rng: The state of all generators at the start of the batch.
        context: Makes the context in which the framework runs `training_step`, such as autocast.
        optimizer: The optimizer's class.
        groups: For each parameter group the names of its parameters and its hyper-parameters at the start of the batch.
        state: Parameter name → the optimizer's state for it at the start of the batch (copies).
        stale: Parameter name → `p.grad` at the start of the batch, where it was not None.
        accumulate: Batches whose gradients are added up before an update.
        clip: (`norm` or `value`, limit); None without clipping.
        loss: What `training_step` returned, before it is divided by `accumulate`; None if it returned none.
        before_update: Parameter name → the parameter after backward, before the update.
        gradients: Parameter name → `p.grad` after backward, before clipping; a parameter without gradient is absent.
        clipped: Parameter name → the gradient that the update was given.
        after: Parameter name → the parameter after the batch.
        stepped: Whether the optimizer made an update in this batch.
        events: What was called, in order, such as `optimizer.zero_grad()`.
        scaler: Whether gradients were scaled for float16.
        arguments: What `training_step` was called with, `batch` first; None: (batch, batch_idx).
        state_after: Parameter name → the optimizer's state for it after the update.
        overridden: Hooks of one step that the module has its own version of, such as `optimizer_step`.
        kept: Attributes of the module that hold a tensor with its graph; the copy has them without.
        refused: Why the step cannot be done again; `module` is then no copy, but the module itself.

    Example:
        A step by hand, of a module w x - y without a framework:

        >>> import torch
        >>> from contextlib import nullcontext
        >>> from glassbox.replay.rng import capture
        >>> class Line(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.w = nn.Parameter(torch.tensor(2.0))
        ...
        ...     def training_step(self, batch, batch_idx):
        ...         return (self.w * batch[0] - batch[1]) ** 2
        >>> step = Step(
        ...     number=0,
        ...     batch_idx=0,
        ...     module=Line(),
        ...     batch=(torch.tensor(3.0), torch.tensor(5.0)),
        ...     rng=capture(),
        ...     context=nullcontext,
        ...     optimizer=torch.optim.SGD,
        ...     groups=[{"params": ["w"], "lr": 0.1}],
        ...     state={},
        ...     stale={},
        ... )
        >>> step.stepped
        False
    """

    number: int
    batch_idx: int
    module: nn.Module
    batch: Any
    rng: dict[str, Any]
    context: Callable[[], AbstractContextManager[Any]]
    optimizer: type[Optimizer]
    groups: list[dict[str, Any]]
    state: dict[str, dict[str, Any]]
    stale: Named
    accumulate: int = 1
    clip: tuple[str, float] | None = None
    loss: Tensor | None = None
    before_update: Named = field(default_factory=dict)
    gradients: Named = field(default_factory=dict)
    clipped: Named = field(default_factory=dict)
    after: Named = field(default_factory=dict)
    stepped: bool = False
    events: list[str] = field(default_factory=list)
    scaler: bool = False
    arguments: tuple[Any, ...] | None = None
    state_after: dict[str, dict[str, Any]] = field(default_factory=dict)
    overridden: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    refused: str = ""
