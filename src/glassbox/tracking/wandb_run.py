"""The W&B run of a run: offline unless asked otherwise, lean, and nothing in it that was not meant."""

import netrc
import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from math import isnan
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from glassbox.errors import BadInput, GlassboxError
from glassbox.tracking.secret import mask
from glassbox.tracking.wandb_file import FileRun, untested

MODES = ("offline", "online", "disabled")
WRITERS = ("client", "direct")
# Nothing in a run that was not meant, which is also what makes the client fast.
LEAN: dict[str, Any] = {
    "silent": True,
    "console": "off",
    "x_disable_stats": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
    "disable_git": True,
    "disable_code": True,
}
_served: int | None = None  # the process whose runs W&B's service has


class WandbRun:
    """Follow a run on Weights & Biases, one row per epoch over the axis `epoch`.

    Args:
        folder: The run folder; its name is the run's id and name, its study the group.
        project: The W&B project. Under a W&B agent the sweep chooses project, entity and id.
        entity: The W&B user or team; None for the account's own.
        mode: `offline` writes below outputs/wandb, `online` uploads, `disabled` does nothing.
        writer: `client` leaves the writing to W&B; `direct` writes its file of an offline run, in a tenth of the time,
            where the wandb that is installed is one that this is tested with.

    Example:
        >>> WandbRun.check(mode="off")
        Traceback (most recent call last):
        glassbox.errors.BadInput: logger.mode=off: must be offline, online, disabled
    """

    def __init__(
        self,
        folder: Path,
        project: str = "glassbox",
        entity: str | None = None,
        mode: str = "offline",
        writer: str = "client",
    ) -> None:
        self.folder = folder
        self.project = project
        self.entity = entity
        self.mode = mode
        self.writer = writer
        self._until: float | None = None  # when it ended, where that is not now
        self.run: Any = None

    @staticmethod
    def check(
        project: str = "glassbox", entity: str | None = None, mode: str = "offline", writer: str = "client"
    ) -> None:
        """Check what a W&B run needs before anything is written.

        Raises:
            BadInput: The mode is none of W&B's or hides the run from the agent that started it, online has no key, or
                there is no such writer.
        """
        if mode not in MODES:
            raise BadInput(f"logger.mode={mode}: must be {', '.join(MODES)}")
        if writer not in WRITERS:
            raise BadInput(f"logger.writer={writer}: must be {' or '.join(WRITERS)}")
        if os.environ.get("WANDB_SWEEP_ID") and not os.environ.get("WANDB_RUN_ID"):
            raise BadInput(
                "WANDB_SWEEP_ID is set without WANDB_RUN_ID: no W&B agent has started this; unset WANDB_SWEEP_ID"
            )
        if under_agent() and mode != "online":
            raise BadInput(
                f"logger.mode={mode}: the sweep of a W&B agent would never see the run; add logger.mode=online"
            )
        if mode == "online" and not has_key():
            raise BadInput("logger.mode=online needs a key: run `wandb login`, or use logger.mode=offline")

    def start(
        self,
        *,
        name: str,
        study: str,
        config: Mapping[str, Any],
        tags: Sequence[str],
        notes: str | None,
        started: float | None = None,
        id: str | None = None,
    ) -> None:
        """Begin the W&B run.

        Args:
            name: Its name.
            study: Its group.
            config: Its config, nested and plain; secrets are masked.
            tags: Words of the user's.
            notes: A text of the user's.
            started: When it began, in seconds of the Unix clock; by default now. W&B's client always says now.
            id: Its id where no agent has chosen one; by default its name.

        Raises:
            GlassboxError: W&B refuses, such as for a key that is not valid.
        """
        outputs = self.folder.parent.parent
        about = {
            "dir": str(outputs),
            "project": self.project,
            "entity": self.entity,
            "id": id or name,
            "name": name,
            "group": study,
            "config": {**mask(dict(config)), "run_folder": f"{outputs.name}/{study}/{name}"},
            "tags": mask(list(tags)) or None,
            "notes": mask(notes),
        }
        self.run = FileRun(**about, started=started) if self._is_direct() else _client(about, self.mode)
        self.run.define_metric("epoch", hidden=True)
        for stage in ("train", "val"):
            self.run.define_metric(f"{stage}/*", step_metric="epoch", summary="min,max,last")

    def _is_direct(self) -> bool:
        """Return whether the file is written here; where it is asked for and cannot be, say so."""
        if self.writer != "direct":
            return False
        reason = untested() if self.mode == "offline" else f"logger.mode={self.mode} needs it"
        if reason is not None:
            _tell(f"logger.writer=direct: W&B's client writes the run, since {reason}")
        return reason is None

    @property
    def experiment(self) -> Any:
        """The wandb run, for pictures and tables of your own."""
        return self.run

    def log(self, row: dict[str, float], epoch: int) -> None:
        """Log the row of an epoch."""
        if self.run is not None:
            self.run.log({"epoch": epoch, **row})
        if isinstance(self.run, FileRun):
            self.run.write_summary()  # for a run that is killed

    def log_all(self, rows: Mapping[int, dict[str, float]], began: float, times: Sequence[float]) -> None:
        """Log all rows of a run that has ended; W&B's client says of each that it is there now."""
        for (epoch, row), at in zip(rows.items(), times, strict=False):
            if isinstance(self.run, FileRun):
                self.run.log({"epoch": epoch, **row}, at)
                self._until = at
            else:
                self.log(row, epoch)

    def summary(self, values: dict[str, float]) -> None:
        """Put values into the summary."""
        if self.run is not None:
            # W&B's client makes null of NaN here, and so does the other writer.
            self.run.summary.update({key: None if isnan(value) else value for key, value in values.items()})

    def image(self, key: str, path: Path) -> None:
        """Show a picture in the summary."""
        if isinstance(self.run, FileRun):
            self.run.image(key, path)
        elif self.run is not None:
            import wandb

            self.run.summary[key] = wandb.Image(str(path))

    def table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a table.

        Args:
            key: Its name.
            columns: The names of its columns.
            rows: Its texts, one sequence per row.
        """
        if self.run is not None:
            import wandb

            self.run.log({key: wandb.Table(columns=list(columns), data=[list(row) for row in rows])})

    def close(self, exit_code: int, at: float | None = None) -> None:
        """Finish the W&B run.

        Args:
            exit_code: The exit code of the run.
            at: When it ended, in seconds of the Unix clock; by default now. W&B's client always says now.
        """
        if isinstance(self.run, FileRun):
            self.run.finish(exit_code, at or self._until)
        elif self.run is not None:
            self.run.finish(exit_code=exit_code)
        self.run = None


def is_wandb(logger: Mapping[str, Any]) -> bool:
    """Return whether a logger is W&B's.

    Args:
        logger: The `logger` node of a config.

    Example:
        >>> is_wandb({"_target_": "glassbox.tracking.wandb_run.WandbRun"}), is_wandb({"_target_": None})
        (True, False)
    """
    return str(logger.get("_target_")).endswith(f".{WandbRun.__name__}")


def preload(logger: Mapping[str, Any]) -> None:
    """Import what the first W&B run of a logger needs, for a process that will import torch or fork others.

    After torch the client's import takes twice as long.

    Args:
        logger: The `logger` node of a config.

    Example:
        >>> preload({"_target_": "glassbox.tracking.wandb_run.WandbRun", "writer": "client"})
    """
    if not is_wandb(logger):
        return
    import wandb

    if logger.get("writer") != "direct":
        import wandb.sdk.launch  # noqa: F401


def teardown() -> None:
    """Wait until the files of all W&B runs of this process are whole; their `finish` does not.

    Example:
        >>> teardown()
    """
    if _served == os.getpid():  # not what this process has inherited
        import wandb

        wandb.teardown()


def under_agent() -> bool:
    """Return whether `wandb agent` has started this process.

    Either variable alone is left over from something else, or from nothing.

    Example:
        >>> under_agent()
        False
    """
    return bool(os.environ.get("WANDB_SWEEP_ID") and os.environ.get("WANDB_RUN_ID"))


def run_id(folder: Path) -> str:
    """Return the id of the W&B run of a run folder: the folder's name, or what a W&B agent has chosen.

    Args:
        folder: The run folder.

    Example:
        >>> run_id(Path("outputs/demo/adam-k3x9qd"))
        'adam-k3x9qd'
    """
    return os.environ["WANDB_RUN_ID"] if under_agent() else folder.name


def _client(about: Mapping[str, Any], mode: str) -> Any:
    """Begin a run by W&B's client."""
    global _served
    import wandb

    _served = os.getpid()
    where = ("project", "entity", "id") if under_agent() else ()  # wandb takes the sweep's from the environment
    settings = wandb.Settings(**LEAN, x_transaction_log_flush_interval=0.2)  # a run that is killed keeps its rows
    try:
        return wandb.init(
            **{key: value for key, value in about.items() if key not in where},
            mode=mode,  # type: ignore[arg-type]
            resume=None,
            reinit="create_new",
            save_code=False,
            settings=settings,
        )
    except wandb.Error as error:
        message = " ".join(str(error).split())
        raise GlassboxError(f"W&B does not start the run: {message}; or use logger.mode=offline") from error


@cache
def _tell(line: str) -> None:
    """Say something once in this process."""
    print(line, file=sys.stderr)


def base_url() -> str:
    """Return the address of the W&B server: WANDB_BASE_URL, or the cloud.

    Example:
        >>> base_url()
        'https://api.wandb.ai'
    """
    return (os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").rstrip("/")


def has_key() -> bool:
    """Return whether W&B would find a key without asking: in the environment, or in netrc for its host.

    Example:
        >>> os.environ["WANDB_API_KEY"] = "k" * 40
        >>> has_key()
        True
    """
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlparse(base_url()).hostname or ""
    named = os.environ.get("NETRC")
    for path in [Path(named)] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        try:
            if netrc.netrc(str(path)).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False
