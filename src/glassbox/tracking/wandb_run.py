"""The W&B run of a run: offline unless asked otherwise, lean, and nothing in it that was not meant."""

import netrc
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from glassbox.errors import BadInput, GlassboxError
from glassbox.tracking.secret import mask

MODES = ("offline", "online", "disabled")


class WandbRun:
    """Follow a run on Weights & Biases, one row per epoch over the axis `epoch`.

    Args:
        folder: The run folder; its name is the run's id and name, its study the group.
        project: The W&B project. Under a W&B agent the sweep chooses project, entity and id.
        entity: The W&B user or team; None for the account's own.
        mode: `offline` writes below outputs/wandb, `online` uploads, `disabled` does nothing.

    Example:
        >>> WandbRun.check(mode="off")
        Traceback (most recent call last):
        glassbox.errors.BadInput: logger.mode=off: must be offline, online, disabled
    """

    def __init__(
        self, folder: Path, project: str = "glassbox", entity: str | None = None, mode: str = "offline"
    ) -> None:
        self.folder = folder
        self.project = project
        self.entity = entity
        self.mode = mode
        self.run: Any = None

    @staticmethod
    def check(project: str = "glassbox", entity: str | None = None, mode: str = "offline") -> None:
        """Check what a W&B run needs before anything is written.

        Raises:
            BadInput: The mode is none of W&B's or hides the run from the agent that started it, or online has no key.
        """
        if mode not in MODES:
            raise BadInput(f"logger.mode={mode}: must be {', '.join(MODES)}")
        if os.environ.get("WANDB_SWEEP_ID") and not os.environ.get("WANDB_RUN_ID"):
            raise BadInput(
                "WANDB_SWEEP_ID is set without WANDB_RUN_ID: no W&B agent has started this; unset WANDB_SWEEP_ID"
            )
        if under_agent() and mode != "online":
            raise BadInput(
                f"logger.mode={mode}: the sweep of a W&B agent would never see the run; add logger.mode=online"
            )
        if mode == "online" and not _has_key():
            raise BadInput("logger.mode=online needs a key: run `wandb login`, or use logger.mode=offline")

    def start(self, *, name: str, study: str, config: Mapping[str, Any], tags: list[str], notes: str | None) -> None:
        """Begin the W&B run.

        Args:
            name: Its name, and its id where no agent has chosen one.
            study: Its group.
            config: Its config, nested and plain; secrets are masked.
            tags: Words of the user's.
            notes: A text of the user's.

        Raises:
            GlassboxError: W&B refuses, such as for a key that is not valid.
        """
        import wandb

        outputs = self.folder.parent.parent
        where: dict[str, Any] = {"project": self.project, "entity": self.entity, "id": name}
        if under_agent():
            where = {}  # wandb takes the sweep's from the environment
        settings = wandb.Settings(
            silent=True,
            console="off",
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
            disable_git=True,
            disable_code=True,
            x_transaction_log_flush_interval=0.2,
        )
        try:
            self.run = wandb.init(
                **where,
                name=name,
                group=study,
                dir=str(outputs),
                mode=self.mode,  # type: ignore[arg-type]
                config={**mask(dict(config)), "run_folder": f"{outputs.name}/{study}/{name}"},
                tags=mask(list(tags)) or None,
                notes=mask(notes),
                resume=None,
                reinit="create_new",
                save_code=False,
                settings=settings,
            )
        except wandb.Error as error:
            message = " ".join(str(error).split())
            raise GlassboxError(f"W&B does not start the run: {message}; or use logger.mode=offline") from error
        self.run.define_metric("epoch", hidden=True)
        for stage in ("train", "val"):
            self.run.define_metric(f"{stage}/*", step_metric="epoch", summary="min,max,last")

    @property
    def experiment(self) -> Any:
        """The wandb run, for pictures and tables of your own."""
        return self.run

    def log(self, row: dict[str, float], epoch: int) -> None:
        """Log the row of an epoch."""
        if self.run is not None:
            self.run.log({"epoch": epoch, **row})

    def summary(self, values: dict[str, float]) -> None:
        """Put values into the summary."""
        if self.run is not None:
            self.run.summary.update(values)

    def image(self, key: str, path: Path) -> None:
        """Show a picture in the summary."""
        if self.run is not None:
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

    def close(self, exit_code: int) -> None:
        """Finish the W&B run with the exit code of the run."""
        if self.run is not None:
            self.run.finish(exit_code=exit_code)
            self.run = None


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


def _has_key() -> bool:
    """Return whether W&B would find a key without asking: in the environment, or in netrc for its host."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname or ""
    named = os.environ.get("NETRC")
    for path in [Path(named)] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        try:
            if netrc.netrc(str(path)).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False
