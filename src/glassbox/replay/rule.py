"""Which layers and losses have a hand rule, its formula, and the options for which it does not hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from glassbox.mechanics.layer import linear, relu, sigmoid, tanh
from glassbox.mechanics.loss import bce_with_logits, cross_entropy, mse


@dataclass(frozen=True)
class Rule:
    """A layer or a loss by hand; its formulas have the same letters, and d before the gradient of what follows.

    Attributes:
        by_hand: Its file in `glassbox.mechanics`, with `forward` and `backward`.
        formula: The forward formula.
        back: From the gradient of what comes out to that of what goes in; n is the number of terms of a mean.
        gradients: Parameter → the formula of its gradient.

    Example:
        >>> RULES[nn.Linear].formula
        "a = x W' + b"
    """

    by_hand: Any
    formula: str
    back: str
    gradients: Mapping[str, str] = field(default_factory=dict)


RULES: dict[type[nn.Module], Rule] = {
    nn.Linear: Rule(linear, "a = x W' + b", "dx = da W", {"weight": "dW = da' x", "bias": "db = sum of da"}),
    nn.ReLU: Rule(relu, "h = max(a, 0)", "da = dh where a > 0"),
    nn.Tanh: Rule(tanh, "h = tanh(a)", "da = dh (1 - h^2)"),
    nn.Sigmoid: Rule(sigmoid, "h = 1 / (1 + exp(-a))", "da = dh h (1 - h)"),
}
LOSSES: dict[type[nn.Module], Rule] = {
    nn.BCEWithLogitsLoss: Rule(bce_with_logits, "L = mean[(1 - y) z - log s(z)]", "dz = (s(z) - y) / n"),
    nn.MSELoss: Rule(mse, "L = mean[(z - y)^2]", "dz = 2 (z - y) / n"),
    nn.CrossEntropyLoss: Rule(cross_entropy, "L = mean[log sum exp(z) - z[y]]", "dz = (softmax(z) - onehot(y)) / n"),
}
DEFAULTS = {
    "reduction": "mean",
    "weight": None,
    "pos_weight": None,
    "label_smoothing": 0.0,
    "ignore_index": -100,
}


def rule_for(module: nn.Module) -> Rule | None:
    """Return the hand rule of a module, None if it has none; a subclass has none, since it may do anything.

    Args:
        module: A layer or a loss.

    Example:
        >>> rule_for(nn.Conv2d(1, 1, 3)) is None
        True
    """
    return RULES.get(type(module)) or LOSSES.get(type(module))


def unruly(module: nn.Module, inputs: tuple[Tensor, ...]) -> str:
    """Return why the hand rule does not hold for a call, or an empty string.

    Args:
        module: A layer or a loss.
        inputs: What it was called with.

    Example:
        >>> unruly(nn.BCEWithLogitsLoss(reduction="sum"), (torch.zeros(2), torch.zeros(2)))
        'no hand rule for BCEWithLogitsLoss with reduction=sum'
        >>> unruly(nn.ReLU(), (torch.zeros(2),))
        ''
    """
    name = type(module).__name__
    if rule_for(module) is None:
        return f"no hand rule for {name}"
    if torch.is_autocast_enabled(inputs[0].device.type):
        return f"autocast computes {name} in {_word(torch.get_autocast_dtype(inputs[0].device.type))}"
    if extra := [key for key, _ in module.named_parameters(recurse=False) if key not in ("weight", "bias")]:
        return f"{name} has a parameter {extra[0]}, which its hand rule does not know"
    if type(module) not in LOSSES:
        return "" if len(inputs) == 1 else f"{name} was called with {len(inputs)} tensors"
    for option, default in DEFAULTS.items():
        value = getattr(module, option, default)
        if value is not default and value != default:
            told = "a tensor" if isinstance(value, Tensor) else value
            return f"no hand rule for {name} with {option}={told}"
    return _odd_target(name, inputs)


def _odd_target(name: str, inputs: tuple[Tensor, ...]) -> str:
    """Return why a loss's arguments do not fit its hand rule, or an empty string."""
    if len(inputs) != 2:
        return f"{name} was called with {len(inputs)} tensors"
    output, target = inputs
    if name == "CrossEntropyLoss":
        if output.dim() != 2 or target.dim() != 1 or target.is_floating_point():
            return f"no hand rule for {name} of {list(output.shape)} and {list(target.shape)} {_word(target.dtype)}"
        return f"no hand rule for {name} with ignored rows" if bool((target < 0).any()) else ""
    if output.shape != target.shape or output.dtype != target.dtype:
        kinds = (f"{list(t.shape)} {_word(t.dtype)}" for t in (output, target))
        return f"no hand rule for {name} of {' and '.join(kinds)}"
    return ""


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
