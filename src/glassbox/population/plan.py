"""Which members of a study train together, and how: written before the first step, and kept when a sweep goes on.

What stands beside a member does not change its bits, but the width of its chunk, the compiler and the threads may. So
they are remembered: a sweep that was killed goes on to the very bits that it would have had.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from glassbox.errors import BadInput
from glassbox.population.setting import Setting
from glassbox.tracking.record import write_atomic


@dataclass(frozen=True)
class Chunk:
    """Some members of one cohort, which train as one program.

    Attributes:
        cohort: What they share, hashed.
        members: Their identities.
        setting: What else decides the bits.
    """

    cohort: str
    members: tuple[str, ...]
    setting: Setting


class Plan:
    """The chunks of a study: `population.json` in its folder, and beside it a file of each shard of a cluster.

    All of them are read and one is written, since shards that train at once must not write into one file.

    Args:
        path: The file to write, named `population….json`; it need not be there.

    Raises:
        BadInput: A file cannot be read.

    Example:
        >>> import tempfile
        >>> plan = Plan(Path(tempfile.mkdtemp()) / "population.json")
        >>> chunks = plan.place("adam", [str(number) for number in range(40)], lambda: Setting(width=32))
        >>> [len(here) for chunk, here in chunks]
        [20, 20]
        >>> chunks = Plan(plan.path).place("adam", ["39", "40", "7"], lambda: Setting(width=32))
        >>> [(len(chunk.members), here) for chunk, here in chunks]
        [(20, ['7']), (20, ['39']), (1, ['40'])]
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        files = {file: _read(file) for file in sorted(path.parent.glob("population*.json"))}
        self._own = files.pop(path, [])
        self._others = [chunk for chunks in files.values() for chunk in chunks]

    def knows(self, cohort: str, member: str) -> bool:
        """Return whether it is decided already how a member trains.

        Args:
            cohort: What it shares with others, hashed.
            member: Its identity.
        """
        return any(chunk.cohort == cohort and member in chunk.members for chunk in (*self._own, *self._others))

    def place(
        self, cohort: str, members: Sequence[str], setting: Callable[[], Setting]
    ) -> list[tuple[Chunk, list[str]]]:
        """Return the chunks of some members of a cohort, and which of them each has; new ones get new chunks.

        Args:
            cohort: What they share, hashed.
            members: The identities of those that are to train now, all different.
            setting: Called if there are new ones, to decide how those train.
        """
        wanted = dict.fromkeys(members)
        found = []
        for chunk in (*self._own, *self._others):
            here = [name for name in chunk.members if chunk.cohort == cohort and name in wanted]
            if here:
                found.append((chunk, here))
                for name in here:
                    del wanted[name]
        if wanted:
            how, names = setting(), list(wanted)
            count = -(-len(names) // how.width)
            size = -(-len(names) // count)
            for first in range(0, len(names), size):
                chunk = Chunk(cohort, tuple(names[first : first + size]), how)
                self._own.append(chunk)
                found.append((chunk, list(chunk.members)))
            content = {"schema": 1, "chunks": [asdict(chunk) for chunk in self._own]}
            write_atomic(self.path, json.dumps(content) + "\n")
        return found


def _read(path: Path) -> list[Chunk]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [_chunk(**fields) for fields in content["chunks"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} cannot be read: {error}; move it away, the runs do not need it") from error


def _chunk(cohort: str, members: list[str], setting: dict[str, Any]) -> Chunk:
    return Chunk(cohort, tuple(members), Setting(**{**setting, "varied": tuple(setting["varied"])}))
