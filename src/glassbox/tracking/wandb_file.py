"""W&B's file of an offline run, written without W&B's client: the same records in a tenth of the time.

The format belongs to wandb alone: a log of LevelDB's kind with a header of its own, whose entries are wandb's protobuf
messages. So it is written only where the wandb that is installed is one whose file the tests compare with this one.
"""

import hashlib
import json
import math
import os
import platform
import shutil
import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from glassbox.errors import GlassboxError
from glassbox.tracking.wandb_log import Log

TESTED = ("0.31.0",)


def untested() -> str | None:
    """Return why the wandb that is installed is left to its client; None if it need not be.

    Example:
        >>> untested()
    """
    import wandb

    version = wandb.__version__
    return None if version in TESTED else f"wandb is {version}, and the format of its file is known of {TESTED[-1]}"


class FileRun:
    """A W&B run that is written to its file: as much of wandb's own `Run` as an offline run of numbers needs.

    Args:
        dir: The folder in which `wandb/offline-run-<time>-<id>/` is made.
        project: The project.
        entity: The user or team; None for that of the account that will sync it.
        id: Its id.
        name: Its name.
        group: Its group.
        config: Its config, nested and plain.
        tags: Words of the user's.
        notes: A text of the user's.
        started: When it began, in seconds of the Unix clock; by default now.

    Attributes:
        summary: What W&B shows of the whole run; may be added to until the end.

    Example:
        >>> import tempfile
        >>> run = FileRun(tempfile.mkdtemp(), project="p", id="a-k3x9qd", name="a", group="g", config={"lr": 0.1})
        >>> run.define_metric("val/*", step_metric="epoch", summary="min,max,last")
        >>> run.log({"epoch": 0, "val/loss": 1.0})
        >>> run.log({"epoch": 1, "val/loss": 0.5})
        >>> run.finish(exit_code=0)
        >>> run.summary["val/loss"], run.path.name
        ({'last': 0.5, 'max': 1.0, 'min': 0.5}, 'run-a-k3x9qd.wandb')
    """

    def __init__(
        self,
        dir: str | os.PathLike[str],
        *,
        project: str,
        id: str,
        name: str,
        group: str,
        config: Mapping[str, Any],
        entity: str | None = None,
        tags: Sequence[str] | None = None,
        notes: str | None = None,
        started: float | None = None,
    ) -> None:
        import wandb
        from wandb.proto import wandb_internal_pb2, wandb_telemetry_pb2
        from wandb.sdk import wandb_setup

        preset = wandb_setup.singleton().settings  # from the environment and W&B's own settings file
        proto: Any = wandb_internal_pb2
        telemetry: Any = wandb_telemetry_pb2
        self._proto = proto
        self._started = time.time() if started is None else started
        self._number = self._step = 0
        self._globs: list[str] = []
        self._spans: dict[str, bool] = {}
        self._keys: tuple[str, ...] = ()
        self._row = proto.Record()
        self.summary: dict[str, Any] = {}
        stamp = time.strftime("%Y%m%d_%H%M%S", time.localtime(self._started))
        folder = Path(dir) / "wandb" / f"offline-run-{stamp}-{id}"
        (folder / "files").mkdir(parents=True)  # `wandb sync` writes config and summary there before it uploads them
        self.path = folder / f"run-{id}.wandb"
        self._log = Log(self.path)
        producer = f"{wandb.__version__}+glassbox"
        about = proto.VersionInfo(producer=producer, min_consumer="0.70.0")
        self._write(proto.Record(header=proto.HeaderRecord(version_info=about)))
        run = proto.RunRecord(
            run_id=id,
            entity=entity or preset.entity or "",
            project=project,
            run_group=group,
            display_name=name,
            notes=notes or preset.run_notes or "",
            tags=tags or preset.run_tags or [],
            job_type=preset.run_job_type or "",
            host=preset.host or "",
            telemetry=telemetry.TelemetryRecord(
                python_version=platform.python_version(), cli_version=wandb.__version__
            ),
        )
        run.start_time.FromNanoseconds(int(self._started * 1e9))
        for key, value in {"_wandb": {}, **config}.items():
            run.config.update.add(key=key, value_json=_text(value))
        self._write(proto.Record(run=run))

    def define_metric(
        self,
        name: str,
        *,
        step_metric: str | None = None,
        hidden: bool = False,
        summary: Literal["min,max,last"] | None = None,
    ) -> None:
        """Say how W&B shows a metric.

        Args:
            name: Its key; one that ends in `*` stands for all that begin so.
            step_metric: The key of its x axis.
            hidden: Whether W&B draws it only when asked to.
            summary: What the summary has of it, in place of its last value.
        """
        key = {"glob_name" if name.endswith("*") else "name": name}
        record = self._proto.MetricRecord(**key, step_metric=step_metric or "")
        record.options.defined, record.options.hidden = True, hidden
        record.options.step_sync = step_metric is not None
        if summary is not None:
            record.summary.min = record.summary.max = record.summary.last = True
            self._globs.append(name.removesuffix("*"))
        self._write(self._proto.Record(metric=record))

    def log(self, row: Mapping[str, float], at: float | None = None) -> None:
        """Write a row of the history.

        Args:
            row: Key → number.
            at: When it was there, in seconds of the Unix clock; by default now.
        """
        at = time.time() if at is None else at
        values = {**row, "_timestamp": at, "_runtime": at - self._started, "_step": self._step}
        if self._keys != tuple(values):  # else the record of the row before is used again
            self._keys = tuple(values)
            self._row = self._proto.Record()
            for key in values:
                self._row.history.item.add(nested_key=[key])
        for item, (key, value) in zip(self._row.history.item, values.items(), strict=True):
            item.value_json = _number(key, value)
            self._summarise(key, value)
        self._row.history.step.num = self._step
        self._write(self._row)
        self._step += 1

    def image(self, key: str, path: Path) -> None:
        """Show a picture in the summary.

        Args:
            key: Its key.
            path: The picture, a PNG; it is copied.
        """
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        width, height = struct.unpack(">II", content[16:24])  # the head of every PNG
        place = f"media/images/{key}_summary_{digest[:20]}.png"
        target = self.path.parent / "files" / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        record = self._proto.Record()
        record.files.files.add(path=place)
        self._write(record)
        about = {"_type": "image-file", "sha256": digest, "size": len(content), "path": place}
        self.summary[key] = {**about, "format": "png", "width": width, "height": height}

    def write_summary(self) -> None:
        """Write the summary as it is by now."""
        record = self._proto.SummaryRecord()
        for key, value in self.summary.items():
            record.update.add(nested_key=[key], value_json=json.dumps(value))
        self._write(self._proto.Record(summary=record))

    def finish(self, exit_code: int, at: float | None = None) -> None:
        """Write the summary and how the run ended.

        Args:
            exit_code: The exit code of the run.
            at: When it ended, in seconds of the Unix clock; by default now.
        """
        runtime = int((time.time() if at is None else at) - self._started)
        self.summary |= {"_runtime": runtime, "_wandb": {"runtime": runtime}}
        self.write_summary()
        self._write(self._proto.Record(exit=self._proto.RunExitRecord(exit_code=exit_code, runtime=runtime)))
        self._log.close()

    def _summarise(self, key: str, value: float) -> None:
        """Keep the last value, and with it the extremes where they are wanted; a NaN stays in both, as in W&B."""
        if key not in self._spans:
            self._spans[key] = key.startswith(tuple(self._globs))
        if not self._spans[key]:
            self.summary[key] = value
        elif key not in self.summary:
            self.summary[key] = {"last": value, "max": value, "min": value}
        else:
            seen = self.summary[key]
            seen["last"] = value
            if value > seen["max"] or value != value:
                seen["max"] = value
            if value < seen["min"] or value != value:
                seen["min"] = value

    def _write(self, record: Any) -> None:
        self._number += 1
        record.num = self._number
        self._log.append(record.SerializeToString())


def _text(value: Any) -> str:
    """Return plain containers as JSON; NaN is null, as W&B's client has it outside the history."""
    text = json.dumps(value)
    if "NaN" not in text:
        return text
    return json.dumps(json.loads(text, parse_constant=lambda name: None if name == "NaN" else float(name)))


def _number(key: str, value: object) -> str:
    """Return a number as JSON, and as wandb's client writes those that JSON does not have."""
    if isinstance(value, float) and math.isfinite(value):
        return float.__repr__(value)  # what json.dumps does in the end
    if isinstance(value, int | float):
        return json.dumps(value)
    raise GlassboxError(f"{key}: logger.writer=direct writes numbers only; use logger.writer=client")
