"""The optimizer steps of all members: batch, gradient, clipping, update."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from glassbox.mechanics.fused import like
from glassbox.mechanics.number import Number
from glassbox.population.net import Batch, Net

BLOCK = 4  # steps of one compiled call, which takes as long to begin as half a step of 512 members
EPS = 1e-6  # torch's, in clip_grad_norm_


class Stepped(NamedTuple):
    """What some steps make.

    Attributes:
        theta: The parameters after them [P, K].
        state: The optimizer's state after them.
        outputs: Outputs of each batch before its step [B, C, K].
        losses: Mean losses of each batch [K].
        norms: Of the last step, where they are measured: the norms of the gradient before clipping, of the parameters
            before the step, and of their change, [3, K]; else None.
    """

    theta: Tensor
    state: Any
    outputs: list[Tensor]
    losses: list[Tensor]
    norms: Tensor | None


class Steps:
    """The steps of a net under an optimizer, the same for all chunks of a cohort.

    Args:
        net: The net.
        rule: The optimizer's file in `glassbox.mechanics`.
        clip_algorithm: `norm` or `value`.
        compiled: Whether they go through torch.compile, `BLOCK` at a time.
    """

    def __init__(self, net: Net, rule: Any, clip_algorithm: str = "norm", compiled: bool = False) -> None:
        def block(
            theta: Tensor,
            state: Any,
            batches: Sequence[Batch],
            rates: Sequence[Number],
            options: Mapping[str, Any],
            clip: Number | None,
            measured: bool,
        ) -> tuple[list[Tensor], Any, list[Tensor], list[Tensor], Tensor | None]:
            thetas, outputs, losses = [theta], [], []
            for batch, lr in zip(batches, rates, strict=True):
                output, loss, grad = net.gradient(thetas[-1], batch)
                given = grad if clip is None else clipped(grad, clip, clip_algorithm)
                after, state = rule.update(thetas[-1], given, state, lr=lr, **options)
                thetas.append(after)  # what is returned is computed once, not wherever the next step uses it
                outputs.append(output)
                losses.append(loss)
            before, after = thetas[-2:]
            norms = torch.stack([norm(grad), norm(before), norm(after - before)]) if measured else None
            return thetas[1:], state, outputs, losses, norms

        self.net = net
        self._compiled = compiled
        self._block = compiled_apart(block) if compiled else block

    def __call__(
        self,
        theta: Tensor,
        state: Any,
        data: Batch,
        order: Tensor,
        rates: Sequence[Number],
        size: int,
        *,
        options: Mapping[str, Any],
        clip: Number | None = None,
    ) -> Stepped:
        """Make the steps of an epoch.

        Args:
            theta: Parameters [P, K].
            state: The optimizer's state.
            data: Features [N, D] and targets [N] or [N, 1].
            order: Rows in the order of each member [N, K].
            rates: The learning rate of each of T steps, a number or a tensor [K].
            size: Rows B of a batch.
            options: The other hyper-parameters.
            clip: The largest norm or value of a gradient, a number or a tensor [K]; None does not clip.
        """
        if self._compiled:  # what differs from step to step is a tensor, or each would be compiled anew
            rates = torch.stack([torch.as_tensor(lr, dtype=torch.float64) for lr in rates]).to(theta.device).unbind()
            if isinstance(getattr(state, "step", None), int):
                state = state._replace(step=torch.tensor(float(state.step), dtype=torch.float64, device=theta.device))
        outputs: list[Tensor] = []
        losses: list[Tensor] = []
        norms = None
        for start in range(0, len(rates), BLOCK):
            # Gathered before it is compiled: there, each use of a row would gather it anew.
            batches = self.net.batches(*data, order[start * size : (start + BLOCK) * size], size)
            last = start + BLOCK >= len(rates)
            thetas, state, *made, norms = self._block(
                theta, state, batches, rates[start : start + BLOCK], options, clip, last
            )
            theta = thetas[-1]
            outputs += made[0]
            losses += made[1]
        return Stepped(theta, state, outputs, losses, norms)


def compiled_apart(function: Any) -> Any:
    """Compile a function of one program: torch keeps eight forms with a code, and fails at more or at unlike ones.

    Args:
        function: The function; it gets a code that no other program has.
    """
    function.__code__ = function.__code__.replace()
    return torch.compile(function, fullgraph=True, dynamic=False)


def norm(x: Tensor) -> Tensor:
    """Return the length of each member's vector [K], of a tensor [P, K]."""
    length: Tensor = torch.linalg.vector_norm(x, dim=0)
    return length


def clipped(grad: Tensor, limit: Number, algorithm: str) -> Tensor:
    """Return each member's gradient, clipped as torch does it.

    Args:
        grad: Gradients [P, K].
        limit: The largest norm or value, a number or a tensor [K].
        algorithm: `norm` or `value`.

    Example:
        >>> grad = torch.tensor([[3.0, 0.3], [4.0, 0.4]])
        >>> clipped(grad, torch.tensor([0.5, 1.0]), "value")
        tensor([[0.5000, 0.3000],
                [0.5000, 0.4000]])
    """
    limit = like(grad, limit)
    if algorithm == "value":
        return grad.minimum(limit).maximum(-limit) if isinstance(limit, Tensor) else grad.clamp(-limit, limit)
    return grad * torch.clamp(limit / (norm(grad) + EPS), max=1.0)
