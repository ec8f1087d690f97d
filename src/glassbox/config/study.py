"""A study by its name, and what is to be said of it beside its numbers: the question, and the border of the search."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from glassbox.compare.leaderboard import Leaderboard
from glassbox.config.place import outputs
from glassbox.errors import BadInput, did_you_mean
from glassbox.sweep.border import Range, on_border
from glassbox.sweep.study import Study
from glassbox.tracking.name import shown_path


def study_folders(words: Sequence[str], *, begun: bool = False) -> list[Path]:
    """Return the folders of studies, or of the one that changed last where none is named.

    Args:
        words: Their names or paths.
        begun: Whether those that have just begun will do.

    Raises:
        BadInput: There is none such, or one has no run.
    """
    return [_folder(word, begun=begun) for word in words] or [_latest()]


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


def _folder(word: str, *, begun: bool) -> Path:
    """Return the folder of a study, from its name or its path."""
    for folder in (outputs() / word, Path(word)):
        if any(folder.glob("*/run.json")) or (begun and Study(folder).held()):
            return folder.absolute()
    folder = outputs() / word
    if folder.is_dir():
        raise BadInput(f"{shown_path(folder)}: no run there yet")
    names = _studies()
    there = f" (there are {', '.join(names)})" if names else f"; {shown_path(outputs())} has none yet"
    raise BadInput(f"No study '{word}'{did_you_mean(word, names) or there}")


def _latest() -> Path:
    """Return the folder of the study that changed last, and say which others there are."""
    names = _studies()
    if not names:
        raise BadInput(f"{shown_path(outputs())} has no study yet: scripts/train.py makes one")
    if len(names) > 1:
        print(f"The study that changed last; there are also {', '.join(names[1:])}", file=sys.stderr)
    return outputs() / names[0]


def _studies() -> list[str]:
    """Return the names of the studies that have runs, the one that changed last first."""
    folders = {path.parents[1] for path in outputs().glob("*/*/run.json")}
    return [folder.name for folder in sorted(folders, key=lambda folder: -folder.stat().st_mtime)]


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
