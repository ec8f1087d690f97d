"""The optimizer's update of every parameter once more, by hand."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, optim

from glassbox.mechanics.optimizer import adam, adamw, rmsprop, sgd
from glassbox.replay.check import Check, Grade
from glassbox.replay.compare import difference, same
from glassbox.replay.hyper_parameter import Member, cause
from glassbox.replay.step import Step

State = dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """An optimizer by hand.

    Attributes:
        base: torch's class.
        by_hand: Its file in `glassbox.mechanics`.
        initial: Makes the state before the first update.
        options: The hyper-parameters of its `update`.
        formula: The formula, in the words of the lesson.

    Example:
        >>> rule_of(optim.SGD, {}).formula
        'b = momentum b + g; p -= lr b (g without momentum)'
    """

    base: type[optim.Optimizer]
    by_hand: Any
    initial: Callable[[Tensor], Any]
    options: tuple[str, ...]
    formula: str


RMS = ("lr", "alpha", "eps", "weight_decay", "momentum", "centered")
ADAM = ("lr", "betas", "eps", "weight_decay", "amsgrad")
MOMENTS = "m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2"
RULES = (
    Rule(
        optim.SGD,
        sgd,
        sgd.initial,
        ("lr", "momentum", "dampening", "weight_decay", "nesterov"),
        "b = momentum b + g; p -= lr b (g without momentum)",
    ),
    Rule(optim.RMSprop, rmsprop, rmsprop.initial, RMS, "v = alpha v + (1 - alpha) g^2; p -= lr g / (sqrt(v) + eps)"),
    Rule(optim.Adam, adam, adam.initial, ADAM, f"{MOMENTS}; p -= lr m^ / (sqrt(v^) + eps)"),
    Rule(optim.Adam, adamw, adam.initial, ADAM, f"p *= 1 - lr wd; {MOMENTS}; p -= lr m^ / (sqrt(v^) + eps)"),
)
NOT_BY_HAND = ("maximize", "fused", "differentiable", "capturable")


def rule_of(optimizer: type[optim.Optimizer], group: Mapping[str, Any]) -> Rule | None:
    """Return the hand rule of an optimizer, of its base class where it has no rule of its own; None without any.

    Args:
        optimizer: The class.
        group: A parameter group; it says whether Adam decays as AdamW.

    Example:
        >>> rule_of(optim.AdamW, {"decoupled_weight_decay": True}).by_hand.__name__
        'glassbox.mechanics.optimizer.adamw'
        >>> rule_of(optim.Adagrad, {}) is None
        True
    """
    decoupled = bool(group.get("decoupled_weight_decay"))
    found = [rule for rule in RULES if issubclass(optimizer, rule.base)]
    return next((rule for rule in found if (rule.by_hand is adamw) == decoupled), None)


def updates(step: Step) -> dict[str, Check]:
    """Check the update of every parameter of the optimizer.

    Args:
        step: The recorded step, in which the optimizer made an update.

    Returns:
        Parameter name → what was found.

    Example:
        >>> from contextlib import nullcontext
        >>> from torch import nn
        >>> p, g = {"weight": torch.tensor([[1.0]])}, {"weight": torch.tensor([[2.0]])}
        >>> groups = [{"params": ["weight"], "lr": 0.1}]
        >>> step = Step(0, 0, nn.Linear(1, 1), None, {}, nullcontext, optim.SGD, groups, {}, {})
        >>> step.before_update, step.clipped, step.after = p, g, {"weight": torch.tensor([[0.8]])}
        >>> str(updates(step)["weight"])
        'EXACT'
        >>> step.after = {"weight": torch.tensor([[0.9]])}
        >>> updates(step)["weight"].reason
        'wrong hyper-parameter: the update fits lr=0.05, the optimizer says 0.1'
    """
    return {name: check for group in step.groups for name, check in _group(step, group)}


def formula_of(step: Step) -> str:
    """Return the formula of the update of a step's first parameter group; empty without a hand rule.

    Args:
        step: The recorded step.

    Example:
        >>> from contextlib import nullcontext
        >>> from torch import nn
        >>> step = Step(0, 0, nn.Linear(1, 1), None, {}, nullcontext, optim.Adagrad, [{"params": []}], {}, {})
        >>> formula_of(step)
        ''
    """
    rule = rule_of(step.optimizer, step.groups[0]) if step.groups else None
    return "" if rule is None else rule.formula


def _group(step: Step, group: dict[str, Any]) -> Iterator[tuple[str, Check]]:
    """Yield the checks of one parameter group; what disagrees shares one cause."""
    wrong: dict[str, Member] = {}
    rule = rule_of(step.optimizer, group)
    for name in group["params"]:
        before, after, grad = step.before_update[name], step.after[name], step.clipped.get(name)
        if grad is None:
            moved = Check(Grade.DISAGREES, f"{name} moved without a gradient", difference(before, after))
            yield name, Check(Grade.EXACT) if same(before, after) else moved
            continue
        if rule is None:
            yield name, Check(Grade.NOT_CHECKED, f"no hand rule for {step.optimizer.__name__}")
        elif reason := _unchecked(step, group, before, grad):
            yield name, Check(Grade.NOT_CHECKED, reason)
        else:
            state = _state(rule, before, step.state.get(name, {}))
            member = Member(before, grad, state, after, step.state_after.get(name, {}))
            if member.agrees(*_run(rule, group)(member, {})):
                yield name, Check(Grade.EXACT)
            else:
                wrong[name] = member
    if wrong:
        assert rule is not None
        yield from _wrong(step, group, rule, wrong)


def _wrong(step: Step, group: dict[str, Any], rule: Rule, wrong: dict[str, Member]) -> Iterator[tuple[str, Check]]:
    """Yield why updates are not those of the hand rule."""
    run = _run(rule, group)
    told = cause(list(wrong.values()), run, {key: group[key] for key in rule.options if key in group})
    own = inspect.unwrap(step.optimizer.step) is not inspect.unwrap(rule.base.step)
    for name, member in wrong.items():
        param, state = run(member, {})
        error = difference(param, member.after)
        if told:
            yield name, Check(Grade.DISAGREES, f"wrong hyper-parameter: {told}", error)
        elif own:
            reason = f"{step.optimizer.__name__} has a step of its own, which is not that of {rule.base.__name__}"
            yield name, Check(Grade.NOT_CHECKED, reason)
        elif member.nearly(param, state):
            yield name, Check(Grade.NOT_CHECKED, f"equal up to rounding ({error:.0e}), not bit for bit")
        else:
            reason = f"the update is not that of {rule.base.__name__}, and no single hyper-parameter explains it"
            yield name, Check(Grade.DISAGREES, reason, error)


def _unchecked(step: Step, group: Mapping[str, Any], param: Tensor, grad: Tensor) -> str:
    """Return why there is no hand rule for an update, or an empty string."""
    name = step.optimizer.__name__
    if step.scaler:
        return "gradients are scaled for float16"
    for option in NOT_BY_HAND:
        if group.get(option):
            return f"no hand rule for {name} with {option}=True"
    for option, value in group.items():
        if isinstance(value, Tensor):
            return f"no hand rule for {name} with a tensor as {option}"
    if grad.layout is not torch.strided:
        return "no hand rule for a sparse gradient"
    if param.is_complex():
        return "no hand rule for a complex parameter"
    return "" if bool(grad.isfinite().all()) else "the gradient is not finite: nan or inf"


def _state(rule: Rule, param: Tensor, state: State) -> Any:
    """Return the state as the hand rule has it."""
    initial = rule.initial(param)
    known = {key: state[key] for key in initial._fields if state.get(key) is not None}
    if "step" in known:
        known["step"] = int(known["step"])
    return initial._replace(**known)


def _run(rule: Rule, group: Mapping[str, Any]) -> Callable[[Member, Mapping[str, Any]], tuple[Tensor, State]]:
    """Return the update by hand as a function of a member and of hyper-parameters other than the group's."""
    options = {key: group[key] for key in rule.options if key in group}

    def run(member: Member, other: Mapping[str, Any]) -> tuple[Tensor, State]:
        param, state = rule.by_hand.update(member.before, member.grad, member.state, **(options | dict(other)))
        return param, state._asdict()

    return run
