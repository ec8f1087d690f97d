"""Stochastic gradient descent: a step against the gradient, or against a running sum of gradients."""

from typing import NamedTuple

from torch import Tensor

from glassbox.mechanics.fused import add, like
from glassbox.mechanics.number import Number, active, where


class State(NamedTuple):
    """What SGD remembers of one parameter.

    Attributes:
        momentum_buffer: v, the running sum of gradients; None before the first update, and without momentum.

    Example:
        >>> State(momentum_buffer=None)
        State(momentum_buffer=None)
    """

    momentum_buffer: Tensor | None


def initial(param: Tensor) -> State:
    """Return the state before the first update.

    Args:
        param: The parameter.

    Returns:
        A state without momentum buffer: the first gradient will be it.

    Example:
        >>> import torch
        >>> initial(torch.zeros(2))
        State(momentum_buffer=None)
    """
    return State(None)


def update(
    param: Tensor,
    grad: Tensor,
    state: State,
    *,
    lr: Number,
    momentum: Number = 0.0,
    dampening: Number = 0.0,
    weight_decay: Number = 0.0,
    nesterov: bool = False,
) -> tuple[Tensor, State]:
    r"""Return the parameter and the state after one step of SGD.

    .. math::
        g_t &= ∇L(θ_{t-1}) + λ θ_{t-1} \\
        v_t &= μ v_{t-1} + (1 - τ) g_t,   v_1 = g_1 \\
        θ_t &= θ_{t-1} - η v_t   (Nesterov: θ_{t-1} - η (g_t + μ v_t);  without momentum: θ_{t-1} - η g_t)

    Args:
        param: θ, any shape.
        grad: ∇L, of θ's shape.
        state: v.
        lr: η, the learning rate.
        momentum: μ in [0, 1); a constant gradient is amplified by 1 / (1 - μ).
        dampening: τ.
        weight_decay: λ, the weight of ‖θ‖² / 2 in the loss.
        nesterov: Whether to correct the gradient for the step that momentum is about to make.

    Returns:
        θ_t and the new state.

    References:
        Polyak, Some methods of speeding up the convergence of iteration methods, 1964. Nesterov, 1983, in the form of
        Sutskever et al., On the importance of initialization and momentum in deep learning, 2013.

    Note:
        The papers keep η inside v: v = μ v - η g, θ += v. torch multiplies by η afterwards, which is the same until η
        changes. The first v is not dampened.

    Example:
        Minimise θ² / 2, whose gradient is θ:

        >>> import torch
        >>> param = torch.tensor([1.0])
        >>> state = initial(param)
        >>> for _ in range(2):
        ...     param, state = update(param, param, state, lr=0.1, momentum=0.5)
        >>> param, state.momentum_buffer
        (tensor([0.7600]), tensor([1.4000]))
    """
    if active(weight_decay):
        grad = add(grad, param, alpha=weight_decay)  # g = ∇L + λ θ
    if not active(momentum):
        return add(param, grad, alpha=-lr), state  # θ - η g
    if state.momentum_buffer is None:
        buffer = grad  # v_1 = g
    else:
        kept = state.momentum_buffer * like(grad, momentum)
        new = where(momentum != 0, 1 - dampening, 1.0)  # a model without momentum has no dampening
        buffer = add(kept, grad, alpha=new)  # v = μ v + (1 - τ) g
    direction = add(grad, buffer, alpha=momentum) if nesterov else buffer  # g + μ v, or v
    return add(param, direction, alpha=-lr), State(buffer)  # θ - η v
