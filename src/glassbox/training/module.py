"""The LightningModule: a net, its loss and its optimizer, as in the lesson's loop; the Trainer runs the loop."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import lightning.pytorch as pl
from torch import Tensor, nn
from torch.optim import Optimizer

from glassbox.training.metric import EpochMetrics

Batch = tuple[Tensor, Tensor]


class SupervisedModule(pl.LightningModule):
    """Supervised training of any net: forward → loss → (the Trainer) backward → update.

    The five lines of a hand-written loop are all here or in the Trainer:

    ===========================  ==========================================
    `optimizer.zero_grad()`      the Trainer, in automatic optimization
    `output = net(x)`            `training_step`
    `loss = loss(output, y)`     `training_step`
    `loss.backward()`            the Trainer, with what `training_step` returns
    `optimizer.step()`           the Trainer, with what `configure_optimizers` returns
    ===========================  ==========================================

    Args:
        net: The net; [B, D] → [B, 1] (binary, regression) or [B, C] (multiclass).
        loss: The loss; (output, target) → scalar.
        optimizer: Called with the parameters, returns the optimizer.
        scheduler: Called with the optimizer, returns the learning rate scheduler; None keeps the learning rate.
        interval: Whether the scheduler steps per `epoch` or per `step`.
        monitor: The metric that a scheduler such as ReduceLROnPlateau looks at.
        task: `binary`, `multiclass` or `regression`; chooses the metrics.
        target_scale: One unit of a standardised target in the target's own units.
        hparams: Plain values to keep in the checkpoint.

    Example:
        >>> import torch
        >>> module = SupervisedModule(nn.Linear(2, 1), nn.BCEWithLogitsLoss(), torch.optim.SGD)
        >>> module(torch.zeros(3, 2)).shape
        torch.Size([3, 1])
    """

    def __init__(
        self,
        net: nn.Module,
        loss: nn.Module,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], Any] | None = None,
        *,
        interval: str = "epoch",
        monitor: str = "val/loss",
        task: str = "binary",
        target_scale: float = 1.0,
        hparams: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.net = net
        self.loss = loss
        self._optimizer = optimizer
        self._scheduler = scheduler
        self._interval = interval
        self._monitor = monitor
        self.train_metrics = EpochMetrics(task, target_scale)
        self.val_metrics = EpochMetrics(task, target_scale)
        self.test_metrics = EpochMetrics(task, target_scale)
        self.save_hyperparameters(dict(hparams or {}))

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes the running hook here some forty times a step; torch's way, which looks whether the value is a
        # parameter or a module, would cost a small net an eighth of its step.
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def forward(self, x: Tensor) -> Tensor:
        """Return the net's output for standardised inputs [B, D]."""
        output: Tensor = self.net(x)
        return output

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch; the Trainer does zero_grad, backward and the update."""
        x, y = batch
        output = self.net(x)
        loss: Tensor = self.loss(output, y)
        self.train_metrics.keep(loss, output, y)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep loss and output of one validation batch; the Trainer has set eval() and no_grad()."""
        self._evaluate(batch, self.val_metrics)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep loss and output of one test batch."""
        self._evaluate(batch, self.test_metrics)

    def on_train_epoch_end(self) -> None:
        """Tell the epoch's training loss and metrics."""
        self._log("train", self.train_metrics)

    def on_validation_epoch_end(self) -> None:
        """Tell the epoch's validation loss and metrics."""
        self._log("val", self.val_metrics)

    def on_test_epoch_end(self) -> None:
        """Tell the test loss and metrics."""
        self._log("test", self.test_metrics)

    def configure_optimizers(self) -> Any:
        """Return the optimizer, with its scheduler where there is one."""
        optimizer = self._optimizer(self.net.parameters())
        if self._scheduler is None:
            return optimizer
        scheduler = self._scheduler(optimizer)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": self._interval, "monitor": self._monitor},
        }

    def _evaluate(self, batch: Batch, metrics: EpochMetrics) -> None:
        x, y = batch
        output = self.net(x)
        metrics.keep(self.loss(output, y), output, y)

    def _log(self, stage: str, metrics: EpochMetrics) -> None:
        # The values are those of the rows of all devices, so nothing is left for Lightning to reduce. What the loop
        # needs is put where callbacks look for it: `self.log` would round it to float32, and cost a third of a
        # millisecond each time.
        for name, value in metrics.compute().items():
            if stage == "test":
                self.log(f"{stage}/{name}", value)
            else:
                self.trainer.callback_metrics[f"{stage}/{name}"] = value
