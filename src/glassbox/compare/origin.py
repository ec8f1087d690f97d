"""Where the numbers of a study come from: its commands, its environment, and the runs that have none."""

import os
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from glassbox.compare.run import RANKS, Run

HERE = ("device", "launcher", "host")


def sweep_row(sweep: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page says of a sweep.

    Args:
        sweep: What study.json says of it.
    """
    jobs = sweep.get("jobs")
    ended = sweep.get("ended")
    about = [
        str(sweep.get("kind") or "sweep"), f"{jobs} jobs" if jobs is not None else "", f"begun {sweep.get('started')}",
        f"ended {ended}" if ended else "not ended",
    ]  # fmt: skip
    command = shlex.join(map(str, sweep.get("command") or []))
    return {"about": ", ".join(part for part in about if part), "command": command, "notes": sweep.get("notes")}


def environment(runs: Sequence[Run]) -> list[tuple[str, str, bool]]:
    """Return name, value, and whether it differs among runs; what differs tells how many runs have what.

    Args:
        runs: The runs.
    """
    rows = [{"commit": _commit(run), **{key: run.fields.get(key) for key in HERE}, **_versions(run)} for run in runs]
    found = []
    for name in dict.fromkeys(name for row in rows for name in row):
        counted = Counter(str(row[name]) for row in rows if row.get(name) is not None)
        words = [f"{text} ({count} runs)" if len(counted) > 1 else text for text, count in counted.most_common()]
        found += [(name, ", ".join(words), len(counted) > 1)] if words else []
    return found


def _versions(run: Run) -> Mapping[str, str | None]:
    return run.fields.get("versions") or {}


def _commit(run: Run) -> str | None:
    git = run.fields.get("git")
    return f"{git['commit'][:12]}{', with changes that are in no commit' if git['dirty'] else ''}" if git else None


def lost_rows(folder: Path, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return the runs that did not finish, by status and reason.

    Args:
        folder: Where the page lies, for its links.
        runs: The runs.
    """
    found: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if run.status != "finished":
            found.setdefault((run.status, str(run.fields.get("reason") or "")), []).append(run)
    ordered = sorted(found.items(), key=lambda item: (RANKS.index(item[0][0]), -len(item[1]), item[0][1]))
    return [
        {"status": status, "reason": reason, "folders": [(run.name, _link(run.folder, folder)) for run in some]}
        for (status, reason), some in ordered
    ]


def _link(target: Path, folder: Path) -> str:
    return quote(os.path.relpath(target, folder) + "/")
