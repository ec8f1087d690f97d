"""A W&B server: what it has of a study, and how runs get there."""

import fcntl
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glassbox.errors import BadInput, GlassboxError
from glassbox.tracking.wandb_run import base_url, has_key

ENDED = ("finished", "failed", "killed")  # as W&B calls a run that has said how it ended
PATIENCE = 20  # seconds for an answer
PAGE = 500  # runs that are asked for at once


@dataclass(frozen=True)
class There:
    """What a server has of a run.

    Attributes:
        rows: Rows of its history.
        ended: Whether it was told how the run ended.
    """

    rows: int = 0
    ended: bool = False


class Server:
    """The server that W&B's settings name, and the account that the key belongs to.

    Attributes:
        url: Its address.
        entity: The user or team of the account.

    Raises:
        BadInput: There is no key, or it is refused.
        GlassboxError: It does not answer.
    """

    def __init__(self) -> None:
        import wandb

        self.url = base_url()
        if not has_key():
            raise BadInput(f"{self.url} needs a key: run `wandb login`, or set WANDB_API_KEY")
        try:
            with urllib.request.urlopen(self.url, timeout=PATIENCE):
                pass
        except urllib.error.HTTPError:
            pass  # it is there
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise GlassboxError(f"{self.url} does not answer: {reason}; nothing was sent") from error
        try:
            entity = wandb.Api(timeout=PATIENCE).default_entity
        except (wandb.Error, ValueError) as error:
            if "respond in time" in str(error):
                raise GlassboxError(f"{self.url} does not answer: {_line(error)}; nothing was sent") from error
            raise BadInput(f"{self.url} refuses the key: {_line(error)}; run `wandb login --relogin`") from error
        self.entity = entity or ""

    def runs(self, entity: str, project: str, study: str) -> dict[str, There]:
        """Return what is there of a study by the id of the run; nothing where there is no such project.

        Args:
            entity: The user or team.
            project: The project.
            study: The study, which is the group of its runs.

        Raises:
            GlassboxError: It does not say.
        """
        import wandb
        from wandb.sdk.lib.service.service_connection import WandbApiFailedError

        listed: Any = wandb.Api(timeout=PATIENCE).runs(f"{entity}/{project}", filters={"group": study}, per_page=PAGE)
        try:
            return {run.id: There(run.historyLineCount or 0, run.state in ENDED) for run in listed}
        except ValueError as error:
            if "Could not find project" in str(error):
                return {}
            raise
        except (wandb.Error, WandbApiFailedError) as error:
            raise GlassboxError(f"{self.url} does not say what it has of {study}: {_line(error)}") from error


def send(files: Sequence[Path], *, entity: str, project: str, lock: int) -> list[str]:
    """Send files with `wandb sync`, whose exit code says nothing: ask the server afterwards.

    Args:
        files: W&B's files.
        entity: The user or team that gets them.
        project: The project that gets them.
        lock: A lock that is held as long as they are being sent, even by a process whose parent was killed.

    Returns:
        What W&B says of failures.
    """
    command = [str(Path(sys.executable).with_name("wandb")), "sync", "--include-online", "--include-synced"]
    command += ["--entity", entity, "--project", project, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, pass_fds=[lock], stdin=subprocess.DEVNULL)
    lines = (done.stdout + done.stderr).splitlines()
    return [line.partition("ERROR ")[2] for line in lines if "ERROR " in line]


@contextmanager
def alone(outputs: Path) -> Iterator[int]:
    """Hold the lock of all who send from an outputs folder; one that is killed holds it until W&B's client is gone.

    Args:
        outputs: The folder.
    """
    (outputs / "wandb").mkdir(parents=True, exist_ok=True)
    lock = os.open(outputs / "wandb" / ".publishing", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another publish of these runs to end …", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
