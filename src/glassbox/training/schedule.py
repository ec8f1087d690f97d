"""Schedules that torch does not have as one class."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR


def warmup_cosine(
    optimizer: Optimizer, *, warmup_epochs: int, max_epochs: int, start_factor: float = 0.1
) -> SequentialLR:
    r"""Raise the learning rate linearly, then lower it along half a cosine to zero.

    With W = `warmup_epochs`, T = `max_epochs`, f = `start_factor` and peak rate η, at epoch t:

    .. math::
        η_t = η (f + (1 - f) t / W)  (t < W),   η_t = η (1 + \cos(π (t - W) / (T - W))) / 2  (t ≥ W)

    Args:
        optimizer: Its learning rate is the peak η.
        warmup_epochs: W, epochs of warm-up, 1 ≤ W < T.
        max_epochs: T, epochs in all.
        start_factor: f, the share of η to begin with.

    Returns:
        A scheduler that steps once per epoch.

    Raises:
        ValueError: The warm-up is not shorter than the run.

    References:
        Cosine: Loshchilov and Hutter, SGDR, 2017. Linear warm-up: Goyal et al., Accurate, Large Minibatch SGD, 2017.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        >>> schedule = warmup_cosine(optimizer, warmup_epochs=2, max_epochs=6, start_factor=0.5)
        >>> schedule.get_last_lr()
        [0.5]
    """
    if not 1 <= warmup_epochs < max_epochs:
        raise ValueError(f"warmup_epochs={warmup_epochs} must be from 1 to max_epochs - 1 = {max_epochs - 1}")
    rising = LinearLR(optimizer, start_factor=start_factor, total_iters=warmup_epochs)
    falling = CosineAnnealingLR(optimizer, T_max=max_epochs - warmup_epochs)
    return SequentialLR(optimizer, [rising, falling], milestones=[warmup_epochs])
