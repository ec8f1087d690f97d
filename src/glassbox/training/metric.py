"""The metrics of the three tasks, once per epoch from everything that the epoch produced, for one model or for many.

Shapes: N samples, C outputs, K models.
"""

import torch
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

NAMES = {
    "binary": ("accuracy", "auroc"),
    "multiclass": ("accuracy", "auroc"),
    "regression": ("mae", "r2"),
}
CONSTANT = 1e-4  # a sum of squares below it is that of a constant


class EpochMetrics:
    """Loss and metrics of one epoch of one stage.

    Steps only keep references to what they made; the arithmetic is done once, at the end of the epoch, on everything
    together. That costs a step nothing, and a mean of batch means, wrong when the last batch is smaller, cannot
    creep in.
    In a run of several processes each gathers the rows of all of them, so that all have the same numbers.

    Args:
        task: `binary`, `multiclass` or `regression`.
        target_scale: What one unit of a standardised target is in the target's own units; used for `regression`.

    Example:
        >>> epoch = EpochMetrics("binary")
        >>> epoch.keep(torch.tensor(0.5), torch.tensor([[2.0], [-1.0]]), torch.tensor([[1.0], [0.0]]))
        >>> {name: float(value) for name, value in epoch.compute().items()}
        {'loss': 0.5, 'accuracy': 1.0, 'auroc': 1.0}
    """

    def __init__(self, task: str, target_scale: float = 1.0) -> None:
        self.task = task
        self.target_scale = target_scale
        self._kept: list[tuple[Tensor, Tensor, Tensor]] = []

    def keep(self, loss: Tensor, output: Tensor, target: Tensor) -> None:
        """Keep what one step made.

        Args:
            loss: Mean loss of the batch, scalar.
            output: Logits or predictions [B, C] or [B, 1].
            target: What the loss compared them with, [B] or [B, 1].
        """
        self._kept.append((loss.detach(), output.detach(), target))

    def compute(self) -> dict[str, Tensor]:
        """Return the mean loss per row and the metrics of everything kept, and forget it.

        Returns:
            Name → scalar; empty if nothing was kept.
        """
        if not self._kept:
            return {}
        losses, outputs, targets = zip(*self._kept, strict=True)
        self._kept = []
        output, target = _of_all(torch.cat(outputs)), _of_all(torch.cat(targets))
        dtype = torch.float64 if output.dtype == torch.float64 else torch.float32
        rows = torch.tensor([len(target) for target in targets], dtype=dtype, device=output.device)
        totals = torch.stack(losses).to(dtype) * rows
        total = torch.where(rows > 0, totals, 0).sum()  # a process may have no row of a small batch
        values = {"loss": _of_all(total[None]).sum() / len(target)}
        found = metrics(self.task, output.to(dtype)[..., None], target.reshape(-1, 1), self.target_scale)
        return values | {name: value[0] for name, value in found.items()}


def metrics(task: str, output: Tensor, target: Tensor, target_scale: float = 1.0) -> dict[str, Tensor]:
    r"""Return the metrics of K models.

    With outputs z, targets y and their mean ȳ, over all samples:

    .. math::
        mae = \frac{1}{N} \sum |z - y|,   r2 = 1 - \frac{\sum (z - y)^2}{\sum y^2 - N ȳ^2}

    Where a model's outputs are not finite its metrics are NaN: nothing can be ranked.

    Args:
        task: `binary`, `multiclass` or `regression`.
        output: Logits or predictions [N, C, K].
        target: Classes or values [N, K], or [N, 1] where all models have the same.
        target_scale: What one unit of a standardised target is in the target's own units; used for `regression`.

    Returns:
        Name → values [K].

    Note:
        As torchmetrics has them: r2 is 1 where the residuals' sum of squares is below 10⁻⁴, and else 0 where the
        target's is. Of one row r2 is NaN.

    Example:
        >>> logits = torch.tensor([[[2.0, -1.0]], [[-1.0, 0.5]]])
        >>> metrics("binary", logits, torch.tensor([[1.0], [0.0]]))
        {'accuracy': tensor([1., 0.]), 'auroc': tensor([1., 0.])}
    """
    found = _regression(output[:, 0], target, target_scale) if task == "regression" else _classes(task, output, target)
    finite = (output * 0).sum(dim=(0, 1)) == 0
    return {name: torch.where(finite, value, torch.nan) for name, value in zip(NAMES[task], found, strict=True)}


