"""Whether a job can be a member of a population, and in a few words why not."""

import inspect
from collections.abc import Collection, Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.nn.modules.dropout import _DropoutNd
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from glassbox.data.module import TableModule
from glassbox.mechanics.schedule import one_cycle, plateau
from glassbox.population import hyper_parameter, schedule
from glassbox.population.decision import Stopping
from glassbox.population.member import Cohort, Member
from glassbox.population.net import choose

SWITCHES = ("maximize", "fused", "differentiable", "capturable")  # no hand rule has them
ROWS = 4  # of the trial


def refusal(cohort: Cohort, member: Member, datamodule: Any) -> str | None:
    """Return why a job cannot be a member of a population; None if it can.

    Args:
        cohort: What it shares with others.
        member: What it has of its own.
        datamodule: What it trains on.
    """
    return (
        of_optimizer(cohort.optimizer, member.optimizer)
        or of_scheduler(cohort.scheduler, member.scheduler, cohort.interval)
        or _of_arguments("EarlyStopping", cohort.stopping or {}, inspect.signature(Stopping).parameters)
        or (None if type(datamodule) is TableModule else "its data have batches of their own")
        or of_net(cohort, *(tensor[:ROWS] for tensor in datamodule.train_dataloader().tensors))
    )


def of_optimizer(optimizer: type[torch.optim.Optimizer], arguments: Mapping[str, Any]) -> str | None:
    """Return why there is no hand rule for an optimizer; None if there is.

    Args:
        optimizer: The class.
        arguments: Its arguments.

    Example:
        >>> of_optimizer(torch.optim.Adagrad, {})
        'there is no hand rule for Adagrad'
        >>> of_optimizer(torch.optim.SGD, {"maximize": True})
        'there is no hand rule for SGD with maximize=True'
    """
    if optimizer not in hyper_parameter.RULES:
        return f"there is no hand rule for {getattr(optimizer, '__name__', optimizer)}"
    known = hyper_parameter.options(hyper_parameter.RULES[optimizer].update)
    quiet = [*SWITCHES, "foreach"]
    given = {key: value for key, value in arguments.items() if key not in quiet or (key in SWITCHES and value)}
    return _of_arguments(optimizer.__name__, given, known)


def of_scheduler(scheduler: Any, arguments: Mapping[str, Any], interval: str = "epoch") -> str | None:
    """Return why there is no hand rule for a scheduler; None if there is.

    Args:
        scheduler: The class or function; None for none.
        arguments: Its arguments.
        interval: Whether it steps per `epoch` or per `step`.

    Example:
        >>> of_scheduler(torch.optim.lr_scheduler.StepLR, {"step_size": 3})
        >>> of_scheduler(torch.optim.lr_scheduler.ExponentialLR, {"gamma": 0.9})
        'there is no hand rule for ExponentialLR'
    """
    name = getattr(scheduler, "__name__", str(scheduler))
    if scheduler is ReduceLROnPlateau:
        if interval == "step":
            return "ReduceLROnPlateau would look at a metric within an epoch"
        return _of_arguments(name, arguments, hyper_parameter.options(plateau.update))
    if scheduler is OneCycleLR:
        if arguments.get("cycle_momentum", True):
            return "OneCycleLR moves the momentum too; use cycle_momentum=false"
        return _of_arguments(name, arguments, [*hyper_parameter.options(one_cycle.values), "cycle_momentum"])
    if scheduler not in schedule.RULES:
        return f"there is no hand rule for {name}"
    return _of_arguments(name, arguments, hyper_parameter.options(schedule.RULES[scheduler]))


def of_net(cohort: Cohort, x: Tensor, y: Tensor) -> str | None:
    """Return why a net and its loss cannot be batched over members; None if they can, tried on two.

    Args:
        cohort: It has the net and the loss.
        x: Features of some rows [B, D].
        y: Targets of these rows [B] or [B, 1].
    """
    net, loss = cohort.net, cohort.loss
    name = type(net).__name__
    if isinstance(net, pl.LightningModule):
        return f"{name} is a LightningModule, which trains itself"
    if any(True for _ in net.buffers()):
        return f"{name} has buffers, as BatchNorm has"
    if any(isinstance(part, _DropoutNd) and part.p > 0 for part in net.modules()):
        return f"{name} has dropout"
    if not all(p.requires_grad for p in net.parameters()):
        return f"{name} has parameters that are not trained"
    net.to(x.dtype).train()  # as the Trainer will have it
    try:
        output = net(x)
        grads = torch.autograd.grad(loss(output, y), list(net.parameters()), allow_unused=True)
        if any(grad is None for grad in grads):
            return f"{name} has parameters that its loss does not depend on"
        batched = choose(net, loss)
        theta = torch.cat([p.detach().flatten() for p in net.parameters()])
        order = torch.arange(len(x))[:, None].expand(-1, 2)
        (batch,) = batched.batches(x, y, order, len(x))
        found, _, grad = batched.gradient(batched.place(torch.stack([theta, theta / 2], dim=1)), batch)
    except Exception as error:  # noqa: BLE001  whatever a net of somebody else raises, it cannot be batched
        return f"{name} cannot be batched: {' '.join(str(error).split())[:120]}"
    alone = torch.cat([g.flatten() for g in grads if g is not None])
    if not (_near(found[..., 0], output) and _near(grad[:, 0], alone)):
        return f"{name} gives other numbers when it is batched"
    return None


def _of_arguments(name: str, given: Mapping[str, Any], known: Collection[str]) -> str | None:
    """Return which argument has no hand rule; None if all have."""
    return next((f"there is no hand rule for {name} with {k}={v}" for k, v in given.items() if k not in known), None)


def _near(x: Tensor, y: Tensor) -> bool:
    return x.shape == y.shape and torch.allclose(x, y, rtol=1e-3, atol=1e-5)
