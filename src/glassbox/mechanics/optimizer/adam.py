"""Adam: a running average of gradients divided by their running size, both corrected for their start at zero."""

from typing import NamedTuple

import torch
from torch import Tensor

from glassbox.mechanics.fused import add, addcdiv, addcmul, lerp, like
from glassbox.mechanics.number import Number, active


class State(NamedTuple):
    """What Adam remembers of one parameter; tensors are of its shape.

    Attributes:
        step: t, updates made.
        exp_avg: m, the running average of g.
        exp_avg_sq: v, the running average of g².
        max_exp_avg_sq: The largest v so far; stays 0 unless AMSGrad.

    Example:
        >>> initial(torch.zeros(1))._replace(step=3).step
        3
    """

    step: int
    exp_avg: Tensor
    exp_avg_sq: Tensor
    max_exp_avg_sq: Tensor


def initial(param: Tensor) -> State:
    """Return the state before the first update: all zero.

    Args:
        param: The parameter.

    Returns:
        The state.

    Example:
        >>> initial(torch.ones(2)).exp_avg
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
    betas: tuple[Number, Number] = (0.9, 0.999),
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
    amsgrad: bool = False,
) -> tuple[Tensor, State]:
    r"""Return the parameter and the state after one step of Adam.

    .. math::
        g_t &= ∇L(θ_{t-1}) + λ θ_{t-1} \\
        m_t &= β_1 m_{t-1} + (1 - β_1) g_t \\
        v_t &= β_2 v_{t-1} + (1 - β_2) g_t^2 \\
        \hat m_t &= m_t / (1 - β_1^t),   \hat v_t = v_t / (1 - β_2^t) \\
        θ_t &= θ_{t-1} - η \hat m_t / (\sqrt{\hat v_t} + ε)

    The first step is η in size for every parameter, whatever its gradient; later steps are at most about that.

    Args:
        param: θ, any shape.
        grad: ∇L, of θ's shape.
        state: t, m, v and the largest v.
        lr: η, the learning rate; the size of a step in units of θ.
        betas: (β₁, β₂), the memories of the averages: about 1 / (1 - β) steps.
        eps: ε, in units of the gradient; keeps the quotient finite.
        weight_decay: λ, the weight of ‖θ‖² / 2 in the loss; `adamw` decays the weights themselves.
        amsgrad: Whether to divide by the largest v so far.

    Returns:
        θ_t and the new state.

    References:
        Kingma and Ba, Adam: a method for stochastic optimization, 2015, algorithm 1. AMSGrad: Reddi, Kale and Kumar,
        On the convergence of Adam and beyond, 2018.

    Note:
        The AMSGrad paper corrects neither m nor v; torch takes the largest uncorrected v and corrects that. The term
        λ θ is not in the paper.

    Example:
        >>> param = torch.tensor([1.0, 1.0])
        >>> param, state = update(param, torch.tensor([4.0, -0.1]), initial(param), lr=0.01)
        >>> param, state.step
        (tensor([0.9900, 1.0100]), 1)
    """
    beta1, beta2 = betas
    t = state.step + 1
    if active(weight_decay):
        grad = add(grad, param, alpha=weight_decay)  # g = ∇L + λ θ
    m = lerp(state.exp_avg, grad, weight=1 - beta1)  # m = β₁ m + (1 - β₁) g
    v = addcmul(state.exp_avg_sq * like(grad, beta2), grad, grad, value=1 - beta2)  # v = β₂ v + (1 - β₂) g²
    largest = torch.maximum(state.max_exp_avg_sq, v) if amsgrad else state.max_exp_avg_sq
    size = (largest if amsgrad else v).sqrt() / like(grad, (1 - beta2**t) ** 0.5) + like(grad, eps)  # √v̂ + ε
    param = addcdiv(param, m, size, value=-(lr / (1 - beta1**t)))  # θ - η m̂ / (√v̂ + ε)
    return param, State(t, m, v, largest)
