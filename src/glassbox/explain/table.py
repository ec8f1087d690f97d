"""What is shown: tables of rows; how they look is decided in `glassbox.explain.show`."""

from dataclasses import dataclass, field

from glassbox.replay.check import Check


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        cells: The texts, one per column but the last, which `check` fills where there is one.
        check: By hand against torch; None for a row that only tells.
    """

    cells: tuple[str, ...]
    check: Check | None = None


@dataclass(frozen=True)
class Table:
    """A titled table.

    Attributes:
        title: What it shows.
        columns: The names of its columns; the last is `by hand vs torch` where rows have a check.
        rows: Its rows.
        note: A sentence below it.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)
    note: str = ""
