"""From a checked config to one job: everything built, nothing written yet; then the job done, in its run folder."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glassbox.config.build import build, check_targets, find
from glassbox.config.part import build_datamodule, build_module, build_trainer, check_sharing
from glassbox.config.plain import to_yaml
from glassbox.config.schema import check, check_monitors
from glassbox.process import collect_as_usual, ending
from glassbox.tracking.identity import identity, stated, with_choice

if TYPE_CHECKING:
    from glassbox.tracking.record import Record
    from glassbox.tracking.tracker import Tracker
    from glassbox.training.curves import Curves
    from glassbox.training.run import Outcome
    from glassbox.training.trainer import DataModule, Module, Trainer


@dataclass
class Job:
    """One run, ready to start.

    Attributes:
        values: The config with every interpolation resolved; never written down.
        config: The config as it may be written down.
        identity: The hash of what determines the run's numbers.
        datamodule: What it trains on.
        module: What it trains.
        trainer: What trains it.
        curves: The callback that writes the curves; it has no trackers yet.
    """

    values: Mapping[str, Any]
    config: Mapping[str, Any]
    identity: str
    datamodule: "DataModule"
    module: "Module"
    trainer: "Trainer"
    curves: "Curves"


def prepare(values: Mapping[str, Any], config: Mapping[str, Any]) -> Job:
    """Check a config and build everything that it names, without writing anything.

    Args:
        values: The config with every interpolation resolved.
        config: The config as it may be written down.

    Returns:
        The job.

    Raises:
        BadInput: A value, a target, the data or the device does not fit.
    """
    check(values)
    check_targets(values)
    check_monitors(values)
    digest = data_digest(values)
    check_logger(values["logger"])
    from glassbox.training.curves import Curves
    from glassbox.training.trainer import hush, seed_all

    hush()
    seed_all(values["seed"])
    datamodule = build_datamodule(values)
    seed_all(values["seed"])  # again: whatever the data drew, the net begins the same
    module = build_module(values, datamodule)
    curves = Curves()
    trainer = build_trainer(values, curves)
    check_sharing(trainer, module, datamodule, values["batch_size"], values["trainer"].get("devices"))
    return Job(values, config, identity(values, digest), datamodule, module, trainer, curves)


def open_record(
    values: Mapping[str, Any],
    config: Mapping[str, Any],
    identity: str,
    folder: Path,
    *,
    root: Path,
    overrides: Sequence[str],
    hydra: Mapping[str, Any],
    command: Sequence[str],
    launcher: str | None = None,
    number: int | None = None,
    sync: bool = True,
    **more: Any,
) -> "Record":
    """Write the record of a job that begins now, and its config.

    Args:
        values: The config with every interpolation resolved.
        config: The config as it may be written down.
        identity: The hash of what determines the run's numbers.
        folder: The run folder.
        root: The project's folder.
        overrides: The overrides that led to the config.
        hydra: Hydra's own config; empty where a job is not Hydra's.
        command: The command, word by word.
        launcher: What started it in a multirun.
        number: Its number there.
        sync: Whether each of its files is on the disk at once.
        **more: More fields of the record.
    """
    from glassbox.tracking.record import Record
    from glassbox.tracking.secret import mask_command
    from glassbox.tracking.wandb_run import is_wandb, run_id

    return Record.create(
        folder,
        study=values["study"],
        name=folder.name,
        identity=identity,
        config=stated(config, _choices(config, hydra), data_digest(values)),
        files={
            ".hydra/config.yaml": to_yaml(config),
            ".hydra/overrides.yaml": to_yaml(mask_command(overrides)),
            ".hydra/hydra.yaml": to_yaml(hydra),
        },
        command=list(command),
        seeds={"seed": values["seed"], "data.seed": values["data"].get("seed")},
        device=None,
        launcher=launcher,
        number=number,
        sync=sync,
        tags=config["tags"],
        notes=config["notes"],
        root=root,
        wandb_run_id=run_id(folder) if is_wandb(values["logger"]) else None,
        **more,
    )


def _choices(config: Mapping[str, Any], hydra: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return config group → option; those of a rerun are those of the run that it repeats."""
    if config.get("rerun") is None:
        choices: Mapping[str, Any] = hydra["hydra"]["runtime"]["choices"] if hydra else {}
        return choices
    from glassbox.tracking.record import Record

    return Record.read(Path(config["rerun"]))["config"]  # type: ignore[no-any-return]


