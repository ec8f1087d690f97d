"""What is to be said of a study beside its numbers: what was asked, and whether the best lies on the border."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from glassbox.compare.leaderboard import Leaderboard
from glassbox.sweep.border import Range, on_border
from glassbox.sweep.study import Study


def sweeps_of(studies: Sequence[Path]) -> list[dict[str, Any]]:
    """Return what study.json says of each sweep of studies, the oldest first.

    Args:
        studies: Study folders.

    Raises:
        BadInput: One cannot be read.
    """
    return [sweep for study in studies for sweep in Study(study).sweeps()]


def border(board: Leaderboard, sweeps: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say which values of the best config lie on the border of what sweeps have searched.

    Args:
        board: The leaderboard.
        sweeps: What study.json says of them.
    """
    if not board.ranked:
        return []
    config = board.ranked[0].finished[0].config
    space = _searched(sweeps)
    values = {key: config.get(key, config.get(f"optimizer.{key}")) for key in space}
    return on_border({key: float(v) for key, v in values.items() if isinstance(v, int | float)}, space)


def _searched(sweeps: Sequence[Mapping[str, Any]]) -> dict[str, list[float] | Range]:
    """Return key → all numbers that sweeps have tried, or the widest range that they were drawn from."""
    found: dict[str, list[float] | Range] = {}
    for sweep in sweeps:
        for key, space in sweep.get("space", {}).items():
            before = found.get(key)
            if isinstance(space, list):
                found[key] = [*space, *(before if isinstance(before, list) else [])]
            elif isinstance(before, Range):
                new = Range(**space)
                found[key] = Range(min(before.low, new.low), max(before.high, new.high), new.log, new.step)
            else:
                found[key] = Range(**space)
    return found
