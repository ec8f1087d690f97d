"""What the tests of replay share: recording the batches of a short run of any module."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
from torch.utils.data import DataLoader, TensorDataset

from glassbox.replay.step import Step


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., list[Step]]:
    """Return a function that trains a module on tensors and returns the recorded batches."""

    def recorded(
        module: pl.LightningModule, *tensors: Any, batches: int = 4, rows: int = 8, **options: Any
    ) -> list[Step]:
        from glassbox.training.recorder import Recorder
        from glassbox.training.trainer import NoProfiler, hush

        hush()
        steps: list[Step] = []
        trainer = pl.Trainer(
            accelerator="cpu",
            devices=1,
            logger=False,
            callbacks=[Recorder(steps.append)],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
            profiler=NoProfiler(),
            max_epochs=1,
            limit_train_batches=batches,
            **{"precision": "64-true", **options},
        )
        trainer.fit(module, DataLoader(TensorDataset(*tensors), batch_size=rows))
        return steps

    return recorded
