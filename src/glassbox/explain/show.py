"""How an explanation looks on a terminal, and as JSON."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table as RichTable

from glassbox.explain.explanation import Explanation
from glassbox.explain.table import Table
from glassbox.replay.check import Check, Grade

STYLES = {Grade.EXACT: "green", Grade.FD: "cyan", Grade.NOT_CHECKED: "yellow", Grade.DISAGREES: "bold red"}
WIDE = 150  # columns of an output that is no terminal


def console() -> Console:
    """Return the console to print on; a file or a pipe is as wide as the widest table needs."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=WIDE)


def print_explanation(explanation: Explanation, to: Console) -> None:
    """Print an explanation.

    Args:
        explanation: What to print.
        to: Where to print it.
    """
    to.print()
    to.print(f"[bold]{escape(explanation.title)}[/bold]")
    first, *others = explanation.tables
    print_table(first, to)
    if explanation.observations:
        to.print()
        to.print("[bold]What it shows[/bold]")
        sentences = RichTable.grid(padding=(0, 1))
        for sentence in explanation.observations:
            sentences.add_row("·", escape(sentence))
        to.print(sentences)
    for table in others:
        print_table(table, to)
    for where, source in explanation.sources:
        to.print()
        to.print(f"[bold]{escape(where)}[/bold]")
        to.print(Syntax(source, "python", theme="ansi_dark", background_color="default"))
    to.print()
    to.print(verdict(explanation))


def print_table(table: Table, to: Console) -> None:
    """Print one table, and below it why rows are not checked or what is the cause where they disagree.

    Args:
        table: What to print.
        to: Where to print it.
    """
    shown = RichTable(title=table.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        shown.add_column(column, overflow="fold")
    for row in table.rows:
        cells = [escape(cell) for cell in row.cells]
        if row.check is not None:
            cells += [""] * (len(table.columns) - 1 - len(cells)) + [_mark(row.check)]
        shown.add_row(*cells)
    to.print()
    to.print(shown)
    for reason in _reasons(row.check for row in table.rows if row.check is not None):
        to.print(reason)
    if table.note:
        to.print(f"[dim]{escape(table.note)}[/dim]")


def verdict(explanation: Explanation) -> str:
    """Say in one line how many rows are checked, and how.

    Args:
        explanation: What was printed.
    """
    counts = explanation.counts
    told = ", ".join(f"[{STYLES[grade]}]{count} {grade}[/]" for grade, count in counts.items() if count)
    if counts[Grade.DISAGREES]:
        rows = "row disagrees" if counts[Grade.DISAGREES] == 1 else "rows disagree"
        return f"{told}: {counts[Grade.DISAGREES]} {rows} with torch"
    return f"{told}: no row disagrees with torch"


def to_json(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as plain containers, with the same texts as on the terminal.

    Args:
        explanation: What to return.
    """
    return {
        "title": explanation.title,
        "observations": list(explanation.observations),
        "tables": [
            {
                "title": table.title,
                "columns": list(table.columns),
                "rows": [{"cells": list(row.cells)} | _plain(row.check) for row in table.rows],
                "note": table.note,
            }
            for table in explanation.tables
        ],
        "sources": dict(explanation.sources),
        "grades": {str(grade): count for grade, count in explanation.counts.items()},
    }


def as_cells(table: Table) -> tuple[list[str], list[list[str]]]:
    """Return the columns and rows of a table as texts, with the check in the last column where there is one.

    Args:
        table: A table.
    """
    width = len(table.columns)
    rows = [[*row.cells] + ([str(row.check)] if row.check is not None else []) for row in table.rows]
    return list(table.columns), [row[:-1] + [""] * (width - len(row)) + row[-1:] for row in rows]


def _mark(check: Check) -> str:
    number = "" if check.error is None else f" {check.error:.0e}"
    return f"[{STYLES[check.grade]}]{check.grade}{number}[/]"


def _reasons(checks: Iterable[Check]) -> Sequence[str]:
    """Return each reason once, in the order in which it is met."""
    reasons = {(check.grade, check.reason): None for check in checks if check.reason}
    return [f"[{STYLES[grade]}]{grade}[/]: {escape(reason)}" for grade, reason in reasons]


def _plain(check: Check | None) -> dict[str, Any]:
    if check is None:
        return {}
    error = check.error if check.error is None or math.isfinite(check.error) else str(check.error)
    return {"grade": str(check.grade), "reason": check.reason, "error": error}
