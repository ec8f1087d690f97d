"""The run folder of a member: what its run alone would have left there, from what came of it in a population."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from glassbox.data.module import TableModule
from glassbox.population.checkpoint import optimizer_state
from glassbox.population.member import Cohort, Member, Snapshot, Trained
from glassbox.tracking.keys import at_best
from glassbox.tracking.tracker import Tracker
from glassbox.training.checkpoint import AtomicCheckpointIO
from glassbox.training.module import SupervisedModule
from glassbox.training.picture import draw_boundary
from glassbox.training.run import DIVERGED, Outcome

LIGHTNING = version("lightning")


def write_run(
    folder: Path,
    trained: Trained,
    cohort: Cohort,
    member: Member,
    datamodule: TableModule,
    trackers: Sequence[Tracker],
    *,
    hparams: Mapping[str, Any],
    began: float,
    times: Sequence[float],
    kept: Sequence[str],
    picture: bool,
) -> Outcome:
    """Write curves, checkpoints, boundary and test metrics of a member, without waiting for the disk; not its record.

    Args:
        folder: The folder of its run.
        trained: What came of it.
        cohort: Its cohort.
        member: What it has of its own.
        datamodule: What it was trained on.
        trackers: Who follows its run.
        hparams: Plain values to keep in its checkpoints.
        began: When its chunk began to train, in seconds of the Unix clock.
        times: When each epoch of the chunk was over.
        kept: The checkpoints to keep, `best` and `last`.
        picture: Whether the boundary is drawn.

    Returns:
        How it ended.
    """
    (folder / "train.log").write_text(
        f"Trained together with others of its kind; {folder.parent.name}/population.json says with which.\n"
    )
    for tracker in trackers:
        tracker.log_all(trained.rows, began, times)
    for name in kept:
        snapshot = trained.best if name == "best" else trained.last
        assert snapshot is not None
        checkpoint = _checkpoint(cohort, member, snapshot, hparams, datamodule)
        AtomicCheckpointIO(sync=False).save_checkpoint(checkpoint, folder / "checkpoints" / f"{name}.ckpt")
    judged = trained.best or trained.last
    best = {"epoch": judged.epoch, **trained.rows[judged.epoch]}
    took = times[len(trained.rows) - 1] - began
    if trained.status == "diverged":
        return Outcome("diverged", DIVERGED, trained.reason, best, seconds=took)
    module = SupervisedModule(
        cohort.net, cohort.loss, cohort.optimizer, task=cohort.task, target_scale=cohort.target_scale
    )
    test = _test(module, datamodule, judged)
    for tracker in trackers:
        tracker.summary(at_best(best) | test)
    draw_boundary(folder, module, datamodule, trackers, picture=picture, logits=trained.logits)
    return Outcome("finished", 0, None, best, test, took)


def _checkpoint(
    cohort: Cohort, member: Member, snapshot: Snapshot, hparams: Mapping[str, Any], datamodule: TableModule
) -> dict[str, Any]:
    """Return a checkpoint as Lightning makes it, but for the counters of its loops and the state of callbacks."""
    return {
        "epoch": snapshot.epoch,
        "global_step": (snapshot.epoch + 1) * len(datamodule.train_dataloader()),
        "pytorch-lightning_version": LIGHTNING,
        "state_dict": {f"net.{name}": weight for name, weight in snapshot.weights.items()},
        "optimizer_states": [optimizer_state(cohort, member, snapshot)],
        "lr_schedulers": [],
        "hparams_name": "hparams",
        "hyper_parameters": dict(hparams),
        type(datamodule).__qualname__: datamodule.state_dict(),
    }


def _test(module: SupervisedModule, datamodule: TableModule, snapshot: Snapshot) -> dict[str, float]:
    """Return the test metrics of a snapshot, by the very code that computes them again from its checkpoint."""
    module.to(next(iter(snapshot.weights.values())).dtype)
    module.net.load_state_dict(snapshot.weights)
    module.eval()
    with torch.no_grad():
        for number, (x, y) in enumerate(datamodule.test_dataloader()):
            module.test_step((x, y), number)
    return {f"test/{name}": float(value) for name, value in module.test_metrics.compute().items()}
