"""One optimizer step of all members: batch, gradient, clipping, update."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from glassbox.mechanics.fused import like
from glassbox.mechanics.number import Number
from glassbox.population.net import Net

EPS = 1e-6  # torch's, in clip_grad_norm_


class Stepped(NamedTuple):
    """What a step makes.

    Attributes:
        theta: The parameters after it [P, K].
        state: The optimizer's state after it.
        output: Outputs of the batch before it [B, C, K].
        loss: Mean losses of the batch [K].
        norms: Where they are measured, the norms of the gradient before clipping, of the parameters before the step,
            and of their change, [3, K]; else None.
    """

    theta: Tensor
    state: Any
    output: Tensor
    loss: Tensor
    norms: Tensor | None


class Step:
    """The step of a net under an optimizer, the same for all chunks of a cohort.

    Args:
        net: The net.
        rule: The optimizer's file in `glassbox.mechanics`.
        clip_algorithm: `norm` or `value`.
        compiled: Whether it goes through torch.compile.
    """

    def __init__(self, net: Net, rule: Any, clip_algorithm: str = "norm", compiled: bool = False) -> None:
        def step(
            theta: Tensor,
            state: Any,
            data: tuple[Tensor, Tensor],
            order: Tensor,
            lr: Number,
            options: Mapping[str, Any],
            clip: Number | None,
            measured: bool,
        ) -> Stepped:
            output, loss, grad = net.gradient(theta, net.batch(*data, order))
            given = grad if clip is None else clipped(grad, clip, clip_algorithm)
            after, state = rule.update(theta, given, state, lr=lr, **options)
            norms = torch.stack([norm(grad), norm(theta), norm(after - theta)]) if measured else None
            return Stepped(after, state, output, loss, norms)

        self.first = step
        self.further = torch.compile(step, fullgraph=True, dynamic=False) if compiled else step
        self._compiled = compiled

    def __call__(
        self, theta: Tensor, state: Any, data: tuple[Tensor, Tensor], order: Tensor, lr: Number, **rest: Any
    ) -> Stepped:
        """Make a step.

        Args:
            theta: Parameters [P, K].
            state: The optimizer's state.
            data: Features [N, D] and targets [N] or [N, 1].
            order: Rows of each member's batch [B, K].
            lr: The learning rate, a number or a tensor [K].
            **rest: `options`, the other hyper-parameters; `clip`, a number, a tensor [K] or None; `measured`, whether
                to take norms.
        """
        if not self._compiled:
            return self.first(theta, state, data, order, lr, **rest)
        # What differs from step to step is a tensor, or each step would be compiled anew.
        lr = torch.as_tensor(lr, dtype=torch.float64, device=theta.device)
        if isinstance(getattr(state, "step", None), int):
            state = state._replace(step=torch.tensor(float(state.step), dtype=torch.float64, device=theta.device))
        return self.further(theta, state, data, order, lr, **rest)


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
