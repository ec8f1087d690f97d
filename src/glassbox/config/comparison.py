"""The main of scripts/compare.py: from the records of many runs to an answer."""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from glassbox.compare.difference import difference
from glassbox.compare.export import to_csv, to_json
from glassbox.compare.filter import select
from glassbox.compare.importance import lines, matters
from glassbox.compare.leaderboard import Leaderboard, leaderboard
from glassbox.compare.run import Run, Runs, counts, mixed_data, read
from glassbox.compare.table import TOP, difference_table, leaderboard_table, metrics_table
from glassbox.config.place import outputs
from glassbox.config.study import border, study_folders, sweeps_of
from glassbox.config.terminal import exit_with
from glassbox.errors import BadInput, did_you_mean
from glassbox.sweep.study import Study
from glassbox.tracking.name import shown_path
from glassbox.tracking.record import Record, status_of, write_atomic

HERE = "."  # --report without a file
REFRESH = 2.0  # seconds between two looks of --watch
WIDE = 200  # columns where nobody looks


def main() -> None:
    """Run scripts/compare.py."""
    exit_with(lambda: compare(_parser().parse_args()))


def compare(args: argparse.Namespace) -> int:
    """Print what is asked for.

    Args:
        args: The command line.

    Returns:
        0.

    Raises:
        BadInput: There is no such study or run, or an argument does not fit.
    """
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
    if args.help_metrics:
        console.print(metrics_table())
        return 0
    if args.diff:
        first, second = (_run(word) for word in args.diff)
        console.print(difference_table([first.name, second.name], difference(first, second)))
        return 0
    studies = study_folders(args.studies, begun=args.watch)
    if args.watch:
        return _watch(console, studies, args)
    runs = _warned(read(studies))
    board = _board(studies, runs.runs, args)
    if args.csv or args.json or args.report or args.png:
        for place, text in ((args.csv, to_csv), (args.json, to_json)):
            _write(place, text(board)) if place else None
        _draw(studies, runs, board, args)
        return 0
    console.print(_page(studies, runs.runs, board, args))
    console.print()
    for head, words in lines(board, matters(board)):  # later, for it takes longer
        console.print(Text.assemble((f"{head:<12}", "bold"), words))
    return 0


def _draw(studies: Sequence[Path], runs: Runs, board: Leaderboard, args: argparse.Namespace) -> None:
    """Write the report and the pictures that are asked for, and say where they are."""
    if not (args.report or args.png):
        return
    from glassbox.compare.picture import write_pictures  # pandas and matplotlib take a second
    from glassbox.compare.report import FILE
    from glassbox.config.report import report

    found = matters(board)
    if args.report:
        if args.report == HERE and len(studies) > 1:
            raise BadInput("--report: of several studies, name the file: --report FILE")
        path = studies[0] / FILE if args.report == HERE else Path(args.report)
        with _writing(path):
            report(path, studies, runs, board, found)
        print(shown_path(path))
    if args.png:
        with _writing(Path(args.png)):
            for path in write_pictures(Path(args.png), board, shares=found):
                print(shown_path(path))


def _page(studies: Sequence[Path], runs: Sequence[Run], board: Leaderboard, args: argparse.Namespace) -> RenderableType:
    """Return what the terminal shows of studies."""
    lines = [Text.assemble((f"{'study' if i == 0 else '':<10}", "bold"), str(p.name)) for i, p in enumerate(studies)]
    sweeps = sweeps_of(studies)
    about = [("question", str(text)) for text in dict.fromkeys(sweep.get("question") for sweep in sweeps) if text]
    about += [("runs", counts(runs)), *(("border", sentence) for sentence in border(board, sweeps))]
    lines += [Text.assemble((f"{name:<10}", "bold"), words) for name, words in about]
    return Group(*lines, Text(), leaderboard_table(board, args.top))


def _board(studies: Sequence[Path], runs: Sequence[Run], args: argparse.Namespace) -> Leaderboard:
    if not runs:
        raise BadInput(f"{', '.join(study.name for study in studies)}: no run there that can be read")
    chosen = select(runs, args.filter) if args.filter else list(runs)
    if not chosen:
        raise BadInput(f"--filter {args.filter!r}: it lets none of {len(runs)} runs through")
    by = [key for key in (args.by or "").split(",") if key]
    return leaderboard(chosen, by=by, metric=args.metric, mode=args.mode)


def _watch(console: Console, studies: Sequence[Path], args: argparse.Namespace) -> int:
    """Show the leaderboard until every sweep has ended, or Ctrl-C."""
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                runs = read(studies).runs
                page = _page(studies, runs, _board(studies, runs, args), args) if runs else Text("no run yet")
                live.update(page, refresh=True)
                if not (any(Study(study).held() for study in studies) or any(run.status == "running" for run in runs)):
                    return 0
                time.sleep(REFRESH)
    except KeyboardInterrupt:
        return 0


def _warned(runs: Runs) -> Runs:
    """Tell what was not read, or is not shown."""
    for words in runs.unread:
        print(f"Warning: {words}; it is left out", file=sys.stderr)
    if len(runs.unread) > 1:
        print(f"Warning: {len(runs.unread)} records are left out", file=sys.stderr)
    if runs.repeats:
        print(runs.repeats, file=sys.stderr)
    if mixed := mixed_data(runs.runs):
        print(f"Warning: {mixed}", file=sys.stderr)
    return runs


def _run(word: str) -> Run:
    """Return a run from its folder, or its name."""
    found = [Path(word)] if (Path(word) / "run.json").exists() else sorted(outputs().glob(f"*/{Path(word).name}"))
    if not found:
        names = [path.parent.name for path in outputs().glob("*/*/run.json")]
        raise BadInput(f"--diff {word}: no such run{did_you_mean(word, names)}; name outputs/<study>/<run>")
    fields = Record.read(found[0])
    return Run(found[0], fields, status_of(fields))


def _write(place: str, text: str) -> None:
    if place == "-":
        sys.stdout.write(text)
        return
    with _writing(Path(place)):
        write_atomic(Path(place), text)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInput(f"Cannot write {path}: {error.strerror}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="compare.py",
        description="Which config is best, by how much, and whether that is more than seeds.",
    )
    parser.add_argument(
        "studies", nargs="*", metavar="STUDY", help="names in outputs/; default: the one that changed last"
    )
    parser.add_argument(
        "--by", metavar="KEYS", help="group by these keys, as in optimizer,init; default: all that vary"
    )
    parser.add_argument("--metric", metavar="KEY", help="rank by this metric of the best checkpoint; default: monitor")
    parser.add_argument("--mode", choices=["min", "max"], help="which is better in a metric of your own")
    parser.add_argument("--filter", metavar="TEXT", help="""as in 'lr>0.01 and optimizer=="adam"'""")
    parser.add_argument(
        "--top", type=int, default=TOP, metavar="N", help=f"show so many configs; 0: all; default {TOP}"
    )
    parser.add_argument("--csv", metavar="FILE", help="write the leaderboard as CSV; - is the terminal")
    parser.add_argument("--json", metavar="FILE", help="write the leaderboard as JSON; - is the terminal")
    parser.add_argument(
        "--report", nargs="?", const=HERE, metavar="FILE", help="write the report; default: report.html in the study"
    )
    parser.add_argument("--png", metavar="FOLDER", help="write the figures as PNG files, for papers")
    parser.add_argument("--diff", nargs=2, metavar="RUN", help="how two runs differ")
    parser.add_argument("--watch", action="store_true", help="refresh the leaderboard while a sweep runs")
    parser.add_argument("--help-metrics", action="store_true", help="what each metric means")
    return parser
