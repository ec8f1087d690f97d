"""The formulas of one step, with names for its own tensors: a = x W' + b, h = max(a, 0), z = h W' + b."""

import re
from dataclasses import dataclass

from torch import nn

from glassbox.replay.rule import LOSSES, rule_for
from glassbox.replay.trace import Call

# The letters in the hand rules: of what goes in, by what comes out.
LETTERS = {"a": ("x",), "h": ("a",), "L": ("z", "y")}


@dataclass(frozen=True)
class Named:
    """A call of a layer, with names for what goes in and comes out.

    Attributes:
        call: The call.
        output: The name of its output.
        inputs: The names of its inputs.
    """

    call: Call
    output: str
    inputs: tuple[str, ...]

    @property
    def line(self) -> str:
        """The call as a line of code."""
        return f"{self.output} = {self.call.name}({', '.join(self.inputs)})"

    @property
    def forward(self) -> str:
        """The forward formula; empty without a hand rule."""
        return self._spelled(self.call.formula)

    @property
    def backward(self) -> str:
        """The formula that leads from the gradient of its output to that of its input; empty without a hand rule."""
        rule = rule_for(self.call.module)
        return "" if rule is None else self._spelled(rule.back)

    def parameter(self, key: str) -> str:
        """Return the formula of a parameter's gradient; empty without a hand rule.

        Args:
            key: `weight` or `bias`.
        """
        rule = rule_for(self.call.module)
        return "" if rule is None else self._spelled(rule.gradients.get(key, ""))

    def _spelled(self, formula: str) -> str:
        """Replace the letters of the hand rule by the names of these tensors."""
        result = self.call.formula[:1]
        names = dict(zip(LETTERS.get(result, ()), self.inputs, strict=False)) | {result: self.output}
        return re.sub(r"\b(d?)([A-Za-z])\b", lambda m: m[1] + names[m[2]] if m[2] in names else m[0], formula)


def named(calls: list[Call]) -> list[Named]:
    """Give names to what flows: x and y come from the batch, a from a layer, h from an activation, z into the loss.

    A letter that several layers need is numbered, in their order.

    Args:
        calls: The calls of the step.
    """
    letters = [_letter(position, calls) for position in range(len(calls))]
    many = {letter for letter in letters if letters.count(letter) > 1}
    outputs = [
        f"{letter}{letters[: position + 1].count(letter)}" if letter in many else letter
        for position, letter in enumerate(letters)
    ]
    return [
        Named(call, output, tuple(_input(number, source, outputs) for number, source in enumerate(call.sources)))
        for call, output in zip(calls, outputs, strict=True)
    ]


def _letter(position: int, calls: list[Call]) -> str:
    call = calls[position]
    if call.produced or type(call.module) in LOSSES:
        return "loss"
    if any(type(later.module) in LOSSES and later.sources[:1] == (position,) for later in calls):
        return "z"
    linear = type(call.module) is nn.Linear or any(True for _ in call.module.parameters())
    return "a" if linear else "h"


def _input(number: int, source: int | None, outputs: list[str]) -> str:
    """Return the name of an input; what no layer made is x, or y where it is the second."""
    return outputs[source] if source is not None else "xy"[min(number, 1)]
