"""What a run says when it has ended: a short table, and the commands to go on with."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from glassbox.tracking.name import shown_path
from glassbox.tracking.wandb_run import run_id
from glassbox.training.run import Outcome, best_checkpoint


def print_summary(
    outcome: Outcome,
    folder: Path,
    values: Mapping[str, Any],
    *,
    root: Path,
    one_of_many: bool = False,
    url: str | None = None,
    console: Console | None = None,
) -> None:
    """Print how a run ended and what to do next.

    Args:
        outcome: How it ended.
        folder: Its folder.
        values: Its config.
        root: The project's folder, which has the scripts.
        one_of_many: Whether it is a job of a multirun, which gets one line.
        url: Its page, if it was uploaded.
        console: Where to print; the terminal by default.
    """
    console = console or Console(highlight=False, soft_wrap=True)
    shown = shown_path(folder)
    rows = _rows(outcome, values)
    if one_of_many:
        told = "  ".join(f"{name} {text}" for name, text in rows if name in ("val", "test"))
        console.print(f"{rows[0][1]}  {told}  {shown}")
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(name, text)
    table.add_row("folder", str(shown))
    console.print()
    console.print(table)
    console.print()
    for what, command in _next(outcome, shown, values, shown_path(root / "scripts"), url):
        console.print(f"[dim]{what:<10}[/dim]{escape(command)}")


def _rows(outcome: Outcome, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [("status", outcome.status + (f": {outcome.reason}" if outcome.reason else ""))]
    if "epoch" in outcome.best:
        how = f"best by {values['monitor']}" if values["callbacks"] else "the last; callbacks=none keeps no checkpoint"
        rows.append(("epoch", f"{int(outcome.best['epoch'])} of {values['max_epochs']}, {how}"))
    for stage, metrics in (("val", outcome.best), ("test", outcome.test)):
        text = "  ".join(
            f"{key.removeprefix(stage + '/')} {value:.4f}"
            for key, value in metrics.items()
            if key.startswith(stage + "/")
        )
        if text:
            rows.append((stage, text))
    rows.append(("time", f"{outcome.seconds:.1f} s"))
    return rows


def _next(
    outcome: Outcome, folder: Path, values: Mapping[str, Any], scripts: Path, url: str | None
) -> list[tuple[str, str]]:
    """Return (what for, command) pairs: look, evaluate, repeat, compare, publish; each can be pasted into a shell."""
    tracker = str(values["logger"].get("_target_"))
    followed = max((folder.parent.parent / "wandb").glob(f"*run-*-{run_id(folder)}"), default=None)
    commands: list[tuple[str, list[object]]] = []
    if followed is not None:
        commands.append(("look", ["wandb", "leet", followed]))
    elif tracker.endswith("TensorBoardRun"):
        commands.append(("look", ["tensorboard", "--logdir", folder]))
    if url is not None:
        commands.append(("page", [url]))
    if (folder / "boundary.png").exists():
        commands.append(("picture", [folder / "boundary.png"]))
    if outcome.status == "finished" and best_checkpoint(folder) is not None:
        commands.append(("evaluate", ["python", scripts / "evaluate.py", folder]))
    commands.append(("repeat", ["python", scripts / "train.py", f"rerun={folder}"]))
    commands.append(("compare", ["python", scripts / "compare.py", folder.parent]))
    if followed is not None and values["logger"].get("mode") == "offline":
        commands.append(("publish", ["python", scripts / "publish.py", folder.parent]))
    return [(what, shlex.join(map(str, words))) for what, words in commands]
