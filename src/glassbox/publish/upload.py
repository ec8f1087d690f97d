"""The runs of a study on their way to a server: what goes and how, and whether all of it has arrived."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glassbox.errors import BadInput, told
from glassbox.publish.segment import Segment, id_of, rest_of, rewritten, segments
from glassbox.publish.server import Server, There, send
from glassbox.tracking.record import Record, status_of

AT_ONCE = 50  # runs per call of `wandb sync`
LOOKS = (0.0, 1.0, 3.0)  # seconds before each look at what has arrived


@dataclass
class Item:
    """A run that is to be on the server.

    Attributes:
        folder: Its folder.
        fields: Its record.
        old: W&B's files of it, in the order of time.
        segment: The one file that is sent; None until it is written.
        why: Why it is written afresh; None if it goes as it is.
    """

    folder: Path
    fields: Mapping[str, Any]
    old: Sequence[Path]
    segment: Segment | None
    why: str | None

    @property
    def id(self) -> str:
        """The id of its W&B run."""
        return id_of(self.fields)

    @property
    def marked(self) -> bool:
        """Whether it was sent before, as far as is known without the server."""
        return self.why is None and self.segment is not None and (self.segment.online or self.segment.mark.exists())


@dataclass
class Plan:
    """What is to be done of a study.

    Attributes:
        study: Its folder.
        items: The runs that have ended.
        running: Names of runs that have not.
        unread: Folders whose record cannot be read, and why.
    """

    study: Path
    items: list[Item] = field(default_factory=list)
    running: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


@dataclass
class Sent:
    """What came of a study.

    Attributes:
        sent: Runs that went.
        there: Runs that were there already.
        missing: Name of a run that is not there as a whole → why.
        places: Entity and project, the one with the most runs first.
    """

    sent: int = 0
    there: int = 0
    missing: dict[str, str] = field(default_factory=dict)
    places: list[tuple[str, str]] = field(default_factory=list)


def plan(study: Path) -> Plan:
    """Look at what is to be done of a study.

    Args:
        study: Its folder.
    """
    found, files = Plan(study), segments(study.parent)
    for path in sorted(study.glob("*/run.json")):
        try:
            fields = Record.read(path.parent)
            if status_of(dict(fields)) == "running":
                found.running.append(path.parent.name)
            else:
                found.items.append(_item(path.parent, fields, files.get(id_of(fields), [])))
        except BadInput as error:
            found.unread.append(str(error))
        except (KeyError, TypeError) as error:
            found.unread.append(f"{path} is no record: {error!r}")
    return found


def upload(
    plan: Plan,
    server: Server,
    config_of: Callable[[Path], Mapping[str, Any]],
    *,
    lock: int,
    entity: str | None = None,
    project: str | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Sent:
    """Send what the server does not have of a study, and look whether it has arrived.

    Args:
        plan: What is to be done.
        server: The server.
        config_of: Run folder → the config of a run, nested and plain.
        lock: The lock that is held meanwhile.
        entity: The user or team that gets all; by default each run's own, or the account's.
        project: The project that gets all; by default each run's own.
        progress: Is told how many runs of how many are through.
    """
    result = Sent()
    ready = [item for item in plan.items if _prepare(item, config_of, result)]
    places = Counter(_place(item, server, entity, project) for item in ready)
    result.places = [place for place, _ in places.most_common()]
    for place in result.places:
        items = [item for item in ready if _place(item, server, entity, project) == place]
        there = server.runs(*place, plan.study.name)
        waiting = [item for item in items if item.why or there.get(item.id) != _all(item)]
        words: list[str] = []
        for start in range(0, len(waiting), AT_ONCE):
            progress(start, len(waiting))
            words += _send(waiting[start : start + AT_ONCE], there, place, lock)
        missing = _arrived(items, place, server, plan.study.name, again=bool(waiting))
        result.missing |= {item.folder.name: _reason(item, has, words) for item, has in missing}
        lost = {item.id for item, _ in missing}
        result.sent += sum(item.id not in lost for item in waiting)
        result.there += sum(item.id not in lost for item in items) - sum(item.id not in lost for item in waiting)
    return result


def _item(folder: Path, fields: Mapping[str, Any], files: Sequence[Path]) -> Item:
    segment = Segment.read(files[0]) if len(files) == 1 else None
    why: str | None
    if segment is None:
        why = f"{len(files)} parts" if files else "no W&B file"
    elif not segment.whole:
        why = "torn"
    else:
        why = None if segment.tells(fields) else "older"  # than what the record tells now
    return Item(folder, fields, files, segment, why)


def _prepare(item: Item, config_of: Callable[[Path], Mapping[str, Any]], result: Sent) -> bool:
    """Write a run afresh where that is needed; where it cannot be, tell why."""
    if item.why is None:
        return True
    try:
        config = config_of(item.folder)
        logger = config.get("logger") or {}
        project, entity = logger.get("project") or "glassbox", logger.get("entity")
        item.segment = rewritten(item.folder, item.fields, config, item.old, project=project, entity=entity)
    except (BadInput, OSError, ValueError) as error:
        result.missing[item.folder.name] = f"it cannot be written afresh: {told(error)}"
        return False
    return True


def _place(item: Item, server: Server, entity: str | None, project: str | None) -> tuple[str, str]:
    assert item.segment is not None
    return entity or item.segment.entity or server.entity, project or item.segment.project


def _all(item: Item) -> There:
    """Return what a server has of a run that is there as a whole."""
    assert item.segment is not None
    return There(item.segment.rows, ended=True)


def _send(items: Sequence[Item], there: Mapping[str, There], place: tuple[str, str], lock: int) -> list[str]:
    """Send what is missing of runs: all rows, or those behind the rows that the server has."""
    with ExitStack() as stack:
        files = []
        for item in items:
            assert item.segment is not None
            has = there.get(item.id, There()).rows
            files.append(stack.enter_context(rest_of(item.segment, has)) if has else item.segment.path)
        return send(files, entity=place[0], project=place[1], lock=lock)


def _arrived(
    items: Iterable[Item], place: tuple[str, str], server: Server, study: str, *, again: bool
) -> list[tuple[Item, There]]:
    """Mark the runs that are there as a whole; return the others with what is there of them."""
    missing = [(item, There()) for item in items]
    for wait in LOOKS if again else LOOKS[:1]:
        time.sleep(wait)
        there = server.runs(*place, study)
        missing = [(item, there.get(item.id, There())) for item, _ in missing]
        for item, has in missing:
            if has == _all(item) and item.segment is not None:
                item.segment.mark.touch()
        missing = [(item, has) for item, has in missing if has != _all(item)]
        if not missing:
            break
    return missing


def _reason(item: Item, has: There, words: Sequence[str]) -> str:
    """Say in one line what is missing of a run."""
    assert item.segment is not None
    rows = item.segment.rows
    if has.rows > rows:
        return f"the server has {has.rows} rows of {rows}: delete the run there and publish it again"
    reason = f"; W&B says: {words[0]}" if words else ""
    end = "" if has.rows < rows else " but not its end"
    return f"the server has {has.rows} of {rows} rows{end}{reason}"
