"""The DataModule of a table: split, standardised, on the device, in batches."""

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from glassbox.data.batches import TensorBatches
from glassbox.data.sampler import EpochSampler
from glassbox.data.split import bins, stratified
from glassbox.data.table import Table
from glassbox.data.target import encode
from glassbox.errors import BadInput


class TableModule(pl.LightningDataModule):
    """A table as train, validation and test batches.

    Everything is checked and computed when it is made. What prediction on raw rows needs travels in the checkpoint.

    Args:
        table: The table.
        task: `binary`, `multiclass` or `regression`.
        split: Shares of training, validation and test rows.
        seed: Seed of the split.
        batch_size: Rows B of a batch.
        order_seed: Seed of the order of the training rows.
        dtype: Type of features and numeric targets.

    Attributes:
        rows: Part (`train`, `val`, `test`) → row numbers in the table.
        mean: Means of the features over the training rows [D].
        std: Standard deviations of the features over the training rows [D]; 1 for a constant feature.
        target_scale: One unit of the encoded target in the target's own units.
        in_features: D.
        out_features: Outputs C of a net for the target.

    Raises:
        BadInput: The target does not fit the task, a part is empty, or a batch is larger than the training rows.

    Example:
        >>> table = Table(np.arange(10.0).reshape(10, 1), ("x",), np.arange(10) % 2, "is odd", ("no", "yes"))
        >>> module = TableModule(table, task="binary", split=(0.6, 0.2, 0.2), batch_size=4)
        >>> [len(features) for features, target in module.train_dataloader()]
        [4, 2]
        >>> module.standardize(torch.from_numpy(module.mean)).tolist()
        [0.0]
    """

    def __init__(
        self,
        table: Table,
        *,
        task: str,
        split: tuple[float, float, float] = (0.6, 0.2, 0.2),
        seed: int = 0,
        batch_size: int = 32,
        order_seed: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.table = table
        self.task = task
        self.batch_size = batch_size
        strata = table.target if table.classes is not None else bins(table.target)
        self.rows = dict(zip(("train", "val", "test"), stratified(strata, split, seed), strict=True))
        train = self.rows["train"]
        if batch_size > len(train):
            raise BadInput(
                f"batch_size={batch_size}: larger than the {len(train)} training rows; use {len(train)} or less"
            )
        self.mean = table.features[train].mean(axis=0)
        std = table.features[train].std(axis=0)
        self.std = np.where(std > 1e-12 * np.maximum(np.abs(self.mean), 1e-300), std, 1.0)
        self.target = encode(table, task, train, dtype)
        self.target_scale = self.target.scale
        self.in_features = len(table.feature_names)
        self.out_features = self.target.outputs
        self._features = self.standardize(torch.from_numpy(table.features)).to(dtype)
        self._sampler = EpochSampler(len(train), order_seed)

    def standardize(self, raw: Tensor) -> Tensor:
        """Return raw features [M, D] as the net sees them, in float64.

        Args:
            raw: Raw features.
        """
        return (raw.double() - torch.from_numpy(self.mean)) / torch.from_numpy(self.std)

    def train_dataloader(self) -> TensorBatches:
        """Return the training batches, in an order of (seed, epoch); the same batches always, to overfit on some."""
        if self.trainer and self.trainer.overfit_batches:  # type: ignore[attr-defined]
            return self._batches("train")
        return self._batches("train", lambda: self._sampler.order(self.trainer.current_epoch if self.trainer else 0))

    def val_dataloader(self) -> TensorBatches:
        """Return the validation batches."""
        return self._batches("val")

    def test_dataloader(self) -> TensorBatches:
        """Return the test batches."""
        return self._batches("test")

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Return the batch as it is: it has been cut on the device."""
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Return what prediction on raw rows needs: tensors, numbers and text."""
        return {
            "task": self.task,
            "mean": torch.from_numpy(self.mean),
            "std": torch.from_numpy(self.std),
            "feature_names": list(self.table.feature_names),
            "classes": list(self.table.classes) if self.table.classes is not None else None,
            "target_name": self.table.target_name,
            "target_mean": self.target.mean,
            "target_scale": self.target.scale,
            "out_features": self.out_features,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Check that a checkpoint was trained on the same standardisation.

        Raises:
            BadInput: It was trained on other rows.
        """
        same = state_dict["feature_names"] == list(self.table.feature_names)
        if not same or not torch.equal(state_dict["mean"], torch.from_numpy(self.mean)):
            raise BadInput("The checkpoint was trained on other rows or features than the data that are loaded now")

    def _batches(self, part: str, order: Callable[[], Tensor] | None = None) -> TensorBatches:
        trainer = self.trainer
        device = trainer.strategy.root_device if trainer else torch.device("cpu")
        rank, world = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        rows = torch.from_numpy(self.rows[part])
        tensors = (self._features[rows].to(device), self.target.values[rows].to(device))
        return TensorBatches(tensors, self.batch_size, order, rank, world)
