"""Saxe's initialisation: a random rotation."""

import torch
from torch import Tensor


@torch.no_grad()
def orthogonal(weight: Tensor, *, generator: torch.Generator, gain: float = 1.0) -> Tensor:
    r"""Fill a weight with a random matrix whose rows or columns, whichever are fewer, are orthonormal.

    W is read as a matrix [O, M] with M = I k₁ k₂ …. With a Gaussian matrix A [max(O, M), min(O, M)] and A = Q R:

    .. math::
        W = g \, Q \, sign(diag R)   (transposed if O < M)

    The signs make the distribution uniform over all such matrices; without them it would depend on how Q R is
    computed. A square W keeps every length up to g = `gain`, so depth neither shrinks nor blows up a signal.

    Args:
        weight: W, at least two axes, outputs first; changed in place.
        generator: The source of the draws.
        gain: g.

    Returns:
        The weight.

    References:
        Saxe, McClelland and Ganguli, Exact solutions to the nonlinear dynamics of learning in deep linear neural
        networks, 2014. Signs: Mezzadri, How to generate random matrices from the classical compact groups, 2007.

    Example:
        >>> w = orthogonal(torch.empty(3, 3), generator=torch.Generator().manual_seed(0))
        >>> torch.allclose(w @ w.T, torch.eye(3), atol=1e-6)
        True
    """
    rows, columns = weight.shape[0], weight[0].numel()
    gaussian = weight.new_empty((rows, columns)).normal_(0.0, 1.0, generator=generator)
    q, r = torch.linalg.qr(gaussian.T if rows < columns else gaussian)
    q = q * r.diagonal().sign()
    return weight.copy_((q.T if rows < columns else q).reshape(weight.shape)).mul_(gain)
