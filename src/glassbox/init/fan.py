"""How many numbers flow into and out of one unit of a layer."""

from torch import Tensor


def fans(weight: Tensor) -> tuple[int, int]:
    r"""Return (fan-in, fan-out) of a weight.

    A weight [O, I, k₁, k₂, …] has a receptive field of R = k₁ k₂ … numbers (R = 1 in a Linear), and

    .. math::
        fan_{in} = I R,   fan_{out} = O R

    Args:
        weight: At least two axes, outputs first.

    Returns:
        Inputs per output unit, and output units per input.

    Example:
        >>> import torch
        >>> fans(torch.empty(8, 2)), fans(torch.empty(16, 3, 5, 5))
        ((2, 8), (75, 400))
    """
    field = weight[0, 0].numel()
    return weight.shape[1] * field, weight.shape[0] * field
