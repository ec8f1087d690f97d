"""The record of a run: `run.json` and `.hydra/` in its folder, always whole on the disk."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from glassbox.errors import BadInput
from glassbox.tracking.identity import stated
from glassbox.tracking.secret import mask, mask_command

SCHEMA = 2  # 1 had no `config`
STATUSES = ("running", "finished", "pruned", "failed", "diverged", "interrupted")
BEAT = 10.0
STALE = timedelta(seconds=12 * BEAT)
PACKAGES = (
    "glassbox", "torch", "lightning", "hydra-core", "omegaconf", "wandb", "torchmetrics", "scikit-learn", "numpy",
)  # fmt: skip


class Record:
    """The run folder of one run, while it runs.

    Args:
        folder: The run folder.
        fields: What run.json holds.
        sync: Whether what is written is on the disk at once, so that it outlives a loss of power. It takes longer than
            the rest, much longer where others write: who writes many runs leaves it out and calls `os.sync` once.

    Example:
        >>> import tempfile
        >>> record = Record(Path(tempfile.mkdtemp()), {"schema": SCHEMA, "status": "running"})
        >>> record.finish("diverged", reason="val/loss is nan at epoch 3", exit_code=4)
        >>> Record.read(record.folder)["reason"]
        'val/loss is nan at epoch 3'
    """

    def __init__(self, folder: Path, fields: dict[str, Any], *, sync: bool = True) -> None:
        self.folder = folder
        self.fields = fields
        self._sync = sync
        self._beaten = time.monotonic()

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        study: str,
        name: str,
        identity: str,
        config: Mapping[str, Any],
        files: Mapping[str, str],
        command: list[str],
        seeds: dict[str, Any],
        device: str | None,
        launcher: str | None,
        tags: list[str],
        notes: str | None,
        root: Path,
        number: int | None = None,
        wandb_run_id: str | None = None,
        sync: bool = True,
        **more: Any,
    ) -> "Record":
        """Write the record of a run that begins now.

        Args:
            folder: The run folder; made if it is not there.
            study: The study.
            name: The run's name.
            identity: The hash of what determines its numbers.
            config: What `glassbox.tracking.identity.stated` says of its config.
            files: More files of the folder, name → text, such as `.hydra/config.yaml`.
            command: The command, word by word.
            seeds: Name → seed.
            device: The first device; None as long as it is not known.
            launcher: What started it in a multirun.
            tags: Words of the user's.
            notes: A text of the user's.
            root: The project's folder, whose git state is recorded.
            number: Its number in the multirun.
            wandb_run_id: The id of its W&B run.
            sync: Whether each of its files is on the disk at once.
            **more: Fields that are other than those of an ordinary run, such as `batched`.

        Returns:
            The record, with status `running`.
        """
        for file, text in files.items():
            write_atomic(folder / file, text, sync=sync)
        moment = now()
        fields: dict[str, Any] = {
            "schema": SCHEMA,
            "study": study,
            "name": name,
            "identity": identity,
            "config": dict(config),
            "status": "running",
            "reason": None,
            "exit_code": None,
            "started": moment,
            "ended": None,
            "heartbeat": moment,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": mask_command(command),
            "git": git_state(root),
            "versions": {"python": _python()} | {name: _version(name) for name in PACKAGES},
            "seeds": seeds,
            "device": device,
            "launcher": launcher,
            "number": number,
            "batched": False,
            "best": {},
            "final": {},
            "test": {},
            "wandb_run_id": wandb_run_id,
            "findings": [],
            "tags": tags,
            "notes": notes,
        }
        assert more.keys() <= fields.keys()
        record = cls(folder, fields | more, sync=sync)
        record._write()
        return record

    def update(self, **fields: Any) -> None:
        """Change fields and write the record."""
        self.fields |= fields
        self._write()

    def beat(self) -> None:
        """Show that the run is alive; writes at most every ten seconds, so it may be called at every step."""
        clock = time.monotonic()
        if clock - self._beaten >= BEAT:
            self._beaten = clock
            self.update(heartbeat=now())

    def finish(self, status: str, *, reason: str | None = None, exit_code: int = 0, **fields: Any) -> None:
        """Write how the run ended.

        Args:
            status: One of the statuses but `running`.
            reason: Why it did not finish.
            exit_code: The exit code of a process that does only this run.
            **fields: More fields, such as its metrics.
        """
        assert status in STATUSES
        moment = now()
        self.update(status=status, reason=reason, exit_code=exit_code, ended=moment, heartbeat=moment, **fields)

    def mark_dead(self) -> None:
        """Write that the process of the run is gone, and could not say so itself."""
        self.finish("interrupted", reason="its process ended without a word", exit_code=137)

    @staticmethod
    def read(folder: Path) -> dict[str, Any]:
        """Read the record of a run.

        Args:
            folder: A run folder.

        Returns:
            What run.json holds.

        Raises:
            BadInput: The folder is no run, or its record is torn or of another schema.
        """
        path = Path(folder) / "run.json"
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BadInput(f"{folder} is no run folder: it has no run.json; name outputs/<study>/<run>") from error
        except (OSError, ValueError) as error:
            raise BadInput(f"{path} cannot be read: {error}") from error
        if isinstance(fields, dict) and fields.get("schema") == 1:
            fields |= {"schema": SCHEMA, "config": _config_of_schema_1(Path(folder))}
        if not isinstance(fields, dict) or fields.get("schema") != SCHEMA:
            raise BadInput(f"{path}: it has another schema than {SCHEMA}, which this version of Glassbox reads")
        return fields

    def _write(self) -> None:
        text = json.dumps(_finite(mask(self.fields)), indent=2, allow_nan=False) + "\n"
        write_atomic(self.folder / "run.json", text, sync=self._sync)


def _config_of_schema_1(folder: Path) -> dict[str, Any]:
    """Return what a record of schema 1 left to the other files of its folder."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    hydra = folder / ".hydra"
    try:
        config, own = (yaml.load((hydra / f"{n}.yaml").read_bytes(), loader) for n in ("config", "hydra"))
        return stated(config, own["hydra"]["runtime"]["choices"])
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise BadInput(f"{folder}: its record is of schema 1, and {hydra} does not tell its config: {error}") from error


