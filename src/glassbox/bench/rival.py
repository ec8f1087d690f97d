"""The ways that Glassbox is measured against: the lesson's loop, and Lightning as most templates use it."""

from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from glassbox.model import TinyNet

BATCH = 32
LR = 1e-2


def loader(x: Tensor, y: Tensor, *, shuffle: bool = True) -> "DataLoader[tuple[Tensor, ...]]":
    """Return an ordinary DataLoader over two tensors, [N, D] and [N, 1]."""
    return DataLoader(TensorDataset(x, y), batch_size=BATCH, shuffle=shuffle)


def raw_loop(x: Tensor, y: Tensor, epochs: int) -> nn.Module:
    """Train TinyNet as the lesson does: a DataLoader and five lines."""
    torch.manual_seed(0)
    model = TinyNet(x.shape[1])
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    model.train()
    batches = loader(x, y)
    for _ in range(epochs):
        for x_batch, y_batch in batches:
            optimizer.zero_grad()
            loss = criterion(model(x_batch), y_batch)
            loss.backward()
            optimizer.step()
    return model


def raw_run(train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor], epochs: int, folder: Path) -> nn.Module:
    """Train TinyNet by hand, validate after each epoch, and save the last and the best weights, as a run does."""
    torch.manual_seed(0)
    model = TinyNet(train[0].shape[1])
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    batches, checks = loader(*train), loader(*val, shuffle=False)
    best = float("inf")
    for epoch in range(epochs):
        model.train()
        for x_batch, y_batch in batches:
            optimizer.zero_grad()
            loss = criterion(model(x_batch), y_batch)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            total = sum(float(criterion(model(x_batch), y_batch)) * len(x_batch) for x_batch, y_batch in checks)
        state = {"epoch": epoch, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(state, folder / "last.pt")
        if total < best:
            best = total
            torch.save(state, folder / "best.pt")
    return model


class PlainModule(pl.LightningModule):
    """TinyNet in Lightning as most templates write it: the loss is logged at every step."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.model = TinyNet(in_features)
        self.criterion = nn.BCEWithLogitsLoss()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of one batch, and log it."""
        x, y = batch
        loss: Tensor = self.criterion(self.model(x), y)
        self.log("train/loss", loss, on_step=True, on_epoch=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=LR)


def plain_lightning(x: Tensor, y: Tensor, epochs: int, folder: Path) -> Callable[[], None]:
    """Return the training of the plain module: a DataLoader and Lightning's CSV logger, without bar and checkpoints."""
    torch.manual_seed(0)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=1,
        logger=CSVLogger(folder),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module, batches = PlainModule(x.shape[1]), loader(x, y)
    return lambda: trainer.fit(module, batches)
