"""The report of studies, as compare.py --report writes it, and every sweep at its end."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from glassbox.compare.importance import Matters, lines, matters
from glassbox.compare.leaderboard import Leaderboard, leaderboard
from glassbox.compare.report import FILE, write_report
from glassbox.compare.run import Runs, read
from glassbox.config.study import border, sweeps_of
from glassbox.errors import told
from glassbox.tracking.name import shown_path


def report(path: Path, studies: Sequence[Path], runs: Runs, board: Leaderboard, found: Matters) -> None:
    """Write the report of studies.

    Args:
        path: The file.
        studies: Their folders.
        runs: Their runs.
        board: The leaderboard of these, or of some of them.
        found: What matters in it.

    Raises:
        OSError: The file cannot be written.
        BadInput: A study.json cannot be read.
    """
    sweeps = sweeps_of(studies)
    title = ", ".join(study.name for study in studies)
    words, edges = lines(board, found), border(board, sweeps)
    write_report(path, title, runs, board, sweeps=sweeps, border=edges, told=words, shares=found)


def report_sweep(study: Path) -> None:
    """Write the report of a study whose sweep has ended; if that fails, say so, for the sweep is none the worse.

    Args:
        study: The study's folder.
    """
    try:
        runs = read([study])
        if not runs.runs:
            return
        board = leaderboard(runs.runs)
        report(study / FILE, [study], runs, board, matters(board))
    except Exception as error:  # noqa: BLE001 (whatever it is, the sweep has its results)
        print(f"Warning: there is no report: {told(error)}", file=sys.stderr)
        return
    Console(highlight=False, soft_wrap=True).print(
        f"[bold]{'report':<10}[/bold]{escape(str(shown_path(study / FILE)))}"
    )
