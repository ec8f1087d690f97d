"""The hyper-parameters of all members: one number that all share, or a tensor with one number per member."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from glassbox.mechanics.optimizer import adam, adamw, rmsprop, sgd
from glassbox.population.member import Cohort, Member

# torch's optimizers and their files in `glassbox.mechanics`.
RULES: dict[type[torch.optim.Optimizer], Any] = {
    torch.optim.SGD: sgd,
    torch.optim.Adam: adam,
    torch.optim.AdamW: adamw,
    torch.optim.RMSprop: rmsprop,
}


def spread(values: Sequence[Any], varies: bool, name: str = "", device: torch.device | str = "cpu") -> Any:
    """Return a hyper-parameter of all members.

    Args:
        values: The value of each of K members.
        varies: Whether they may differ.
        name: What it is called.
        device: Where it is used.

    Returns:
        The value, if it does not vary; else a tensor [K], whole or of double precision; of a pair a pair of them.

    Raises:
        ValueError: Values differ that may not, or are no numbers.

    Example:
        >>> spread([0.1, 0.1], varies=False), spread([3, 5], varies=True)
        (0.1, tensor([3, 5]))
        >>> spread([0.1, 0.2], varies=False, name="lr")
        Traceback (most recent call last):
        ValueError: lr differs between members, but is not among what varies
    """
    first = values[0]
    if isinstance(first, list | tuple):
        return tuple(spread([value[i] for value in values], varies, name, device) for i in range(len(first)))
    if not varies:
        if any(value != first for value in values):
            raise ValueError(f"{name} differs between members, but is not among what varies")
        return first
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        raise ValueError(f"{name} differs between members, but is no number")
    whole = all(isinstance(value, int) for value in values)
    return torch.tensor(values, dtype=torch.int64 if whole else torch.float64, device=device)


def of_optimizer(
    cohort: Cohort, members: Sequence[Member], varied: Sequence[str], device: torch.device
) -> dict[str, Any]:
    """Return the optimizer's hyper-parameters by the names of its hand rule.

    Args:
        cohort: It knows the optimizer.
        members: K members.
        varied: Names of those that may differ.
        device: Where they are used.
    """
    update = RULES[cohort.optimizer].update
    make: Any = cohort.optimizer
    defaults = make([torch.zeros(1)]).defaults
    given = [defaults | dict(member.optimizer) for member in members]
    return {name: spread([g[name] for g in given], name in varied, name, device) for name in options(update)}


def of_scheduler(members: Sequence[Member], varied: Sequence[str]) -> dict[str, Any]:
    """Return the scheduler's hyper-parameters, on the CPU.

    Args:
        members: K members.
        varied: Names of those that may differ, with `scheduler.` in front.
    """
    return {
        name: spread([m.scheduler[name] for m in members], f"scheduler.{name}" in varied, f"scheduler.{name}")
        for name in members[0].scheduler
    }


def options(update: Callable[..., Any]) -> list[str]:
    """Return the names of the hyper-parameters of a hand rule, which are its keyword arguments.

    Example:
        >>> options(sgd.update)
        ['lr', 'momentum', 'dampening', 'weight_decay', 'nesterov']
    """
    parameters: Mapping[str, inspect.Parameter] = inspect.signature(update).parameters
    return [name for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY]
