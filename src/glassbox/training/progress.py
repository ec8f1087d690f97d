"""A progress bar over the epochs, on a terminal only."""

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class EpochBar(Callback):
    """One bar over all epochs with the latest losses and the time left; silent when the output is not a terminal.

    A bar per batch would cost a small net more than its training.
    """

    def __init__(self) -> None:
        self._progress: Progress | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the bar."""
        console = Console()
        endless = trainer.max_epochs is None or trainer.max_epochs < 0
        if endless or not console.is_terminal or not trainer.is_global_zero:
            return
        columns = (
            TextColumn("epoch"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[shown]}"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=console, transient=True, refresh_per_second=8)
        self._task = self._progress.add_task("", total=trainer.max_epochs, completed=trainer.current_epoch, shown="")
        self._progress.start()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Move the bar by an epoch."""
        if self._progress is None:
            return
        metrics = trainer.callback_metrics
        shown = "  ".join(f"{key} {float(metrics[key]):.4f}" for key in ("train/loss", "val/loss") if key in metrics)
        self._progress.update(self._task, advance=1, shown=shown)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the bar away."""
        self._stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Take the bar away, so that the error stands alone."""
        self._stop()

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
