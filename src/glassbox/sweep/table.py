"""What a sweep prints: a line per job, and at the end every job that did not finish, the best, and the way on."""

import json
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from glassbox.sweep.study import RESULTS, Run
from glassbox.tracking.name import shown_path

COLOUR = {"failed": "red", "interrupted": "red", "diverged": "yellow", "pruned": "dim"}
BEST = 5
ORDER = ("finished", "pruned", "diverged", "failed", "interrupted", "running")


@dataclass(frozen=True)
class Tally:
    """How the jobs of a sweep ended.

    Attributes:
        runs: One run per job.
        missing: Jobs that were not run.

    Example:
        >>> runs = [Run(Path("a"), "1", "finished", best={"val/loss": 0.5}), Run(Path("b"), "2", "failed", "full")]
        >>> tally = Tally(runs, missing=1)
        >>> tally.words, tally.failed, [run.folder.name for run in tally.best("val/loss")]
        ('1 finished, 1 failed, 1 not run', True, ['a'])
    """

    runs: Sequence[Run]
    missing: int = 0

    def counts(self) -> dict[str, int]:
        """Return status → number of jobs, in the order of the statuses."""
        found = Counter(run.status for run in self.runs)
        return {status: found[status] for status in ORDER if found[status]} | (
            {"not run": self.missing} if self.missing else {}
        )

    @property
    def words(self) -> str:
        """The counts in words."""
        return ", ".join(f"{count} {status}" for status, count in self.counts().items())

    @property
    def failed(self) -> bool:
        """Whether a job has no result."""
        return self.missing > 0 or any(run.status not in RESULTS for run in self.runs)

    def best(self, monitor: str, *, larger: bool = False) -> list[Run]:
        """Return the finished runs with the best values of a metric, the best first.

        Args:
            monitor: The metric.
            larger: Whether larger is better.
        """
        found = [run for run in self.runs if run.status == "finished" and monitor in (run.best or {})]
        sign = -1 if larger else 1
        return sorted(found, key=lambda run: sign * float((run.best or {})[monitor]))[:BEST]


def print_plan(study: str, count: int, distinct: int, todo: int) -> None:
    """Print what a sweep is going to do.

    Args:
        study: Its study.
        count: How many jobs it has.
        distinct: How many of them repeat no other.
        todo: How many the study has no result of.

    Example:
        >>> print_plan("demo", 6, 5, 3)
        demo: 6 jobs, 1 of them repeat another; 2 are there already; 3 to run
    """
    same = f", {count - distinct} of them repeat another" if distinct < count else ""
    done = f"; {distinct - todo} are there already" if todo < distinct else ""
    print(f"{study}: {count} jobs{same}{done}; {todo} to run", flush=True)


def print_job(done: int, count: int, number: int, folder: Path, monitor: str) -> bool:
    """Print the line of a job that has ended.

    Args:
        done: How many have ended.
        count: How many there are.
        number: Its number.
        folder: Its run folder.
        monitor: The metric to show.

    Returns:
        Whether it failed.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "run.json").write_text('{"status": "failed", "reason": "no memory", "best": {}}')
        >>> print_job(3, 50, 12, folder, "val/loss")  # doctest: +ELLIPSIS
         3/50  #12  failed: no memory  ...
        True
    """
    fields = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    value = fields["best"].get(monitor)
    told = fields["status"] + (f": {fields['reason']}" if fields["reason"] else "")
    shown = f"  {monitor} {float(value):.4f}" if value is not None and fields["status"] == "finished" else ""
    print(f"{done:>{len(str(count))}}/{count}  #{number}  {told}{shown}  {shown_path(folder)}", flush=True)
    return fields["status"] not in RESULTS


def print_tally(
    tally: Tally, folder: Path, best: Sequence[Run], monitor: str, border: Sequence[str], *, command: Sequence[str]
) -> None:
    """Print how the sweep ended: every job that did not finish, the best ones, and how to go on.

    Args:
        tally: How the jobs ended.
        folder: The study's folder.
        best: The best runs, the best first.
        monitor: The metric that they are the best of.
        border: What is to be said of the border of the searched space.
        command: The command of the sweep, which runs what is missing when it is given again.

    Example:
        >>> run = Run(Path("/x/demo/b"), "2", "failed", "OSError: full", number=7)
        >>> print_tally(Tally([run]), Path("/x/demo"), [], "val/loss", [], command=["python", "train.py", "-m"])
        failed  #7  OSError: full  /x/demo/b
        <BLANKLINE>
        study     demo: 1 failed
        folder    /x/demo
        again     python train.py -m
    """
    console = Console(highlight=False, soft_wrap=True)
    rest = sorted(
        (run for run in tally.runs if run.status != "finished"), key=lambda r: (ORDER.index(r.status), r.number or 0)
    )
    status = max((len(run.status) for run in rest), default=0)
    reason = min(max((len(run.reason or "") for run in rest), default=0), 60)
    for run in rest:
        number = "" if run.number is None else f"#{run.number}"
        told = f"{number}  {run.reason or '':<{reason}}  {shown_path(run.folder)}"
        console.print(f"[{COLOUR.get(run.status, 'default')}]{run.status:<{status}}[/]  {escape(told)}")
    lines = [("study", f"{folder.name}: {tally.words}")]
    for place, run in enumerate(best):
        value = float((run.best or {})[monitor])
        lines.append(("" if place else "best", f"{monitor} {value:.4f}  {shown_path(run.folder)}"))
    lines += [("border", sentence) for sentence in border]
    lines.append(("folder", str(shown_path(folder))))
    if tally.failed:
        lines.append(("again", shlex.join(command)))
    console.print()
    for name, text in lines:
        console.print(f"[bold]{name:<10}[/bold]{escape(text)}")
