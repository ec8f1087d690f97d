"""The smallest example of autograd there is."""

from typing import Any

import torch
from torch import Tensor

from glassbox.explain.table import Row
from glassbox.explain.tensor import batch_tensors
from glassbox.replay.check import Check, Grade
from glassbox.replay.step import Step


def seed(step: Step) -> Row:
    """Return the smallest example of autograd there is, on numbers of the batch.

    Args:
        step: The recorded step.
    """
    x = _two_numbers(step.batch).requires_grad_()
    y = (x**2).sum()
    y.backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    told = f"x = {_values(x)}: y = {y.item():.6f}, x.grad = {_values(x.grad)}"
    right = torch.equal(x.grad, 2 * x.detach())
    check = Check(Grade.EXACT) if right else Check(Grade.DISAGREES, "x.grad is not 2x")
    return Row(("y = (x ** 2).sum(); y.backward()", "y = Σ x², dy/dx = 2x", told), check)


def _two_numbers(batch: Any) -> Tensor:
    """Return the first two numbers of a batch, or 1 and 2 where it has none with a fraction."""
    for tensor in batch_tensors(batch).values():
        if tensor.is_floating_point() and tensor.numel() > 1:
            numbers = tensor.detach().flatten()[:2].clone()
            if bool(torch.isfinite(numbers).all()):
                return numbers
    return torch.tensor([1.0, 2.0])


def _values(x: Tensor) -> str:
    return f"[{', '.join(f'{value:.6f}' for value in x.tolist())}]"
