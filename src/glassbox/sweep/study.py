"""A study: the runs of one folder, what they already know, and who is adding to it now."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glassbox.errors import BadInput
from glassbox.tracking.record import Record, now, status_of, write_atomic

SCHEMA = 1
RESULTS = ("finished", "pruned", "diverged")
HOLDING = ("basic", "vectorized")  # launchers whose processes keep the study's lock
ENDING = ("joblib", "submitit_local", "ray")  # launchers whose jobs end when their sweep does, if not at once
WAIT = 10.0  # seconds for the last process of a sweep that was killed to be gone
POLL = 0.05  # seconds between two tries


@dataclass(frozen=True)
class Run:
    """One run of a study, as far as a sweep needs to know it.

    Attributes:
        folder: Its folder.
        identity: The hash of what determines its numbers.
        status: As in its record; a `running` without a sign of life is `interrupted`.
        reason: Why it did not finish.
        best: Epoch and metrics of its best checkpoint.
        number: Its number in the study's sweeps; None for a single run.

    Example:
        >>> Run(Path("outputs/demo/adam-k3x9qd"), "f00d", "finished").has_result
        True
    """

    folder: Path
    identity: str
    status: str
    reason: str | None = None
    best: Mapping[str, float] | None = None
    number: int | None = None

    @property
    def has_result(self) -> bool:
        """Whether it ended with a result: finished, pruned or diverged."""
        return self.status in RESULTS


class Study:
    """The folder of a study, `outputs/<study>/`.

    Its runs are the run folders; there is no second list of them. `study.json` holds what no run can know: for each
    sweep its command, its question, and which keys it varied and which it kept.

    Args:
        folder: The folder; made when a sweep begins.

    Attributes:
        runs: Folder → run.
        torn: Records that cannot be read.
        elsewhere: Folder → run that a cluster says is under way, with a record or without, fresh or not.

    Example:
        >>> import tempfile
        >>> study = Study(Path(tempfile.mkdtemp()))
        >>> study.refresh()
        >>> study.runs
        {}
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: dict[Path, Run] = {}
        self.torn: list[Path] = []
        self.elsewhere: dict[Path, Run] = {}
        self._lock: int | None = None

    def hold(self) -> None:
        """Become the one sweep of this study; a sweep that was killed a moment ago is waited for.

        The lock belongs to this process and to all that it forks: it is gone when the last of them is,
        however they end.

        Raises:
            BadInput: Another sweep of this study runs; the message says which. Or the file system has no locks.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        until = time.monotonic() + WAIT
        while not self._locked():
            if time.monotonic() >= until:
                self.release()
                last = self.sweeps()[-1:] or [{}]
                who = ", ".join(f"{key} {last[0][key]}" for key in ("pid", "host", "started") if key in last[0])
                raise BadInput(
                    f"study={self.folder.name}: another sweep of this study runs ({who or 'just begun'}); wait for its "
                    "end or choose another study=NAME"
                )
            time.sleep(POLL)

    def release(self) -> None:
        """Let the next sweep of this study begin."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def held(self) -> bool:
        """Return whether a sweep of this study runs now, as far as its lock tells."""
        try:
            lock = os.open(self.folder / ".lock", os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def _locked(self) -> bool:
        """Try to get the lock."""
        assert self._lock is not None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            self.release()
            raise BadInput(
                f"{self.folder}: its file system has no locks ({error.strerror}); set GLASSBOX_OUTPUTS to a "
                "folder on another one"
            ) from error
        return True

    def refresh(self) -> None:
        """Read the records that are new or were not final; `torn` holds those that cannot be read."""
        self.torn = []
        for path in sorted(self.folder.glob("*/run.json")):
            known = self.runs.get(path.parent)
            if known is None or not (known.has_result or known.status == "failed"):
                try:
                    self.runs[path.parent] = _run(path.parent, Record.read(path.parent))
                except BadInput:
                    self.torn.append(path)
        for folder, run in self.elsewhere.items():
            known = self.runs.get(folder)
            if known is None or known.status == "interrupted":
                self.runs[folder] = run

    def mark_interrupted(self) -> list[Path]:
        """Write `interrupted` into the records of runs that died without a word.

        Only for the sweep that holds the study: a run of ours that still says `running` must be dead, since its process
        would hold the lock, too (that of a launcher in `HOLDING`). The jobs of other launchers end a moment after their
        sweep, but those of Slurm; so the ones of this machine are waited for. All others are asked for a sign of life.

        Returns:
            Their folders.
        """
        marked = []
        until = time.monotonic() + WAIT
        for folder, run in list(self.runs.items()):
            open_ = run.status in ("running", "interrupted") and folder not in self.elsewhere
            fields = Record.read(folder) if open_ else {}
            if fields.get("status") != "running":
                continue
            here = fields["host"] == socket.gethostname()
            if here and fields["launcher"] in ENDING:
                while status_of(fields) == "running" and time.monotonic() < until:
                    time.sleep(POLL)
            if (here and fields["launcher"] in HOLDING) or status_of(fields) == "interrupted":
                Record(folder, fields).mark_dead()
                self.runs[folder] = _run(folder, Record.read(folder))
                marked.append(folder)
        return marked

    def by_identity(self) -> dict[str, Run]:
        """Return the run that speaks for each identity: one with a result, else one that runs, else the newest."""
        ranks = {"finished": 4, "pruned": 3, "diverged": 3, "running": 2}
        best: dict[str, Run] = {}
        for run in self.runs.values():
            other = best.get(run.identity)
            if other is None or _order(run, ranks) >= _order(other, ranks):
                best[run.identity] = run
        return best

    def next_number(self) -> int:
        """Return the number that the next job of a sweep gets: one more than the largest so far."""
        return 1 + max((run.number for run in self.runs.values() if run.number is not None), default=-1)

    def sweeps(self) -> list[dict[str, Any]]:
        """Return what study.json says of each sweep so far, the oldest first.

        Raises:
            BadInput: It cannot be read.
        """
        path = self.folder / "study.json"
        if not path.exists():
            return []
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return list(content["sweeps"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{path} cannot be read: {error}; move it away, the runs do not need it") from error

    def begin(self, sweep: Mapping[str, Any]) -> None:
        """Note a sweep that begins now.

        Args:
            sweep: Its command, question, and what else is to be kept; plain values.
        """
        begun = {**sweep, "pid": os.getpid(), "host": socket.gethostname(), "started": now(), "ended": None}
        self._write([*self.sweeps(), begun])

    def end(self, **fields: Any) -> None:
        """Note how the sweep that began last has ended.

        Args:
            **fields: What is known now, such as counts.
        """
        *before, last = self.sweeps()
        self._write([*before, {**last, "ended": now(), **fields}])

    def _write(self, sweeps: Sequence[Mapping[str, Any]]) -> None:
        content = {"schema": SCHEMA, "study": self.folder.name, "sweeps": list(sweeps)}
        write_atomic(self.folder / "study.json", json.dumps(content, indent=2, default=str) + "\n")


def constant_and_varied(jobs: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """Tell the keys that all jobs of a sweep share from those that differ.

    Args:
        jobs: What determines the numbers of each job, flat.

    Returns:
        The shared keys with their values, and the names of the others.

    Example:
        >>> constant_and_varied([{"lr": 0.1, "seed": 0}, {"lr": 0.1, "seed": 1, "optimizer.betas": [0.9, 0.99]}])
        ({'lr': 0.1}, ['optimizer.betas', 'seed'])
    """
    shared: dict[str, Any] | None = None
    every: set[str] = set()
    for job in jobs:
        every |= job.keys()
        shared = dict(job) if shared is None else {k: v for k, v in shared.items() if k in job and job[k] == v}
    shared = shared or {}
    return shared, sorted(every - shared.keys())


def clashes(
    constant: Mapping[str, Any], axes: Iterable[str], earlier: Iterable[Mapping[str, Any]]
) -> dict[str, tuple[Any, Any]]:
    """Look for keys that no sweep of a study varies, and that are others now.

    Args:
        constant: The keys that the jobs of the new sweep share, with their values.
        axes: The keys that the new sweep varies; a group such as `optimizer` stands for all keys in it.
        earlier: The study's sweeps so far; of each `constant` and `axes`.

    Returns:
        Key → (value before, value now).

    Example:
        >>> clashes({"batch_size": 32}, ["lr"], [{"constant": {"batch_size": 64, "lr": 1}, "axes": []}])
        {'batch_size': (64, 32)}
    """
    earlier = list(earlier)
    varied = {axis for sweep in earlier for axis in sweep.get("axes", ())} | set(axes)
    found = {}
    for sweep in earlier:
        before = sweep.get("constant", {})
        for key in sorted(before.keys() | constant.keys()):
            free = any(key == axis or key.startswith(f"{axis}.") for axis in varied)
            if not free and before.get(key) != constant.get(key):
                found[key] = before.get(key), constant.get(key)
    return found


def _order(run: Run, ranks: Mapping[str, int]) -> tuple[int, int]:
    return ranks.get(run.status, 0), -1 if run.number is None else run.number


def _run(folder: Path, fields: Mapping[str, Any]) -> Run:
    return Run(
        folder,
        fields["identity"],
        status_of(dict(fields)),
        fields["reason"],
        fields["best"],
        fields.get("number"),
    )