def auroc(score: Tensor, positive: Tensor) -> Tensor:
    r"""Return the area under the ROC curve of M rankings.

    It is the share of pairs of a positive and a negative in which the positive has the higher score; a tie is half a
    pair. With the ranks r = 0 … N - 1 of the P positives among N scores, of which ties stand once with the
    negatives first and once with the positives first:

    .. math::
        wins = \sum r - P (P - 1) / 2,   auroc = \frac{wins_{first} + wins_{last}}{2 P (N - P)}

    All counts are whole numbers, so the result is the true quotient, rounded once, and equal rankings have equal areas.

    Args:
        score: Scores [N, M]; two that differ in their last bit alone are a tie.
        positive: Whether the sample is a positive one [N, M].

    Returns:
        The areas [M]; 0 where there is no positive, or no negative.

    Example:
        >>> auroc(torch.tensor([[0.1], [0.4], [0.4], [0.8]]), torch.tensor([[False], [False], [True], [True]]))
        tensor([0.8750])
    """
    samples = len(score)
    rank = torch.arange(samples, dtype=torch.float64, device=score.device)
    # Whole numbers in the order of the scores are sorted ten times as fast as scores with their labels: the bits of a
    # number ≥ 0 are such a one, those of a number < 0 are but for its sign in the opposite order. The last bit gives
    # way to the label, which so decides only ties.
    bits = (score.T + 0.0).contiguous().view(torch.int64 if score.dtype == torch.float64 else torch.int32)
    width = torch.iinfo(bits.dtype)
    bits = (bits ^ ((bits >> (width.bits - 1)) & width.max)) & ~1
    label = positive.T.to(bits.dtype)
    keys = _sorted(bits | label)
    first = (keys & 1).double() @ rank
    positives = label.sum(dim=1, dtype=torch.float64)
    # Only rankings with a tie need the other order; a GPU would have to wait to learn which they are.
    tied = ((keys[:, 1:] ^ keys[:, :-1]) == 1).any(dim=1) if keys.device.type == "cpu" else slice(None)
    last = first.clone()
    last[tied] = rank.sum() - (_sorted(bits[tied] | (1 - label[tied])) & 1).double() @ rank  # of the negatives
    pairs = positives * (samples - positives)
    wins = first + last - positives * (positives - 1)
    return torch.where(pairs > 0, wins / (2 * pairs), 0.0).to(score.dtype)


def _classes(task: str, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    if task == "binary":
        logit, positive = output[:, 0], target > 0.5
        right = (torch.sigmoid(logit) > 0.5) == positive
        area = auroc(logit, positive.expand_as(logit))
    else:
        probability = torch.softmax(output, dim=1)
        right = probability.argmax(dim=1) == target
        codes = torch.arange(output.shape[1], device=output.device)[:, None]
        positive = (target[:, None] == codes).expand_as(probability)
        area = auroc(probability.flatten(1), positive.flatten(1)).view(output.shape[1:]).mean(dim=0)
    return right.sum(dim=0).to(output.dtype) / len(output), area


def _regression(output: Tensor, target: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    output, target = output * scale, target * scale
    residual = target - output
    rss, total = (residual * residual).sum(dim=0), target.sum(dim=0)
    tss = (target * target).sum(dim=0) - total * (total / len(target))
    r2 = torch.where(tss.abs() <= CONSTANT, 0.0, 1 - rss / tss)
    r2 = torch.where(rss.abs() <= CONSTANT, 1.0, r2)
    return residual.abs().mean(dim=0), r2 if len(target) > 1 else torch.full_like(r2, torch.nan)


def _sorted(keys: Tensor) -> Tensor:
    """Return whole numbers [M, N] sorted along N; on the CPU by numpy, whose sort is several times faster."""
    if keys.device.type != "cpu":
        return keys.sort(dim=1).values
    keys.numpy().sort(axis=1)
    return keys


def _of_all(rows: Tensor) -> Tensor:
    """Return the rows of all processes, those of the first one first."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return rows
    return torch.cat(gather_all_tensors(rows))
