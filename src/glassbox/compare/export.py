"""The leaderboard as a table for other programs."""

import csv
import io
import json
import math
from typing import Any

from glassbox.compare.leaderboard import LOST, Leaderboard


def rows(board: Leaderboard) -> list[dict[str, Any]]:
    """Return a row per config, the best first, with every digit; `ci95` is half the width of the 95 % t interval.

    Args:
        board: The leaderboard.
    """
    return [
        {
            **dict(zip(board.keys, group.values, strict=True)),
            "n": group.metric.n,
            board.metric: _number(group.metric.mean),
            f"{board.metric} ci95": _number(group.metric.half),
            "p": _number(group.p),
            "tie": group.tie if group.metric.n else None,
            board.test_metric: _number(group.test.mean),
            f"{board.test_metric} ci95": _number(group.test.half),
            "seconds": _number(group.seconds.mean),
            **{status: group.lost.get(status, 0) for status in LOST},
        }
        for group in board.groups
    ]


def to_csv(board: Leaderboard) -> str:
    """Return the rows as CSV; what is missing is empty.

    Args:
        board: The leaderboard.
    """
    found, text = rows(board), io.StringIO()
    writer = csv.DictWriter(text, list(found[0]) if found else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue()


def to_json(board: Leaderboard) -> str:
    """Return the rows as JSON, with what they are of.

    Args:
        board: The leaderboard.
    """
    about = {"metric": board.metric, "mode": board.mode, "by": [*board.keys], "averaged": [*board.averaged]}
    return json.dumps({**about, "groups": rows(board)}, indent=2, allow_nan=False) + "\n"


def _number(value: float) -> float | str | None:
    """Return a number as JSON can have it: an infinity is a text, NaN is nothing."""
    return None if math.isnan(value) else value if math.isfinite(value) else str(value)
