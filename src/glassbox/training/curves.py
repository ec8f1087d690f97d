"""The curves of a run: one row per epoch, gathered by one callback and handed to every tracker."""

import math
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import Logger
from torch import Tensor
from torch.optim import Optimizer

from glassbox.tracking.tracker import Tracker


class Curves(Checkpoint):
    """Gather the row of each epoch and give it to the trackers.

    A row holds everything that the module logged with `self.log` in the epoch, plus the learning rate and, sampled at
    the epoch's last optimizer step, the norm of the gradient (before clipping) and the relative size of the update.
    It derives from Lightning's `Checkpoint` because those callbacks run last: every metric of the epoch is there, and
    the row is written before the checkpoint of the epoch is.

    Args:
        trackers: Who gets the rows.
        beat: Called after each batch, so that the record can show that the run is alive.

    Attributes:
        prune: Told the number of epochs done and the value of `monitor`, it says whether the run is hopeless.
        monitor: The metric that it is told.
        rows: The rows of this process, epoch → row.
        diverged: Why the run was stopped, where a loss was not finite; else None.
        pruned: Why the run was stopped, where it was hopeless; else None.
    """

    def __init__(self, trackers: list[Tracker] | None = None, beat: Callable[[], None] | None = None) -> None:
        self.trackers = trackers if trackers is not None else []
        self.beat = beat
        self.prune: Callable[[int, float], bool] | None = None
        self.monitor = ""
        self.rows: dict[int, dict[str, float]] = {}
        self.pruned: str | None = None
        self.diverged: str | None = None
        self._sample: dict[str, float] = {}
        self._seen: dict[str, Tensor] = {}
        self._before: list[Tensor] | None = None

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Look at the gradient and the parameters before the epoch's last update."""
        if not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return
        parameters = _trained(optimizer)
        gradients = [p.grad for p in parameters if p.grad is not None]
        self._sample = {"train/grad_norm": float(torch.nn.utils.get_total_norm(gradients))}
        self._before = [p.detach().clone() for p in parameters]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After the epoch's last update, compare the parameters with what they were."""
        if self.beat is not None:
            self.beat()
        if self._before is None:
            return
        parameters = _trained(trainer.optimizers[0])
        moved = [p.detach() - old for p, old in zip(parameters, self._before, strict=True)]
        size = float(torch.nn.utils.get_total_norm(self._before))
        update = float(torch.nn.utils.get_total_norm(moved))
        self._sample["train/update_ratio"] = update / size if size > 0 else math.nan
        self._before = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the learning rate with which the epoch begins."""
        self._lr = float(trainer.optimizers[0].param_groups[0]["lr"]) if trainer.optimizers else math.nan

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the row of the epoch; stop the run if a loss is no longer finite, or if it is hopeless."""
        epoch = trainer.current_epoch
        # A value that is the very object of the epoch before was not measured again, such as without validation.
        metrics = dict(trainer.callback_metrics)
        fresh = {key: float(value) for key, value in metrics.items() if value is not self._seen.get(key)}
        self._seen = metrics
        row = fresh | {"train/lr": self._lr} | self._sample
        self._sample = {}
        self.rows[epoch] = row
        for tracker in self.trackers:
            tracker.log(row, epoch)
        for key in ("train/loss", "val/loss"):
            if key in row and not math.isfinite(row[key]):
                self.diverged = f"{key} is {row[key]} at epoch {epoch}"
                trainer.should_stop = True
                return
        if self.prune is not None and self.monitor in row:
            hopeless = trainer.is_global_zero and self.prune(epoch + 1, row[self.monitor])
            hopeless = trainer.strategy.broadcast(hopeless)  # all processes of a run end together
            if hopeless and epoch + 1 != trainer.max_epochs:  # after its last epoch a run is a whole one
                self.pruned = f"{self.monitor} is {row[self.monitor]:.4g} at epoch {epoch}"
                trainer.should_stop = True

    def __getstate__(self) -> dict[str, Any]:
        """Leave the trackers and the record behind when copied to another process."""
        return self.__dict__ | {"trackers": [], "beat": None}


class RunLogger(Logger):
    """The Trainer's logger: gives `self.logger.experiment` to a module, and leaves the curves to `Curves`.

    Lightning would log the metrics of one epoch in several pieces; `Curves` writes each row once, whole. So what the
    Trainer itself sends here is not written a second time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._experiment: Any = None

    def attach(self, experiment: Any) -> None:
        """Give modules access to the W&B run or TensorBoard writer."""
        self._experiment = experiment

    @property
    def name(self) -> str:
        """What kind of logger it is."""
        return "glassbox"

    @property
    def version(self) -> str:
        """A run has one version."""
        return ""

    @property
    def experiment(self) -> Any:
        """The W&B run or TensorBoard writer, for pictures and tables of your own.

        None if there is none, and in a run on several devices, whose processes have none.
        """
        return self._experiment

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Leave it to `Curves`, which gets the same values from the Trainer."""

    def __getstate__(self) -> dict[str, Any]:
        """Leave the live run behind when copied to another process."""
        return self.__dict__ | {"_experiment": None}

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Leave it to the run record, which holds the whole config."""


def _trained(optimizer: Optimizer) -> list[torch.nn.Parameter]:
    return [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
