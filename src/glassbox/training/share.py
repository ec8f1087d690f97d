"""The share of one process in a run of several: its rows of every batch, with their weight in the gradient."""

from functools import partial
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset

from glassbox.data.sampler import SharedBatches, mix


class Share(Callback):
    r"""Make each optimizer step of several processes the step of one process on the same batch.

    DDP averages the gradients of W processes as if each had the same number of rows. With :math:`n_r` of the B rows of
    a batch in process r, and its mean loss :math:`L_r`, the gradient of the whole batch is

    .. math::
        ∇L = \sum_r \frac{n_r}{B} ∇L_r = \frac{1}{W} \sum_r \left(\frac{W n_r}{B}\right) ∇L_r

    so each loss is scaled by :math:`W n_r / B` before its backward.

    What a module logs with `self.log` becomes the mean over the rows of all processes. Random numbers drawn in
    training, such as dropout's, are others in each process; in the first they are those of a run in one process.
    """

    def __init__(self) -> None:
        self._weight = 1.0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Stand between the Trainer and its loaders, and between the module and its log."""
        strategy: Any = trainer.strategy
        strategy.process_dataloader = partial(shared, trainer=trainer)
        module: Any = pl_module
        module.log = partial(type(pl_module).log, pl_module, sync_dist=True)
        module.log_dict = partial(type(pl_module).log_dict, pl_module, sync_dist=True)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Leave the module as it was."""
        for name in ("log", "log_dict"):
            vars(pl_module).pop(name, None)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give each process random numbers of its own, once all have drawn alike what they must have alike."""
        if trainer.global_rank:
            torch.manual_seed(mix(torch.initial_seed() % 2**32, trainer.global_rank))

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Look up the weight of this process's rows."""
        loader = trainer.train_dataloader
        batches = loader.batch_sampler if isinstance(loader, DataLoader) else loader
        share = getattr(batches, "share", None)
        self._weight = 1.0 if share is None else share(batch_idx)

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Scale the loss, and with it its gradient."""
        if self._weight != 1.0:
            loss.mul_(self._weight)


def shared(loader: Any, trainer: pl.Trainer) -> Any:
    """Let a DataLoader load this process's rows of each of its batches.

    Others stay as they are: our own batches know their share, a DistributedSampler has seen to it, and of an
    IterableDataset every process takes all batches.

    Args:
        loader: What a module or DataModule returned.
        trainer: The Trainer, in its process.

    Returns:
        The loader.
    """
    if (
        isinstance(loader, DataLoader)
        and loader.batch_sampler is not None
        and not isinstance(loader.dataset, IterableDataset)
        and not isinstance(loader.sampler, DistributedSampler)
        and not isinstance(loader.batch_sampler, SharedBatches)
    ):
        batches = SharedBatches(
            loader.batch_sampler, trainer.global_rank, trainer.world_size, trainer.strategy.broadcast
        )
        vars(loader)["batch_sampler"] = batches  # torch forbids it, for the sake of arguments that do not fit together
    return loader
