"""A run with a W&B file, without training it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glassbox.config.plain import to_yaml
from glassbox.tracking.identity import with_choice
from glassbox.tracking.keys import at_best
from glassbox.tracking.metrics_csv import MetricsCsv
from glassbox.tracking.record import Record
from glassbox.tracking.wandb_run import WandbRun


@pytest.fixture
def tracked(write_run: Callable[..., Path]) -> Callable[..., Path]:
    """Give a function that writes the folder of a run and its W&B files; `parts` are their first and last rows.

    A part that is not the last one, and each part of a run that was killed, has no end. What is older has no metrics
    of its best checkpoint.
    """

    def write(
        rows: int = 3,
        *,
        parts: list[tuple[int, int]] | None = None,
        value: float = 0.25,
        older: bool = False,
        **about: Any,
    ) -> Path:
        folder = write_run(value, **{"optimizer": "adam", "lr": 0.1, "seed": 0, **about})
        record = Record.read(folder)
        config = {"lr": 0.1, "logger": {"project": "glassbox"}, "tags": [], "notes": None}
        (folder / ".hydra").mkdir()
        (folder / ".hydra" / "config.yaml").write_text(to_yaml(config))
        curve = {epoch: {"val/loss": value + 1 / (epoch + 1), "train/loss": epoch / 3} for epoch in range(rows)}
        MetricsCsv(folder).log_all(curve, 0.0, [epoch / 7 for epoch in range(1, rows + 1)])
        parts = [(0, rows)] if parts is None else parts
        for number, (first, last) in enumerate(parts):
            run = WandbRun(folder, writer="direct")
            said = {"config": with_choice(config, record["config"]), "tags": [], "notes": None}
            run.start(name=folder.name, study=record["study"], **said, started=1e9 + number)
            for epoch in range(first, last):
                run.log(curve[epoch], epoch)
            if number < len(parts) - 1 or record["status"] == "interrupted":
                run.run._log.close()  # what the system does
                continue
            if record["status"] == "finished":
                run.summary(({} if older else at_best(record["best"])) | record["test"])
            run.close(record["exit_code"])
        return folder

    return write
