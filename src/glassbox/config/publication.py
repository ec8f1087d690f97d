"""The main of scripts/publish.py: the runs of studies, each once, and a workspace for each study, on a W&B server."""

import argparse
import os
import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from glassbox.compare.leaderboard import leaderboard
from glassbox.compare.run import read
from glassbox.config.place import keep_caches_inside, outputs
from glassbox.config.plain import writable
from glassbox.config.rerun import recorded_config
from glassbox.config.study import study_folders, sweeps_of
from glassbox.config.terminal import exit_with
from glassbox.errors import BadInput, GlassboxError, told
from glassbox.process import INTERRUPTED
from glassbox.publish.segment import id_of
from glassbox.publish.upload import Item, Plan, Sent, plan, upload

NAMED = 3  # missing runs that are told one by one


def main() -> None:
    """Run scripts/publish.py."""
    exit_with(lambda: publish(_parser().parse_args()))


def publish(args: argparse.Namespace) -> int:
    """Send the runs of studies, or show what would go.

    Args:
        args: The command line.

    Returns:
        0; 1 if anything is missing on the server; 130 after Ctrl-C.

    Raises:
        BadInput: There is no such study, no run in it, no key, or the key is refused.
        GlassboxError: The server does not answer.
    """
    keep_caches_inside()
    os.environ["WANDB_DIR"] = str(outputs() / ".cache" / "wandb-publish")  # whatever else W&B's client writes
    studies = study_folders(args.studies)
    console = Console(highlight=False, soft_wrap=True)
    if args.dry_run:
        plans = [plan(study) for study in studies]
        console.print(plan_table(plans))
        return int(any(found.unread for found in plans))
    try:
        return max(_publish(studies, console, args))
    except KeyboardInterrupt:
        print("Interrupted: what was sent is sent, and the same command goes on", file=sys.stderr)
        return INTERRUPTED


def _publish(studies: Sequence[Path], console: Console, args: argparse.Namespace) -> list[int]:
    from glassbox.publish.server import Server, alone

    server = Server()
    codes = []
    with alone(outputs()) as lock:
        for study in studies:
            found = plan(study)
            with console.status(f"{study.name} …") as status:
                sent = upload(
                    found,
                    server,
                    _config,
                    lock=lock,
                    entity=args.entity,
                    project=args.project,
                    progress=lambda done, of, name=study.name: status.update(f"{name}: {done} of {of}"),  # type: ignore[misc]
                )
            _tell(found, sent, console)
            saved = _save_workspace(found, sent, server.url, console)
            codes.append(int(bool(sent.missing or found.unread or not saved)))
    return codes


def plan_table(plans: Sequence[Plan]) -> Table:
    """Return what would be done of studies, as far as is known without the server.

    Args:
        plans: What is to be done of each.
    """
    table = Table("study", "runs", "rows", "what happens", box=None, pad_edge=False, header_style="bold")
    for found in plans:
        counted: dict[str, list[Item]] = {}
        for item in found.items:
            counted.setdefault(_what(item), []).append(item)
        for what, items in counted.items():
            rows = sum(item.segment.rows for item in items if item.segment)
            table.add_row(escape(found.study.name), str(len(items)), str(rows) if rows else "", what)
        for names, what in ((found.running, "still running, left out"), (found.unread, "cannot be read, left out")):
            if names:
                table.add_row(escape(found.study.name), str(len(names)), "", what)
    return table


def _what(item: Item) -> str:
    if item.why is not None:
        return f"written afresh: {item.why}"
    return "there already" if item.marked else "goes as it is"


def _config(folder: Path) -> Mapping[str, Any]:
    """Return the config of a run for W&B."""
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        return writable(recorded_config(folder))
    except (OSError, OmegaConfBaseException, YAMLError) as error:
        raise BadInput(f"{folder / '.hydra' / 'config.yaml'} cannot be read: {told(error)}") from error


def _save_workspace(found: Plan, sent: Sent, url: str, console: Console) -> bool:
    """Save the workspace of a study and tell where to look; return whether nothing went wrong."""
    from glassbox.publish.workspace import MISSING, installed, save

    for entity, project in sent.places:
        page = f"{url.replace('://api.', '://')}/{entity}/{project}"
        if not installed():
            print(MISSING, file=sys.stderr)
        elif (made := _workspace(found, entity, project)) is not None:
            try:
                page = save(made)
            except GlassboxError as error:
                print(error, file=sys.stderr)
                return False
        console.print(f"page  {page}", markup=False)
    return True


def _workspace(found: Plan, entity: str, project: str) -> Any:
    """Return the workspace of a study; None where no run has a value yet."""
    from glassbox.publish.workspace import workspace

    board = leaderboard(read([found.study]).runs)
    runs = [run for group in board.ranked for run in group.finished]
    if not runs:
        return None
    counted = {id_of(run.fields) for run in runs}
    others = [item.id for item in found.items if item.fields["exit_code"] == 0 and item.id not in counted]
    sweeps = sweeps_of([found.study])
    question = next((str(sweep["question"]) for sweep in sweeps if sweep.get("question")), None)
    commands = [sweep["command"] for sweep in sweeps if sweep.get("command")] or [runs[0].fields["command"]]
    return workspace(
        found.study.name,
        board,
        runs,
        others,
        entity=entity,
        project=project,
        question=question,
        commands=[shlex.join(map(str, command)) for command in commands],
    )


def _tell(found: Plan, sent: Sent, console: Console) -> None:
    """Say what came of a study."""
    why = Counter(item.why for item in found.items if item.why and item.folder.name not in sent.missing)
    afresh = ", ".join(f"{count} {reason}" for reason, count in why.items())
    parts = [f"{sent.sent} sent" + (f" ({sum(why.values())} written afresh: {afresh})" if why else "")]
    parts += [f"{sent.there} there already"] if sent.there else []
    console.print(f"{found.study.name}: {', '.join(parts)}", markup=False)
    if found.running:
        print(f"{found.study.name}: {_names(found.running)}: still running, left out", file=sys.stderr)
    for words in found.unread:
        print(f"Warning: {words}; it is left out", file=sys.stderr)
    by_reason: dict[str, list[str]] = {}
    for name, reason in sent.missing.items():
        by_reason.setdefault(reason, []).append(name)
    for reason, names in by_reason.items():
        print(f"Missing: {_names(names)}: {reason}", file=sys.stderr)
    if sent.missing:
        print(f"{len(sent.missing)} of {len(found.items)} runs are missing; the same command goes on", file=sys.stderr)


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="publish.py",
        description="Send runs to WANDB_BASE_URL or the cloud, each exactly once, and save a workspace for each study.",
    )
    parser.add_argument(
        "studies", nargs="*", metavar="STUDY", help="names in outputs/; default: the one that changed last"
    )
    parser.add_argument("--project", metavar="NAME", help="send to this project; default: that of each run")
    parser.add_argument("--entity", metavar="NAME", help="send to this user or team; default: that of the key")
    parser.add_argument("--dry-run", action="store_true", help="show what would go; needs no network")
    return parser
