"""What compare.py prints: the leaderboard, how two runs differ, and what the metrics mean."""

import math
from collections.abc import Sequence

from rich.console import Group as Lines
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from glassbox.compare.factor import shown
from glassbox.compare.leaderboard import Group, Leaderboard
from glassbox.compare.statistic import Mean
from glassbox.tracking.keys import KEYS

TOP = 20  # configs that are shown unless more are asked for
STYLES = {"diverged": "yellow", "pruned": "dim", "running": "cyan"}  # the others are red


def leaderboard_table(board: Leaderboard, top: int = TOP) -> RenderableType:
    """Return the leaderboard as a table, and below it what its marks mean.

    Args:
        board: The leaderboard.
        top: How many configs are shown; 0 shows all.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    numeric = [True, *[False] * len(board.keys), True, True, False, True, True, False]
    for head, right in zip(heads(board), numeric, strict=True):
        table.add_column(escape(head), justify="right" if right else "left", style="" if head else "dim")
    shown_groups = [*board.groups] if top == 0 else [*board.groups][:top]
    for place, group in enumerate(shown_groups, start=1):
        table.add_row(*map(escape, cells(group, place)), _lost(group))
    return Lines(table, *map(Text, notes(board, len(shown_groups))))


def heads(board: Leaderboard) -> list[str]:
    """Return the heads of a leaderboard's columns.

    Args:
        board: The leaderboard.
    """
    return ["", *board.keys, board.metric, "n", "against the best", board.test_metric, "time", "without a value"]


def cells(group: Group, place: int) -> list[str]:
    """Return the cells of a config below those heads, but for the last, its runs without a value.

    Args:
        group: The config.
        place: Its place, from 1.
    """
    return [
        str(place) if group.metric.n else "",
        *map(shown, group.values),
        interval(group.metric),
        str(group.metric.n),
        verdict(group, best=place == 1),
        interval(group.test),
        duration(group.seconds.mean),
    ]


def notes(board: Leaderboard, count: int) -> list[str]:
    """Return what has to be said of a leaderboard.

    Args:
        board: The leaderboard.
        count: How many of its configs are shown.
    """
    told = []
    if rest := board.groups[count:]:
        lost = sum(sum(group.lost.values()) for group in rest)
        beside = f" ({lost} of their runs have no value)" if lost else ""
        told.append(f"… and {len(rest)} more{beside}: --top 0 shows all")
    if board.averaged:
        told.append(f"averaged over {', '.join(board.averaged)} and seeds")
    if any(group.metric.n > 1 for group in board.groups):
        told.append(
            "± is half a 95 % t interval over the n runs; tie: not told apart from the best at 5 % (Holm, all pairs)"
        )
    if any(group.metric.n == 1 for group in board.groups):
        told.append("n = 1: one seed says nothing about the next; add seed=0,1,2")
    if any(run.fields.get("batched") for group in board.groups for run in group.finished):
        told.append("time of runs that trained together is that of all of them")
    return told


def interval(mean: Mean) -> str:
    """Return a mean with its interval, to the digits that the interval leaves.

    Example:
        >>> interval(Mean(3, 0.25524, 0.0601)), interval(Mean(1, 0.25524, math.nan))
        ('0.255 ± 0.060', '0.2552')
    """
    if mean.n == 0:
        return ""
    if not math.isfinite(mean.half):
        return f"{mean.mean:.4g}"
    digits = 4 if mean.half == 0 else max(0, 1 - math.floor(math.log10(mean.half)))
    digits = min(digits, 6)
    return f"{mean.mean:.{digits}f} ± {mean.half:.{digits}f}"


def verdict(group: Group, *, best: bool) -> str:
    """Return how a config stands against the best one."""
    if group.metric.n == 0:
        return ""
    if best:
        return "best"
    if math.isnan(group.p):
        return "?"
    return "tie" if group.tie else f"worse, p {group.p:.1g}"


def duration(seconds: float) -> str:
    """Return seconds as a reader likes them.

    Example:
        >>> duration(0.164), duration(75.0), duration(7300.0), duration(math.nan)
        ('0.2 s', '1:15', '2:01:40', '')
    """
    if math.isnan(seconds):
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def metrics_table() -> Table:
    """Return every metric key with what it means."""
    table = Table("metric", "better", "meaning", box=None, pad_edge=False, header_style="bold")
    for key, (better, meaning) in KEYS.items():
        table.add_row(key, {"min": "small", "max": "large", None: "–"}[better], meaning)
    return table


def difference_table(names: Sequence[str], rows: Sequence[tuple[str, str, str]]) -> Table:
    """Return two runs side by side.

    Args:
        names: Their names.
        rows: Key and the two values, what differs and what is measured.
    """
    table = Table("", *map(escape, names), box=None, pad_edge=False, header_style="bold")
    for key, *values in rows:
        table.add_row(escape(key), *map(escape, values))
    return table


def _lost(group: Group) -> str:
    return ", ".join(f"[{STYLES.get(status, 'red')}]{count} {status}[/]" for status, count in group.lost.items())
