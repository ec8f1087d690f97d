"""AdamW: Adam whose weight decay shrinks the weights themselves instead of adding to the gradient."""

from torch import Tensor

from glassbox.mechanics.fused import like
from glassbox.mechanics.number import Number
from glassbox.mechanics.optimizer import adam
from glassbox.mechanics.optimizer.adam import State, initial

__all__ = ["State", "initial", "update"]


def update(
    param: Tensor,
    grad: Tensor,
    state: State,
    *,
    lr: Number,
    betas: tuple[Number, Number] = (0.9, 0.999),
    eps: Number = 1e-8,
    weight_decay: Number = 1e-2,
    amsgrad: bool = False,
) -> tuple[Tensor, State]:
    r"""Return the parameter and the state after one step of AdamW.

    .. math::
        θ_t = (1 - η λ) θ_{t-1} - η \hat m_t / (\sqrt{\hat v_t} + ε)

    with m̂ and v̂ as in `glassbox.mechanics.optimizer.adam`, of the gradient without decay. Adam divides the decay λ θ by
    the size of the gradient, so that weights with large gradients decay less; here all shrink at the same pace.

    Args:
        param: θ, any shape.
        grad: ∇L, of θ's shape.
        state: t, m, v and the largest v.
        lr: η, the learning rate; the size of a step in units of θ.
        betas: (β₁, β₂), the memories of the averages: about 1 / (1 - β) steps.
        eps: ε, in units of the gradient; keeps the quotient finite.
        weight_decay: λ; a weight without gradient halves in ln 2 / (η λ) steps.
        amsgrad: Whether to divide by the largest v so far.

    Returns:
        θ_t and the new state.

    References:
        Loshchilov and Hutter, Decoupled weight decay regularization, 2019, algorithm 2.

    Note:
        In the paper the decay is λ times the schedule's multiplier, not times η: its λ is torch's η λ for the first η.

    Example:
        >>> import torch
        >>> param = torch.tensor([1.0, 1.0])
        >>> param, _ = update(param, torch.tensor([4.0, 0.0]), initial(param), lr=0.01, weight_decay=0.5)
        >>> param
        tensor([0.9850, 0.9950])
    """
    decayed = param * like(param, 1 - lr * weight_decay)  # (1 - η λ) θ
    return adam.update(decayed, grad, state, lr=lr, betas=betas, eps=eps, amsgrad=amsgrad)
