"""Faults in one of the processes, and plain Lightning that knows nothing of several."""

import logging
import os
import signal
import sys
import time

import lightning.pytorch as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Trap(Exception):
    """It can be sent, but not made again: its constructor wants more than its message."""

    def __init__(self, first, second):
        super().__init__("two numbers")


class Fault(pl.Callback):
    """Something happens in one process, in the middle of an epoch."""

    def __init__(self, rank, kind):
        self.rank, self.kind = rank, kind

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx, trainer.global_rank) != (2, 1, self.rank):
            return
        if self.kind == "raises":
            raise RuntimeError("the disk is\nfull")
        if self.kind == "traps":
            raise Trap(1, 2)
        if self.kind == "leaves":
            sys.exit(0)
        if self.kind == "hangs":
            time.sleep(3600)
        if self.kind == "logs":
            logging.getLogger("mine").warning("a word from process %d", self.rank)
            print("a printed word")
        if self.kind == "drops":
            with torch.no_grad():
                next(iter(pl_module.parameters())).fill_(float("nan"))
        os.kill(os.getpid(), {"killed": signal.SIGKILL}.get(self.kind, 0))


class Net(pl.LightningModule):
    def __init__(self, lr):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 3), nn.Tanh(), nn.Linear(3, 8))
        self.lr = lr

    def training_step(self, batch, batch_idx):
        return self._loss(batch, "train")

    def validation_step(self, batch, batch_idx):
        self._loss(batch, "val")

    def test_step(self, batch, batch_idx):
        self._loss(batch, "test")

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)

    def _loss(self, batch, stage):
        (x,) = batch
        loss = nn.functional.mse_loss(self.net(x), x)
        self.log_dict({f"{stage}/loss": loss}, on_step=False, on_epoch=True)
        return loss


class Data(pl.LightningDataModule):
    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size
        self.sets = torch.rand(600, 8, generator=torch.Generator().manual_seed(0)).split([400, 100, 100])

    def train_dataloader(self):
        return DataLoader(TensorDataset(self.sets[0]), batch_size=self.batch_size, shuffle=True, drop_last=False)

    def val_dataloader(self):
        return DataLoader(TensorDataset(self.sets[1]), batch_size=self.batch_size)

    def test_dataloader(self):
        return DataLoader(TensorDataset(self.sets[2]), batch_size=self.batch_size)
