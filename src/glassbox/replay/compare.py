"""Two tensors that should be the same bits: are they, and if not, is it rounding or a mistake?"""

import torch
from torch import Tensor

from glassbox.replay.check import Check, Grade

ROUNDINGS = 100  # what is within so many roundings of the largest number is not called a mistake


def same(ours: Tensor | None, theirs: Tensor | None) -> bool:
    """Return whether two tensors are equal, NaN to NaN; a missing one equals one of zeros only.

    Args:
        ours: A tensor, or None for a gradient that there is not.
        theirs: Another.

    Example:
        >>> same(torch.tensor([1.0]), torch.tensor([1.0])), same(None, torch.zeros(2)), same(None, torch.ones(2))
        (True, True, False)
    """
    if ours is None or theirs is None:
        return all(tensor is None or not bool(dense(tensor).any()) for tensor in (ours, theirs))
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return False
    a, b = dense(ours), dense(theirs)
    return torch.equal(a, b) or bool(((a == b) | ((a != a) & (b != b))).all())


def difference(ours: Tensor | None, theirs: Tensor | None) -> float:
    """Return the largest absolute difference; inf where the shapes differ.

    Args:
        ours: A tensor, or None for zeros.
        theirs: Another.

    Example:
        >>> difference(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.5]))
        0.5
    """
    if ours is None or theirs is None:
        return max((_largest(tensor) for tensor in (ours, theirs) if tensor is not None), default=0.0)
    if ours.shape != theirs.shape:
        return float("inf")
    return _largest(_wide(ours) - _wide(theirs))


def is_rounding(ours: Tensor | None, theirs: Tensor | None, roundings: int = ROUNDINGS) -> bool:
    """Return whether two tensors differ by so little that another order of the same operations explains it.

    Args:
        ours: A tensor, or None for zeros.
        theirs: Another.
        roundings: How many roundings of the largest number that may be.

    Example:
        >>> is_rounding(torch.tensor([0.1 + 0.2]), torch.tensor([0.3])), is_rounding(torch.ones(1), torch.zeros(1))
        (True, False)
    """
    if ours is None or theirs is None or not ours.dtype.is_floating_point or not theirs.dtype.is_floating_point:
        return False
    coarse = max(torch.finfo(ours.dtype).eps, torch.finfo(theirs.dtype).eps)
    return difference(ours, theirs) <= roundings * coarse * max(_largest(ours), _largest(theirs))


def compare(ours: Tensor | None, theirs: Tensor | None, cause: str) -> Check:
    """Compare what was computed by hand with what happened.

    Args:
        ours: By hand; None for a gradient that there is not.
        theirs: As it happened.
        cause: What is wrong if they differ by more than rounding.

    Returns:
        EXACT; NOT CHECKED where only the rounding differs, as another order of additions has it; or DISAGREES.

    Example:
        >>> str(compare(torch.tensor([1.0]), torch.tensor([1.5]), "wrong hyper-parameter"))
        'DISAGREES 5e-01: wrong hyper-parameter'
    """
    if theirs is not None and not bool(dense(theirs).isfinite().all()):
        return Check(Grade.NOT_CHECKED, "it is not finite: nan or inf")
    if same(ours, theirs):
        return Check(Grade.EXACT)
    error = difference(ours, theirs)
    if is_rounding(ours, theirs):
        return Check(Grade.NOT_CHECKED, f"equal up to rounding ({error:.0e}), not bit for bit")
    return Check(Grade.DISAGREES, cause, error)


def dense(tensor: Tensor) -> Tensor:
    """Return a tensor with all its zeros.

    Args:
        tensor: Dense or sparse.

    Example:
        >>> dense(torch.ones(2).to_sparse())
        tensor([1., 1.])
    """
    return tensor if tensor.layout is torch.strided else tensor.to_dense()


def _wide(tensor: Tensor) -> Tensor:
    return dense(tensor).to(torch.complex128 if tensor.is_complex() else torch.float64)


def _largest(tensor: Tensor) -> float:
    return float(_wide(tensor).abs().max()) if tensor.numel() else 0.0