@contextmanager
def recorded(record: "Record") -> Iterator[None]:
    """Write into a record what ends its run before the training, which tells its own end.

    Args:
        record: What `open_record` returned.

    Raises:
        BaseException: Whatever ended the run.
    """
    try:
        yield
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        if record.fields["status"] == "running":
            status, exit_code, reason = ending(error)
            record.finish(status, reason=reason, exit_code=exit_code)
        raise


def execute(job: Job, record: "Record", prune: Callable[[int, float], bool] | None = None) -> "Outcome":
    """Do a job in its run folder.

    Args:
        job: What `prepare` returned.
        record: What `open_record` returned.
        prune: Told the number of epochs done and the monitored value, it says whether to end the run early.

    Returns:
        How the run ended.
    """
    from glassbox.training.run import run
    from glassbox.training.trainer import place, seed_all

    collect_as_usual()
    record.update(device=str(job.trainer.strategy.root_device))
    trackers = start_trackers(job.values, with_choice(job.config, record.fields["config"]), record.folder)
    job.trainer.logger.attach(getattr(trackers[-1], "experiment", None) if trackers else None)  # type: ignore[union-attr]
    job.curves.trackers = list(trackers)
    job.curves.beat = record.beat
    job.curves.prune, job.curves.monitor = prune, job.values["monitor"]
    place(job.trainer, record.folder)
    seed_all(job.values["seed"])
    picture = draws(job.values, record)
    return run(job.trainer, job.module, job.datamodule, job.curves, record, trackers, picture=picture)


def draws(values: Mapping[str, Any], record: "Record") -> bool:
    """Return whether the picture of a run is drawn: as `pictures` says, else where the run is not one of a sweep.

    Args:
        values: The config with every interpolation resolved.
        record: What `open_record` returned.
    """
    wanted: bool | None = values.get("pictures")
    return record.fields["number"] is None if wanted is None else wanted


def check_logger(node: Mapping[str, Any]) -> None:
    """Check that a logger can be started: a key where one is needed, the package where it is an extra.

    Raises:
        BadInput: It cannot.
    """
    if node.get("_target_") is not None:
        kind = find("logger", node["_target_"])
        kind.check(**{key: value for key, value in node.items() if key[0] != "_"})  # type: ignore[attr-defined]


def data_digest(values: Mapping[str, Any]) -> str | None:
    """Return the SHA-256 of the data file, where `data` has a path; a missing file is told by its reader.

    Args:
        values: The config with every interpolation resolved.
    """
    path = values["data"].get("path")
    if path is None or not Path(path).is_file():
        return None
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def start_trackers(
    values: Mapping[str, Any], config: Mapping[str, Any], folder: Path, started: float | None = None
) -> list["Tracker"]:
    """Start those who follow a run; every logger but `none` also writes metrics.csv, which is the first of them.

    Args:
        values: The config with every interpolation resolved.
        config: The config as it may be written down.
        folder: The run folder.
        started: When the run began, in seconds of the Unix clock; by default now.
    """
    from glassbox.tracking.metrics_csv import MetricsCsv

    node = values["logger"]
    if node.get("_target_") is None:
        return []
    trackers: list[Tracker] = [MetricsCsv(folder)]
    tracker = build("logger", node, folder=folder)
    if not isinstance(tracker, MetricsCsv):
        tracker.start(
            name=folder.name,
            study=values["study"],
            config=config,
            tags=config["tags"],
            notes=config["notes"],
            started=started,
        )
        trackers.append(tracker)
    return trackers
