"""RMSprop: each step is divided by the running size of its gradient, so every parameter moves at a similar pace."""

from typing import NamedTuple

import torch
from torch import Tensor

from glassbox.mechanics.fused import add, addcdiv, addcmul, lerp, like
from glassbox.mechanics.number import Number, active


class State(NamedTuple):
    """What RMSprop remembers of one parameter; tensors are of its shape.

    Attributes:
        step: t, updates made.
        square_avg: v, the running average of g².
        grad_avg: ḡ, the running average of g; stays 0 unless centred.
        momentum_buffer: b, the running sum of steps; stays 0 without momentum.

    Example:
        >>> initial(torch.zeros(1))._replace(step=3).step
        3
    """

    step: int
    square_avg: Tensor
    grad_avg: Tensor
    momentum_buffer: Tensor


def initial(param: Tensor) -> State:
    """Return the state before the first update: all zero.

    Args:
        param: The parameter.

    Returns:
        The state.

    Example:
        >>> initial(torch.ones(2)).square_avg
        tensor([0., 0.])
    """
    zero = torch.zeros_like(param)
    return State(0, zero, zero, zero)


def update(
    param: Tensor,
    grad: Tensor,
    state: State,
    *,
    lr: Number,
    alpha: Number = 0.99,
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
    momentum: Number = 0.0,
    centered: bool = False,
) -> tuple[Tensor, State]:
    r"""Return the parameter and the state after one step of RMSprop.

    .. math::
        g_t &= ∇L(θ_{t-1}) + λ θ_{t-1} \\
        v_t &= α v_{t-1} + (1 - α) g_t^2 \\
        ḡ_t &= α ḡ_{t-1} + (1 - α) g_t \\
        s_t &= \sqrt{v_t} + ε   (centred: \sqrt{v_t - ḡ_t^2} + ε) \\
        b_t &= μ b_{t-1} + g_t / s_t \\
        θ_t &= θ_{t-1} - η b_t

    Args:
        param: θ, any shape.
        grad: ∇L, of θ's shape.
        state: t, v, ḡ and b.
        lr: η, the learning rate.
        alpha: α, the memory of the averages: about 1 / (1 - α) steps.
        eps: ε, in units of the gradient; keeps the quotient finite.
        weight_decay: λ, the weight of ‖θ‖² / 2 in the loss.
        momentum: μ.
        centered: Whether to divide by the standard deviation instead of the root mean square.

    Returns:
        θ_t and the new state.

    References:
        Tieleman and Hinton, Lecture 6.5: RMSprop, Coursera, 2012. Centred: Graves, Generating sequences with recurrent
        neural networks, 2013.

    Note:
        The lecture has no ε, Graves and TensorFlow put it under the root; torch adds it after the root. Averages start
        at 0 and are not corrected for it, so the first steps are up to 1 / √(1 - α) = 10 times larger.

    Example:
        >>> param = torch.tensor([1.0, 1.0])
        >>> param, state = update(param, torch.tensor([4.0, -0.1]), initial(param), lr=0.01)
        >>> param, state.step
        (tensor([0.9000, 1.1000]), 1)
    """
    if active(weight_decay):
        grad = add(grad, param, alpha=weight_decay)  # g = ∇L + λ θ
    square_avg = addcmul(state.square_avg * like(grad, alpha), grad, grad, value=1 - alpha)  # v = α v + (1 - α) g²
    grad_avg, variance = state.grad_avg, square_avg
    if centered:
        grad_avg = lerp(grad_avg, grad, weight=1 - alpha)  # ḡ = α ḡ + (1 - α) g
        variance = addcmul(square_avg, grad_avg, grad_avg, value=-1)  # v - ḡ²
    size = variance.sqrt() + like(grad, eps)  # s = √v + ε
    if not active(momentum):
        param = addcdiv(param, grad, size, value=-lr)  # θ - η g / s
        return param, State(state.step + 1, square_avg, grad_avg, state.momentum_buffer)
    buffer = addcdiv(state.momentum_buffer * like(grad, momentum), grad, size, value=1)  # b = μ b + g / s
    return add(param, buffer, alpha=-lr), State(state.step + 1, square_avg, grad_avg, buffer)  # θ - η b
