"""The units of a layer that pass no gradient on: dead ones of a ReLU, saturated ones of a sigmoid or tanh."""

from collections.abc import Iterator

from torch import Tensor, nn

from glassbox.explain.grammar import be, it
from glassbox.replay.audit import Audit
from glassbox.replay.trace import Call

ROWS = 8  # on fewer rows a unit is 0 by chance
EDGE = 0.01  # how near to its limit an activation is saturated
DENSE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)  # one row of the weight per unit
BY_CHANNEL = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
LIMITS: dict[type[nn.Module], tuple[float, float]] = {nn.Sigmoid: (0.0, 1.0), nn.Tanh: (-1.0, 1.0)}


def stuck_units(audit: Audit) -> Iterator[str]:
    """Tell the units that pass no gradient on, or hardly any, whatever the row.

    Args:
        audit: The audited step.
    """
    for position, call in enumerate(audit.calls):
        output, (low, high) = call.output, LIMITS.get(type(call.module), (0.0, 0.0))
        if output is None or output.dim() < 2:
            continue
        axis = _axis(audit.calls, position)
        units, rows = output.shape[axis], f"for every one of its {len(output)} rows"
        if output.numel() < ROWS * units:
            continue
        if isinstance(call.module, nn.ReLU) and (count := dead_units(output, axis)):
            told = f"dead on this batch: 0 {rows}, so no gradient passes through {it(count)}"
        elif high > low and (count := saturated_units(output, low, high, axis)):
            told = f"saturated on this batch: within {EDGE} of {low:g} or {high:g} {rows}, where the slope is almost 0"
        else:
            continue
        yield f"{count} of {units} units of {call.name} {be(count)} {told}."


def dead_units(output: Tensor, axis: int = -1) -> int:
    """Return how many units are 0 for every row (and position).

    Args:
        output: The output of a ReLU, [B, H] or [B, C, ...].
        axis: The axis of the units.
    """
    return int((_by_unit(output, axis) == 0).all(1).sum())


def saturated_units(output: Tensor, low: float, high: float, axis: int = -1) -> int:
    """Return how many units are within 1 % of a limit for every row (and position).

    Args:
        output: The output of a sigmoid or tanh, [B, H] or [B, C, ...].
        low: Its lower limit.
        high: Its upper limit.
        axis: The axis of the units.
    """
    units = _by_unit(output, axis)
    return int(((units < low + EDGE) | (units > high - EDGE)).all(1).sum())


def _by_unit(output: Tensor, axis: int) -> Tensor:
    return output.movedim(axis, 0).flatten(1)


def _axis(calls: list[Call], position: int) -> int:
    """Return the axis of the units of a call's output: 1 behind a convolution, the last behind a linear layer."""
    output = calls[position].output
    maker: int | None = position
    while maker is not None:
        if isinstance(calls[maker].module, nn.Linear):
            return -1
        if isinstance(calls[maker].module, BY_CHANNEL):
            return 1
        maker = next(iter(calls[maker].sources), None)
    return 1 if output is not None and output.dim() > 3 else -1
