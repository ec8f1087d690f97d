"""How a benchmark is measured and shown."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Goal:
    """A ratio to reach: `name` takes at most `limit` times what `rival` takes.

    Example:
        >>> goal, seconds = Goal("ours", rival="theirs", limit=1.5), {"ours": 3.0, "theirs": 1.0}
        >>> seconds[goal.name] / seconds[goal.rival] <= goal.limit
        False
    """

    name: str
    rival: str
    limit: float


def rounds(ways: Mapping[str, Callable[[], Callable[[], object]]], count: int) -> dict[str, list[float]]:
    """Time every way once per round, in turn, so that a slow moment of the machine meets all of them.

    Args:
        ways: Name → what prepares, unmeasured, and returns what to time.
        count: Number of rounds; one more, unmeasured, goes first.

    Returns:
        Name → seconds of CPU per round.

    Example:
        >>> calls = []
        >>> ways = {"a": lambda: lambda: calls.append("a"), "b": lambda: lambda: calls.append("b")}
        >>> taken = rounds(ways, count=2)
        >>> "".join(calls), {name: len(seconds) for name, seconds in taken.items()}
        ('ababab', {'a': 2, 'b': 2})
    """
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(count + 1):
        for name, way in ways.items():
            work = way()
            started = time.process_time()
            work()
            if number:
                taken[name].append(time.process_time() - started)
    return taken


def report(
    title: str,
    taken: Mapping[str, list[float]],
    goals: list[Goal],
    *,
    per: float = 1.0,
    unit: str = "s",
    scale: float = 1.0,
) -> bool:
    """Print medians and the ratios that count.

    Args:
        title: What was measured.
        taken: Name → seconds, one per round.
        goals: The ratios to reach.
        per: What one round's seconds are divided by, such as its number of steps.
        unit: The unit of the printed times.
        scale: How many of the unit are in a second.

    Returns:
        Whether every goal is reached.
    """
    console = Console(highlight=False, soft_wrap=True)
    table = Table("way", f"median {unit}", "from", "to", title=title, title_justify="left", box=None, pad_edge=False)
    for name, seconds in taken.items():
        low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
        table.add_row(name, *(f"{value / per * scale:.4g}" for value in (middle, low, high)))
    console.print(table)
    reached = True
    for goal in goals:
        ratio = statistics.median(
            mine / theirs for mine, theirs in zip(taken[goal.name], taken[goal.rival], strict=True)
        )
        reached &= ratio <= goal.limit
        verdict = "reached" if ratio <= goal.limit else "NOT REACHED"
        console.print(f"{goal.name} / {goal.rival} = {ratio:.3g}  (to reach: ≤ {goal.limit:.3g})  {verdict}")
    console.print()
    return reached
