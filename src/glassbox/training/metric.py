"""The metrics of the three tasks, by torchmetrics, fed once per epoch with everything that the epoch produced."""

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryAUROC,
    MulticlassAccuracy,
    MulticlassAUROC,
)
from torchmetrics.regression import MeanAbsoluteError, R2Score
from torchmetrics.utilities.distributed import gather_all_tensors


class EpochMetrics(torch.nn.Module):
    """Loss and metrics of one epoch of one stage.

    Steps only keep references to what they made; the arithmetic is done once, at the end of the epoch, on everything
    together. That costs a step nothing, and a mean of batch means, wrong when the last batch is smaller, cannot
    creep in.
    In a run of several processes each gathers the rows of all of them, so that all have the same numbers.

    Args:
        task: `binary`, `multiclass` or `regression`.
        classes: Number of classes C; used for `multiclass`.
        target_scale: What one unit of a standardised target is in the target's own units; used for `regression`.

    Example:
        >>> epoch = EpochMetrics("binary")
        >>> epoch.keep(torch.tensor(0.5), torch.tensor([[2.0], [-1.0]]), torch.tensor([[1.0], [0.0]]))
        >>> {name: float(value) for name, value in epoch.compute().items()}
        {'loss': 0.5, 'accuracy': 1.0, 'auroc': 1.0}
    """

    def __init__(self, task: str, classes: int = 2, target_scale: float = 1.0) -> None:
        super().__init__()
        self.task = task
        self.target_scale = target_scale
        metrics: dict[str, Metric | MetricCollection]
        if task == "binary":
            metrics = {"accuracy": BinaryAccuracy(validate_args=False), "auroc": BinaryAUROC(validate_args=False)}
        elif task == "multiclass":
            # Micro: the share of rows that are right, as for two classes, not the mean over the classes.
            metrics = {
                "accuracy": MulticlassAccuracy(classes, average="micro", validate_args=False),
                "auroc": MulticlassAUROC(classes, validate_args=False),
            }
        else:
            metrics = {"mae": MeanAbsoluteError(), "r2": R2Score()}
        self.metrics = MetricCollection(metrics)
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

        Where the outputs are not finite, the metrics are NaN: nothing can be ranked.

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
        self.metrics.set_dtype(dtype)
        if bool(torch.isfinite(output).all()):
            self.metrics.update(*self._comparable(output, target))
            values |= self.metrics.compute()
            self.metrics.reset()
        else:
            values |= {str(name): torch.full_like(values["loss"], torch.nan) for name in self.metrics}
        return values

    def _comparable(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Turn outputs into what the metrics compare: probabilities, or values in the target's own units."""
        if self.task == "binary":
            return torch.sigmoid(output).flatten(), target.flatten().long()
        if self.task == "multiclass":
            return torch.softmax(output, dim=1), target
        return output.flatten() * self.target_scale, target.flatten() * self.target_scale


def _of_all(rows: Tensor) -> Tensor:
    """Return the rows of all processes, those of the first one first."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return rows
    return torch.cat(gather_all_tensors(rows))
