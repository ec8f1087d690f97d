"""The runs that are compared, read from their records."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from glassbox.errors import BadInput
from glassbox.tracking.record import Record, status_of

RANKS = ("interrupted", "failed", "running", "pruned", "diverged", "finished")
MONITOR, MODE = "val/loss", "min"  # where a config does not say otherwise


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        folder: Its folder.
        fields: Its record.
        status: As in the record; a `running` without a sign of life is `interrupted`.

    Example:
        >>> fields = {"config": {"lr": 0.1}, "best": {"val/loss": "nan"}, "test": {"test/loss": 1}}
        >>> run = Run(Path("a"), fields, "failed")
        >>> run.config["lr"], run.value("val/loss"), run.value("test/loss"), run.value("val/auroc")
        (0.1, nan, 1.0, None)
    """

    folder: Path
    fields: Mapping[str, Any]
    status: str

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.fields["name"])

    @property
    def config(self) -> Mapping[str, Any]:
        """Group → option, and dotted key → value of what determines its numbers."""
        config: Mapping[str, Any] = self.fields["config"]
        return config

    @property
    def monitor(self) -> tuple[str, str]:
        """The metric that its best checkpoint is the best of, and `min` or `max`."""
        return self.config.get("monitor", MONITOR), self.config.get("mode", MODE)

    @cached_property
    def values(self) -> Mapping[str, float]:
        """The metrics of its best checkpoint, on the test split, too."""
        found = {**(self.fields.get("best") or {}), **(self.fields.get("test") or {})}
        return {key: float(value) for key, value in found.items()}  # NaN and infinities are texts in a record

    def value(self, metric: str) -> float | None:
        """Return a metric of its best checkpoint; None if it has none such."""
        return self.values.get(metric)


@dataclass(frozen=True)
class Runs:
    """Runs that were read together.

    Attributes:
        runs: One per identity: the one with a result if there is one, the newest among such.
        repeated: Further runs of an identity with a result that another speaks for.
        unread: Folders whose record cannot be read, and why.
    """

    runs: tuple[Run, ...]
    repeated: int = 0
    unread: tuple[str, ...] = ()

    @property
    def finished(self) -> list[Run]:
        """Those that ended with a result that counts."""
        return [run for run in self.runs if run.status == "finished"]

    @property
    def repeats(self) -> str:
        """What is to be said of those that repeat another; empty if none does."""
        if not self.repeated:
            return ""
        return f"repeats of the same config and seed: {self.repeated}; the newest counts"


def counts(runs: Iterable[Run]) -> str:
    """Return how many runs have which status, in words.

    Example:
        >>> counts([Run(Path("a"), {}, "failed"), Run(Path("b"), {}, "finished")])
        '1 finished, 1 failed'
    """
    counted = Counter(run.status for run in runs)
    return ", ".join(f"{counted[status]} {status}" for status in reversed(RANKS) if counted[status])


def mixed_data(runs: Iterable[Run]) -> str:
    """Return what is to be said of runs on different data; empty if there is one.

    Example:
        >>> mixed_data([Run(Path("a"), {"config": {"data": name}}, "finished") for name in ("xor", "moons")])
        'data differs (moons, xor): values of different data do not compare'
    """
    names = sorted({str(run.config.get("data")) for run in runs})
    return f"data differs ({', '.join(names)}): values of different data do not compare" if len(names) > 1 else ""


def read(studies: Iterable[Path]) -> Runs:
    """Read the records of studies.

    Args:
        studies: Study folders.

    Returns:
        Their runs, in the order of their names; what cannot be read is told, and left out.

    Example:
        >>> read([])
        Runs(runs=(), repeated=0, unread=())
    """
    speaking: dict[str, Run] = {}
    repeated, unread = 0, []
    for path in sorted(path for study in studies for path in study.glob("*/run.json")):
        try:
            fields = Record.read(path.parent)
            run = Run(path.parent, fields, status_of(fields))
            rank = _rank(run)
            _ = run.config.items(), run.values, run.name  # what is no record speaks here
        except (BadInput, KeyError, TypeError, ValueError, AttributeError) as error:
            unread.append(str(error) if isinstance(error, BadInput) else f"{path} is no record: {error!r}")
            continue
        other = speaking.get(fields["identity"])
        repeated += other is not None and "finished" == run.status == other.status
        if other is None or rank >= _rank(other):
            speaking[fields["identity"]] = run
    return Runs(tuple(sorted(speaking.values(), key=lambda run: run.folder)), repeated, tuple(unread))


def _rank(run: Run) -> tuple[int, str]:
    return RANKS.index(run.status), run.fields["started"]
