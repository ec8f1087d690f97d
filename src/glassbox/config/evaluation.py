"""The main of scripts/evaluate.py: a run's test numbers again from its checkpoint, or predictions for new rows."""

import argparse
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glassbox.config.place import keep_caches_inside
from glassbox.config.plain import resolved
from glassbox.config.rerun import recorded_config
from glassbox.config.terminal import exit_with
from glassbox.errors import BadInput
from glassbox.tracking.record import Record

if TYPE_CHECKING:
    import torch


def main() -> None:
    """Run scripts/evaluate.py."""
    args = _parser().parse_args()
    keep_caches_inside()
    exit_with(lambda: predict(args.run, args.predict, args.out) if args.predict or args.out else evaluate(args.run))


@dataclass(frozen=True)
class Comparison:
    """One test metric: as recorded, and as computed again from the checkpoint.

    Attributes:
        key: The metric key.
        recorded: What run.json says; None if it says nothing.
        again: What the checkpoint gives now.
    """

    key: str
    recorded: float | None
    again: float

    @property
    def equal(self) -> bool:
        """Whether they are the same number, up to the rounding of another device or number of threads."""
        return self.recorded is not None and math.isclose(self.recorded, self.again, rel_tol=1e-5, abs_tol=1e-6)


def recomputed(folder: Path) -> list[Comparison]:
    """Compute the test metrics of a run again from its best checkpoint.

    Args:
        folder: The run folder.

    Returns:
        One comparison per metric.

    Raises:
        BadInput: The folder is no run, has no checkpoint, or its data are gone.
    """
    from glassbox.config.job import prepare
    from glassbox.training.run import test_metrics
    from glassbox.training.trainer import place

    record = Record.read(folder)
    checkpoint = _checkpoint(folder)
    values = _here(resolved(recorded_config(folder)))
    job = prepare(values, {})
    if job.identity != record["identity"]:
        raise BadInput(
            f"{folder}: its data file has changed since; bring the old file back to get the recorded numbers"
        )
    place(job.trainer, folder)
    # The callback that saves checkpoints finds its folder moved; nothing is saved here.
    warnings.filterwarnings("ignore", "The dirpath has changed")
    again = test_metrics(job.trainer, job.module, job.datamodule, checkpoint)
    recorded = record.get("test") or {}
    return [Comparison(key, recorded.get(key), value) for key, value in again.items()]


def evaluate(folder: Path) -> int:
    """Print the test metrics of a run again, beside the recorded ones.

    Args:
        folder: The run folder.

    Returns:
        0 if they agree; 1 if not.
    """
    from rich.console import Console
    from rich.table import Table

    comparisons = recomputed(folder)
    table = Table("metric", "recorded", "again", "", box=None, pad_edge=False)
    for row in comparisons:
        recorded = "none" if row.recorded is None else f"{row.recorded:.6f}"
        table.add_row(row.key, recorded, f"{row.again:.6f}", "equal" if row.equal else "DIFFERS")
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print(f"\nfrom {_checkpoint(folder)}")
    return 0 if all(row.equal for row in comparisons) else 1


def predict(folder: Path, table: Path | None, out: Path | None) -> int:
    """Write a table again with the predictions of a run's best checkpoint; the training data are not needed.

    Args:
        folder: The run folder.
        table: A CSV with the raw features, in any order, among other columns.
        out: The CSV to write: the table and its predictions.

    Returns:
        0.

    Raises:
        BadInput: The folder is no run, or a feature is missing or not a number.
    """
    if table is None or out is None:
        raise BadInput("--predict FILE.csv and --out FILE.csv go together")
    import pandas as pd
    import torch

    from glassbox.data.csv import read_frame
    from glassbox.data.predict import Preprocessing
    from glassbox.training.checkpoint import load
    from glassbox.training.trainer import Module

    checkpoint = _checkpoint(folder)
    saved = load(checkpoint)
    state = saved.get("TableModule")
    if state is None:
        raise BadInput(f"{checkpoint}: it was trained with a DataModule of your own, which has to predict itself")
    preprocessing = Preprocessing.from_state(state)
    frame = read_frame(table)
    net = _net(resolved(recorded_config(folder)), preprocessing)
    weights = saved["state_dict"]
    if not isinstance(net, Module):  # what SupervisedModule wraps is its `net`
        weights = {key.removeprefix("net."): value for key, value in weights.items()}
    net.load_state_dict(weights)
    net.eval()
    dtype = next(net.parameters()).dtype
    with torch.no_grad():
        output = net(preprocessing.transform(table, frame).to(dtype))
    predicted = pd.concat([frame, preprocessing.decode(output)], axis=1)
    try:
        predicted.to_csv(out, index=False)
    except OSError as error:
        raise BadInput(f"Cannot write {out}: {error.strerror}") from error
    print(f"{len(predicted)} rows with their predictions: {out}")
    return 0


def _net(values: Mapping[str, Any], preprocessing: Any) -> "torch.nn.Module":
    """Build a run's net without its data."""
    from glassbox.config.build import build, check_targets

    check_targets(values)
    net: torch.nn.Module = build(
        "model",
        values["model"],
        in_features=preprocessing.in_features,
        out_features=preprocessing.out_features,
    )
    return net.double() if values["trainer"].get("precision") == "64-true" else net


def _here(values: dict[str, Any]) -> dict[str, Any]:
    """Change a run's config to one device of this machine, and no logger."""
    trainer = values["trainer"] | {"accelerator": "auto", "devices": 1, "strategy": "auto", "profiler": None}
    return values | {"trainer": trainer, "logger": {"_target_": None}}


def _checkpoint(folder: Path) -> Path:
    from glassbox.training.run import best_checkpoint

    Record.read(folder)
    path = best_checkpoint(folder)
    if path is None:
        raise BadInput(f"{folder}: it has no checkpoint (callbacks=none keeps none)")
    return path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evaluate.py",
        description="The recorded test numbers of a run again, from its checkpoint; or predictions.",
    )
    parser.add_argument("run", type=Path, help="a run folder, outputs/<study>/<run>")
    parser.add_argument("--predict", type=Path, metavar="CSV", help="a table with the raw features")
    parser.add_argument("--out", type=Path, metavar="CSV", help="where the table goes, with its predictions")
    return parser
