"""From a checked config to one job: everything built, nothing written yet; then the job done, in its run folder."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glassbox.config.build import build, call, check_targets, find
from glassbox.config.plain import to_yaml
from glassbox.config.schema import check, did_you_mean
from glassbox.errors import BadInput
from glassbox.sweep.identity import identity
from glassbox.tracking.keys import monitored

# Accelerator → the name under which Lightning knows it.
MISSING = {"gpu": "cuda", "cuda": "cuda", "mps": "mps", "tpu": "tpu"}

if TYPE_CHECKING:
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
    module = build_module(values, datamodule)
    curves = Curves()
    trainer = build_trainer(values, curves)
    return Job(values, config, identity(values, digest), datamodule, module, trainer, curves)


def execute(
    job: Job,
    folder: Path,
    *,
    root: Path,
    overrides: Sequence[str],
    hydra: Mapping[str, Any],
    command: Sequence[str],
) -> "Outcome":
    """Do a job in its run folder.

    Args:
        job: What `prepare` returned.
        folder: The run folder.
        root: The project's folder.
        overrides: The overrides that led to the config.
        hydra: Hydra's own config.
        command: The command, word by word.

    Returns:
        How the run ended.
    """
    from glassbox.tracking.record import Record
    from glassbox.tracking.secret import mask_command
    from glassbox.training.run import run
    from glassbox.training.trainer import place, seed_all

    values = job.values
    record = Record.create(
        folder,
        study=values["study"],
        name=folder.name,
        identity=job.identity,
        files={
            ".hydra/config.yaml": to_yaml(job.config),
            ".hydra/overrides.yaml": to_yaml(mask_command(overrides)),
            ".hydra/hydra.yaml": to_yaml(hydra),
        },
        command=list(command),
        seeds={"seed": values["seed"], "data.seed": values["data"].get("seed")},
        device=str(job.trainer.strategy.root_device),
        launcher=None,
        tags=job.config["tags"],
        notes=job.config["notes"],
        root=root,
        wandb_run_id=folder.name if str(values["logger"].get("_target_")).endswith("WandbRun") else None,
    )
    try:
        trackers = start_trackers(job, folder)
    except Exception as error:
        record.finish("failed", reason=" ".join(str(error).split()), exit_code=getattr(error, "exit_code", 1))
        raise
    job.curves.trackers = list(trackers)
    job.curves.beat = record.beat
    place(job.trainer, folder)
    seed_all(values["seed"])
    return run(job.trainer, job.module, job.datamodule, job.curves, record, trackers)


def build_datamodule(values: Mapping[str, Any]) -> "DataModule":
    """Build the data that `data` names: a table, split and cut into batches, or a DataModule of the user's own.

    Args:
        values: The config with every interpolation resolved.

    Raises:
        BadInput: The data cannot be read or does not fit the loss or the batch size.
    """
    import torch

    from glassbox.data.module import TableModule
    from glassbox.data.table import Table

    node = dict(values["data"])
    split, seed = node.pop("split", None), node.pop("seed", 0)
    made = build("data", node, seed=seed, batch_size=values["batch_size"])
    if not isinstance(made, Table):
        if made is None:
            raise BadInput("data has no `_target_`: choose data=NAME")
        return made  # type: ignore[no-any-return]
    return TableModule(
        made,
        task=values["loss"]["task"],
        split=tuple(split or (0.6, 0.2, 0.2)),
        seed=seed,
        batch_size=values["batch_size"],
        order_seed=values["seed"],
        dtype=torch.float64 if values["trainer"].get("precision") == "64-true" else torch.float32,
    )


def build_module(values: Mapping[str, Any], datamodule: "DataModule") -> "Module":
    """Build the net and wrap it with its loss and optimizer; a LightningModule of the user's own stays as it is.

    Args:
        values: The config with every interpolation resolved.
        datamodule: It knows the number of inputs and outputs.

    Raises:
        BadInput: The net, its loss, optimizer or scheduler refuses its arguments.
    """
    from glassbox.init.apply import apply
    from glassbox.training.module import SupervisedModule
    from glassbox.training.trainer import Module

    sizes = {name: getattr(datamodule, name) for name in ("in_features", "out_features") if hasattr(datamodule, name)}
    for name, size in sizes.items():
        if values["model"].get(name, size) != size:
            raise BadInput(f"model.{name}={values['model'][name]}: the data has {size}; leave it out")
    net = build("model", values["model"], **sizes)
    if net is None:
        raise BadInput("model has no `_target_`: choose model=NAME")
    initialise = build("init", values["init"])
    if initialise is not None:
        call("init", apply, net, initialise, values["seed"])
    if isinstance(net, Module):
        return net
    loss = dict(values["loss"])
    task = loss.pop("task")
    optimizer = build("optimizer", values["optimizer"])
    trial = call("optimizer", optimizer, net.parameters())
    scheduler, interval, monitor = _scheduler(values, datamodule)
    if scheduler is not None:
        call("scheduler", scheduler, trial)
    return SupervisedModule(
        net,
        build("loss", loss),
        optimizer,
        scheduler,
        interval=interval,
        monitor=monitor,
        task=task,
        classes=sizes.get("out_features", 2),
        target_scale=getattr(datamodule, "target_scale", 1.0),
        hparams={key: values[key] for key in ("lr", "seed", "max_epochs", "batch_size")},
    )


def build_trainer(values: Mapping[str, Any], curves: "Curves") -> "Trainer":
    """Build the Trainer with our callbacks and checkpoints; nothing is written before its folder is known.

    Args:
        values: The config with every interpolation resolved.
        curves: The callback that writes the curves.

    Raises:
        BadInput: The device is not there, or the Trainer refuses its arguments.
    """
    from glassbox.training.trainer import has_accelerator, options, starts_the_script_again

    node, nodes = values["trainer"], values["callbacks"] or {}
    callbacks = [build("callbacks", nodes[name], where=f"callbacks.{name}") for name in nodes]
    callbacks = [callback for callback in callbacks if callback is not None]
    if node.get("limit_val_batches") == 0 and values["monitor"].startswith("val/"):
        for name, callback in zip(nodes, callbacks, strict=False):
            if getattr(callback, "monitor", None) == values["monitor"]:
                raise BadInput(
                    f"trainer.limit_val_batches=0 leaves no {values['monitor']} for callbacks.{name}: "
                    "add monitor=train/loss or callbacks=none"
                )
    device = node.get("accelerator")
    if device in MISSING and not has_accelerator(MISSING[device]):
        raise BadInput(f"trainer.accelerator={device}: this machine has none that torch can use; use trainer=auto")
    ours = options(curves, callbacks, node.get("profiler"))
    trainer: Trainer = build("trainer", {key: node[key] for key in node if key not in ours}, **ours)
    if starts_the_script_again(trainer):
        raise BadInput(f"trainer.devices={node.get('devices')}: several devices need trainer=ddp")
    return trainer


def check_monitors(values: Mapping[str, Any]) -> None:
    """Check that what is monitored will be logged; a LightningModule of the user's own may log what it likes.

    Args:
        values: The config with every interpolation resolved.

    Raises:
        BadInput: There is no such metric.
    """
    if not str(values["model"].get("_target_")).startswith("glassbox."):
        return
    known = monitored(values["loss"]["task"])
    nodes = {"": values, "scheduler.": values["scheduler"] or {}}
    nodes |= {f"callbacks.{name}.": node or {} for name, node in (values["callbacks"] or {}).items()}
    for place, node in nodes.items():
        key = node.get("monitor")
        if key is not None and key not in known:
            near = did_you_mean(str(key), known)
            raise BadInput(f"{place}monitor={key}: no such metric{near} (there are {', '.join(known)})")


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


def start_trackers(job: Job, folder: Path) -> list["Tracker"]:
    """Start those who follow a run; every logger but `none` also writes metrics.csv.

    Args:
        job: The job.
        folder: The run folder.
    """
    from glassbox.tracking.metrics_csv import MetricsCsv

    node = job.values["logger"]
    if node.get("_target_") is None:
        return []
    trackers: list[Tracker] = [MetricsCsv(folder)]
    tracker = build("logger", node, folder=folder)
    if not isinstance(tracker, MetricsCsv):
        tracker.start(
            name=folder.name,
            study=job.values["study"],
            config=job.config,
            tags=job.config["tags"],
            notes=job.config["notes"],
        )
        job.trainer.logger.attach(tracker.experiment)  # type: ignore[union-attr]
        trackers.append(tracker)
    return trackers


def _scheduler(values: Mapping[str, Any], datamodule: "DataModule") -> tuple[Any, str, str]:
    """Return (scheduler or None, interval, monitor); `total_steps: auto` becomes the number of optimizer steps."""
    node = dict(values["scheduler"] or {})
    interval, monitor = node.pop("interval", "epoch"), node.pop("monitor", values["monitor"])
    if node.get("total_steps") == "auto":
        batches = len(datamodule.train_dataloader())
        node["total_steps"] = values["max_epochs"] * -(-batches // values["trainer"].get("accumulate_grad_batches", 1))
    return build("scheduler", node), interval, monitor
