"""Forward and backward of a recorded step once more, on a copy of its module; the step stays as it is."""

import io
import warnings
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from glassbox.replay.check import Check, Grade
from glassbox.replay.compare import dense
from glassbox.replay.rng import preserved, restore
from glassbox.replay.step import Named, Step
from glassbox.replay.trace import fresh, loss_of

NO_LOSS = "training_step returned no loss that depends on a parameter"


@dataclass(frozen=True)
class Passes:
    """Forward and backward of one batch on a copy of the module: twice without clearing, then once after zero_grad.

    Attributes:
        losses: The loss of each pass.
        once: Parameter name → `p.grad` after the first pass.
        twice: Parameter name → `p.grad` after the second.
        left: How many tensors still had a `p.grad` that was not None after zero_grad.
        again: Parameter name → `p.grad` after the third.
        moved: How many numbers of the parameters changed during the three backwards.
        meddled: Whether `training_step` itself changed a `p.grad` before the second backward.
    """

    losses: tuple[float, float, float]
    once: Named
    twice: Named
    left: int
    again: Named
    moved: int
    meddled: bool

    @property
    def doubled(self) -> Check:
        """Whether the gradient that was not cleared is exactly two times that of one pass."""
        return self._same(self.twice, 2, "the second backward did not add the same gradient to p.grad")

    @property
    def cleared(self) -> Check:
        """Whether zero_grad left None everywhere, so that the next gradient is that of one pass."""
        if self.left:
            return Check(Grade.DISAGREES, f"{self.left} tensors still have a gradient after zero_grad")
        return self._same(self.again, 1, "the backward after zero_grad gives another gradient")

    @property
    def still(self) -> Check:
        """Whether backward left every parameter as it was."""
        return Check(Grade.DISAGREES, "a parameter moved during backward()") if self.moved else Check(Grade.EXACT)

    def _same(self, gradients: Named, factor: int, reason: str) -> Check:
        if not all(bool(torch.isfinite(gradient).all()) for gradient in self.once.values()):
            return Check(Grade.NOT_CHECKED, "a gradient is NaN or infinite")
        if len(set(self.losses)) > 1:
            return Check(Grade.NOT_CHECKED, "the same batch from the same state does not give the same loss again")
        if self.meddled and gradients is self.twice:
            return Check(Grade.NOT_CHECKED, "training_step itself changes p.grad")
        pairs = [(gradients[name], factor * gradient) for name, gradient in self.once.items()]
        if all(torch.equal(*pair) for pair in pairs):
            return Check(Grade.EXACT)
        return Check(Grade.DISAGREES, reason, max(float((got - wanted).abs().max()) for got, wanted in pairs))


def passes(step: Step) -> Passes | None:
    """Run a step's forward and backward again on a copy, each time from the same state; see `Passes`.

    Args:
        step: The recorded step; it and the global generators are left as they are.

    Returns:
        What they gave; None if there is no loss to go back from, or no parameter that it reaches.
    """
    module = step.module if step.refused else fresh(step)[0]
    parameters = dict(module.named_parameters())
    if step.refused or not parameters:
        return None
    start = [(tensor, tensor.detach().clone()) for tensor in [*parameters.values(), *module.buffers()]]
    losses: list[float] = []
    gradients: list[Named] = []
    left, moved, meddled = 0, 0, False
    for position in range(3):
        with torch.no_grad():
            for tensor, value in start:
                tensor.copy_(value)
        if position != 1:
            torch.optim.SGD(parameters.values(), lr=1.0).zero_grad()
            left += sum(p.grad is not None for p in parameters.values())
        loss = forward(step, module, fresh(step)[1])
        if loss is None or not loss.requires_grad:
            return None
        if position == 1:
            kept = {name: dense(p.grad) for name, p in parameters.items() if p.grad is not None}
            meddled = not all(name in kept and torch.equal(kept[name], g) for name, g in gradients[0].items())
        before = {name: p.detach().clone() for name, p in parameters.items()}
        with warnings.catch_warnings(), preserved():
            warnings.simplefilter("ignore")
            loss.backward()  # type: ignore[no-untyped-call]
        moved += sum(int((p.detach() != before[name]).sum()) for name, p in parameters.items())
        losses.append(loss.item())
        gradients.append({name: dense(p.grad).clone() for name, p in parameters.items() if p.grad is not None})
    once, twice, again = gradients
    return Passes((losses[0], losses[1], losses[2]), once, twice, left, again, moved, meddled) if once else None


def forward(step: Step, module: nn.Module, arguments: tuple[Any, ...]) -> Tensor | None:
    """Return the loss that `training_step` makes, from the generators and in the context of the step.

    Unlike `glassbox.replay.trace.call_training_step` it records operations only where the caller does.

    Args:
        step: The recorded step.
        module: A copy of its module.
        arguments: Copies of the arguments.

    Returns:
        The loss; None if it returned none.
    """
    with preserved(), step.context(), warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        restore(step.rng)
        return loss_of(module.training_step(*arguments))  # type: ignore[operator]


def live_loss(step: Step) -> Tensor | None:
    """Return the loss of a step with its graph, from a copy of the module.

    Args:
        step: The recorded step; it and the global generators are left as they are.
    """
    return None if step.refused else forward(step, *fresh(step))
