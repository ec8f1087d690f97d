"""One training step explained: its tables, what it shows in words, and how far it was checked."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from glassbox.explain.table import Table
from glassbox.replay.check import Grade


@dataclass(frozen=True)
class Explanation:
    """What scripts/explain.py shows.

    Attributes:
        title: Which step of what.
        tables: The tables, the step itself first.
        observations: What the step shows, in words.
        sources: (place, text) of the hand-written functions that were used, where they were asked for.
    """

    title: str
    tables: Sequence[Table]
    observations: Sequence[str] = ()
    sources: Sequence[tuple[str, str]] = field(default_factory=tuple)

    @property
    def counts(self) -> dict[Grade, int]:
        """How many rows have each grade."""
        checks = [row.check for table in self.tables for row in table.rows if row.check is not None]
        return {grade: sum(check.grade is grade for check in checks) for grade in Grade}

    @property
    def agrees(self) -> bool:
        """Whether no row disagrees with torch."""
        return self.counts[Grade.DISAGREES] == 0