def status_of(fields: dict[str, Any]) -> str:
    """Return the status that a record stands for: `running` without a sign of life is `interrupted`.

    Args:
        fields: What `Record.read` returned.

    Example:
        >>> status_of({"status": "running", "heartbeat": "2020-01-01T00:00:00+00:00", "host": "?", "pid": 1})
        'interrupted'
    """
    status: str = fields["status"]
    if status != "running":
        return status
    stale = datetime.now(UTC) - datetime.fromisoformat(fields["heartbeat"]) > STALE
    gone = fields["host"] == socket.gethostname() and not _alive(fields["pid"])
    return "interrupted" if stale or gone else "running"


@cache
def git_state(root: Path) -> dict[str, Any] | None:
    """Return the commit of a folder's repository and whether files differ from it; None without git or commit.

    It is asked once per process: what a process has loaded does not change with the files.

    Args:
        root: A folder.

    Example:
        >>> import tempfile
        >>> git_state(Path(tempfile.mkdtemp())) is None  # a folder without a repository
        True
    """
    try:
        run = ["git", "-C", str(root)]
        commit = subprocess.run([*run, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*run, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit, "dirty": bool(changed.strip())}


def write_atomic(path: Path, text: str, *, sync: bool = True) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of one.

    Args:
        path: The file; its folder is made.
        text: What to write.
        sync: Whether to wait for the disk, so that it outlives a loss of power, too.

    Raises:
        OSError: It cannot be written.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "new" / "notes.txt"
        >>> write_atomic(file, "first")
        >>> write_atomic(file, "second")
        >>> [(path.name, path.read_text()) for path in file.parent.iterdir()]
        [('notes.txt', 'second')]
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")  # on Linux: a process that was killed may wait long for its parent to notice
    if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] in "ZX":
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _finite(tree: Any) -> Any:
    """Write NaN and infinities as text: JSON has no word for them."""
    if isinstance(tree, dict):
        return {key: _finite(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_finite(value) for value in tree]
    return str(tree) if isinstance(tree, float) and (tree != tree or tree in (float("inf"), float("-inf"))) else tree


def now() -> str:
    """Return the time as records have it.

    Example:
        >>> now().endswith("+00:00")
        True
    """
    return datetime.now(UTC).isoformat(timespec="seconds")


def _python() -> str:
    import platform

    return platform.python_version()


def _version(package: str) -> str | None:
    """Return what a loaded module says, which names its build as in 2.13.0+cu130, else what was installed."""
    loaded = getattr(sys.modules.get(package), "__version__", None)
    if loaded is not None:
        return str(loaded)
    return _installed(package)


@cache
def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
