"""W&B's files of a run below outputs/wandb: what they hold, and one clean file in place of torn ones."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from glob import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from glassbox.tracking import metrics_csv
from glassbox.tracking.identity import CHOICE, with_choice
from glassbox.tracking.keys import at_best
from glassbox.tracking.wandb_log import Log, entries
from glassbox.tracking.wandb_run import WandbRun, teardown

KILLED = 137  # the exit code of a run that could not say it
ASIDE = "set-aside"  # the folder for segments that a clean file stands in for


@dataclass(frozen=True)
class Segment:
    """One file of W&B's, of a run or a part of it.

    Attributes:
        path: The file, in a folder of its own.
        entity: The user or team that it names; empty for that of the account.
        project: The project that it names.
        rows: Rows of the history.
        summary: The keys of its summary.
        chosen: Whether its config names the options that were chosen.
        whole: Whether it is read to its end, which says how the run ended.
    """

    path: Path
    entity: str
    project: str
    rows: int
    summary: frozenset[str]
    chosen: bool
    whole: bool

    @classmethod
    def read(cls, path: Path) -> "Segment":
        """Read a file, as far as it can be read."""
        records, whole = _records(path)
        told = {
            item.key or "/".join(item.nested_key)
            for record in records
            if record.HasField("summary")
            for item in record.summary.update
        }
        run = next((record.run for record in records if record.HasField("run")), None)
        return cls(
            path,
            run.entity if run else "",
            run.project if run else "",
            sum(record.HasField("history") for record in records),
            frozenset(told),
            any(item.key == CHOICE for item in run.config.update) if run else False,
            whole and any(record.HasField("exit") for record in records),
        )

    @property
    def mark(self) -> Path:
        """W&B's own mark of a file that was sent, for `wandb sync`, too."""
        return self.path.with_suffix(".wandb.synced")

    @property
    def online(self) -> bool:
        """Whether it was sent while it was written."""
        return not self.path.parent.name.startswith("offline-")

    def tells(self, fields: Mapping[str, Any]) -> bool:
        """Return whether it tells all that a record does of a run that ended well, and of any run its options.

        Args:
            fields: The record.
        """
        if not (self.whole and self.chosen):
            return False
        told = {**at_best(fields.get("best") or {}), **(fields.get("test") or {})}
        return fields["status"] != "finished" or told.keys() <= self.summary


def id_of(fields: Mapping[str, Any]) -> str:
    """Return the id of the W&B run of a record; one that had no W&B run gets its name."""
    return str(fields.get("wandb_run_id") or fields["name"])


def segments(outputs: Path) -> dict[str, list[Path]]:
    """Return the files of W&B's in an outputs folder by the id of their run, those of a run in the order of time.

    Args:
        outputs: The folder.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted((outputs / "wandb").glob("*run-*/run-*.wandb"), key=lambda path: _stamp(path)):
        found.setdefault(path.stem.removeprefix("run-"), []).append(path)
    return found


def rewritten(
    folder: Path,
    fields: Mapping[str, Any],
    config: Mapping[str, Any],
    old: Sequence[Path],
    *,
    project: str,
    entity: str | None = None,
) -> Segment:
    """Write one clean file from a run folder, and set aside those that it stands in for.

    Killed anywhere, it leaves what the next call finds torn, and writes again.

    Args:
        folder: The run folder.
        fields: Its record.
        config: Its config, nested and plain.
        old: Files of the run, which are torn or parts.
        project: The project.
        entity: The user or team; None for that of the account.

    Returns:
        The new file.
    """
    outputs, run_id = folder.parent.parent, id_of(fields)
    for path in old:
        _set_aside(path.parent, outputs / "wandb" / ASIDE)
    rows = {int(row.pop("epoch")): row for row in metrics_csv.read(folder / "metrics.csv")}
    began = datetime.fromisoformat(fields["started"]).timestamp()
    ended = datetime.fromisoformat(fields["ended"] or fields["heartbeat"]).timestamp()
    since = {int(row["epoch"]): row["since_start"] for row in metrics_csv.read(folder / "timing.csv")}
    run = WandbRun(folder, project=project, entity=entity, writer="direct")
    run.start(
        name=folder.name,
        id=run_id,
        study=fields["study"],
        config=with_choice(config, fields["config"]),
        tags=fields["tags"],
        notes=fields["notes"],
        started=began,
    )
    run.log_all(rows, began, [began + since.get(epoch, ended - began) for epoch in rows])
    if fields["status"] == "finished":
        best, test = fields.get("best") or {}, fields.get("test") or {}
        run.summary({key: float(value) for key, value in {**at_best(best), **test}.items()})
    for picture in sorted(folder.glob("*.png")):
        run.image(picture.stem, picture)
    run.close(KILLED if fields["exit_code"] is None else fields["exit_code"], ended)
    teardown()
    (written,) = (outputs / "wandb").glob(f"*run-*/run-{escape(run_id)}.wandb")
    return Segment.read(written)


@contextmanager
def rest_of(segment: Segment, rows: int) -> Iterator[Path]:
    """Give a file without the first rows of the history, and else the same.

    W&B's client sends a file behind the rows that the server has, whatever is in it.

    Args:
        segment: The whole file.
        rows: How many rows are left out.
    """
    with TemporaryDirectory() as place:
        folder = Path(place) / segment.path.parent.name
        folder.mkdir()
        pictures = segment.path.parent / "files"
        pictures.mkdir(exist_ok=True)
        (folder / "files").symlink_to(pictures)
        log = Log(folder / segment.path.name)
        for record in _records(segment.path)[0]:
            if record.HasField("history") and rows > 0:
                rows -= 1
            else:
                log.append(record.SerializeToString())
        log.close()
        yield log.path


def _records(path: Path) -> tuple[list[Any], bool]:
    from wandb.proto import wandb_internal_pb2

    proto: Any = wandb_internal_pb2
    found, whole = entries(path)
    return [proto.Record.FromString(entry) for entry in found], whole


def _set_aside(folder: Path, place: Path) -> None:
    """Move a folder, under another name where there is one such already."""
    place.mkdir(parents=True, exist_ok=True)
    target, number = place / folder.name, 1
    while target.exists():
        number += 1
        target = place / f"{folder.name}.{number}"
    shutil.move(folder, target)


def _stamp(path: Path) -> str:
    return path.parent.name.removeprefix("offline-")
