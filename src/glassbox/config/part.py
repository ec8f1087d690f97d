"""The three parts of a job, built from a checked config: its data, its module, its Trainer."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from glassbox.config.build import build, call
from glassbox.errors import BadInput

if TYPE_CHECKING:
    import torch

    from glassbox.training.curves import Curves
    from glassbox.training.trainer import DataModule, Module, Trainer

# Accelerator → the name under which Lightning knows it.
ACCELERATORS = {"gpu": "cuda", "cuda": "cuda", "mps": "mps", "tpu": "tpu"}


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
    from glassbox.training.module import SupervisedModule
    from glassbox.training.trainer import Module

    net = build_net(values, datamodule)
    if isinstance(net, Module):
        return net
    _check_batch_norm(net, datamodule, values["batch_size"])
    optimizer, scheduler, interval, monitor = build_updates(values, net, datamodule)
    loss = dict(values["loss"])
    task = loss.pop("task")
    return SupervisedModule(
        net,
        build("loss", loss),
        optimizer,
        scheduler,
        interval=interval,
        monitor=monitor,
        task=task,
        target_scale=getattr(datamodule, "target_scale", 1.0),
        hparams=hparams(values),
    )


def build_net(values: Mapping[str, Any], datamodule: "DataModule") -> "torch.nn.Module":
    """Build the net and initialise it; what torch draws comes from its own generator, which the caller seeds.

    Args:
        values: The config with every interpolation resolved.
        datamodule: It knows the number of inputs and outputs.

    Raises:
        BadInput: The net or its initialiser refuses its arguments.
    """
    from glassbox.init.apply import apply

    sizes = {name: getattr(datamodule, name) for name in ("in_features", "out_features") if hasattr(datamodule, name)}
    for name, size in sizes.items():
        if values["model"].get(name, size) != size:
            raise BadInput(f"model.{name}={values['model'][name]}: the data has {size}; leave it out")
    net: torch.nn.Module | None = build("model", values["model"], **sizes)
    if net is None:
        raise BadInput("model has no `_target_`: choose model=NAME")
    initialise = build("init", values["init"])
    if initialise is not None:
        call("init", apply, net, initialise, values["seed"])
    return net


def build_updates(values: Mapping[str, Any], net: "torch.nn.Module", datamodule: "DataModule") -> tuple[Any, ...]:
    """Return (optimizer, scheduler or None, interval, monitor); each has been tried on the net once.

    Args:
        values: The config with every interpolation resolved.
        net: The net.
        datamodule: It knows the number of batches.

    Raises:
        BadInput: The optimizer or the scheduler refuses its arguments.
    """
    optimizer = build("optimizer", values["optimizer"])
    trial = call("optimizer", optimizer, net.parameters())
    scheduler, interval, monitor = _scheduler(values, datamodule)
    if scheduler is not None:
        call("scheduler", scheduler, trial)
    return optimizer, scheduler, interval, monitor


def hparams(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain values that a checkpoint keeps.

    Args:
        values: The config with every interpolation resolved.
    """
    return {key: values[key] for key in ("lr", "seed", "max_epochs", "batch_size")}


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
    if device in ACCELERATORS and not has_accelerator(ACCELERATORS[device]):
        raise BadInput(f"trainer.accelerator={device}: this machine has none that torch can use; use trainer=auto")
    ours = options(curves, callbacks, node.get("profiler"))
    trainer: Trainer = build("trainer", {key: node[key] for key in node if key not in ours}, **ours)
    if trainer.num_nodes > 1:
        raise BadInput(f"trainer.num_nodes={trainer.num_nodes}: a run is on one machine; leave it out")
    if starts_the_script_again(trainer):
        if node.get("strategy", "auto") == "auto":
            raise BadInput(f"trainer.devices={node.get('devices')}: several devices need trainer=ddp")
        raise BadInput(f"trainer.strategy={node['strategy']}: it runs the command again on each device; use ddp_spawn")
    return trainer


def check_sharing(
    trainer: "Trainer", module: "Module", datamodule: "DataModule", batch_size: int, devices: Any
) -> None:
    """Check that several processes can make the steps that one process makes.

    Args:
        trainer: The Trainer.
        module: What it trains.
        datamodule: What it trains on.
        batch_size: Rows of a batch over all processes.
        devices: What the config says of devices.

    Raises:
        BadInput: They cannot.
    """
    from torch.nn.modules.batchnorm import _BatchNorm

    from glassbox.data.module import TableModule
    from glassbox.training.module import SupervisedModule

    world = trainer.world_size
    if world == 1:
        return
    where = f"trainer.devices={devices}"
    if batch_size < world:
        raise BadInput(f"{where}: more than the rows of a batch, batch_size={batch_size}; use {batch_size} or fewer")
    if trainer.strategy.root_device.type == "cpu" and any(isinstance(part, _BatchNorm) for part in module.modules()):
        raise BadInput(f"{where}: on CPUs batch_norm would see each process's rows alone; use trainer.devices=1")
    if isinstance(module, SupervisedModule) or not isinstance(datamodule, TableModule):
        return
    for part, rows in datamodule.rows.items():
        if 0 < len(rows) % batch_size < world:
            raise BadInput(
                f"{where}: the last of the {part} batches has {len(rows) % batch_size} rows, too few for each to get "
                "one, as a module of your own needs; use another batch_size"
            )


def _check_batch_norm(net: "torch.nn.Module", datamodule: "DataModule", batch_size: int) -> None:
    """Refuse a last batch of one row under batch normalisation: one row has no variance."""
    from torch.nn.modules.batchnorm import _BatchNorm

    from glassbox.data.module import TableModule

    if not isinstance(datamodule, TableModule) or not any(isinstance(layer, _BatchNorm) for layer in net.modules()):
        return
    rows = len(datamodule.rows["train"])
    fitting = [size for size in range(2, rows + 1) if rows % size != 1]
    if batch_size not in fitting:
        better = next((size for size in fitting if size > batch_size), "2 or more, and more rows")
        raise BadInput(
            f"batch_size={batch_size}: {rows} training rows leave a batch of one, which batch_norm cannot normalise; "
            f"use batch_size={better}"
        )


def _scheduler(values: Mapping[str, Any], datamodule: "DataModule") -> tuple[Any, str, str]:
    """Return (scheduler or None, interval, monitor); `total_steps: auto` becomes the number of optimizer steps."""
    node = dict(values["scheduler"] or {})
    interval, monitor = node.pop("interval", "epoch"), node.pop("monitor", values["monitor"])
    if node.get("total_steps") == "auto":
        batches = len(datamodule.train_dataloader())
        node["total_steps"] = values["max_epochs"] * -(-batches // values["trainer"].get("accumulate_grad_batches", 1))
    return build("scheduler", node), interval, monitor
