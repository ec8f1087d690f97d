"""The W&B run, with W&B's own reader as the oracle."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glassbox.errors import BadInput
from glassbox.tracking.tensorboard import TensorBoardRun
from glassbox.tracking.wandb_run import WandbRun

WANDB = str(Path(sys.executable).with_name("wandb"))
ROWS = [{"train/loss": 1.0 / (epoch + 1), "val/loss": abs(epoch - 2) + 0.5} for epoch in range(5)]
CONFIG = {"lr": 0.1, "optimizer": {"betas": [0.9, 0.99]}, "api_key": "hunter2", "home": "${oc.env:HOME}"}


def picture(folder):
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folder / "p.png")
    return folder / "p.png"


@pytest.fixture
def followed(outputs, tmp_path):
    folder = outputs / "study" / "name-abc123"
    run = WandbRun(folder)
    run.start(name=folder.name, study="study", config=CONFIG, tags=["a"], notes="why")
    for epoch, row in enumerate(ROWS):
        run.log(row, epoch)
    run.summary({"test/loss": 0.25})
    run.image("boundary", picture(tmp_path))
    run.close(3)
    (file,) = outputs.glob("wandb/offline-run-*-name-abc123/*.wandb")
    return file


def inspect(file, *flags):
    command = [WANDB, "leet", "inspect", *flags, "--json", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_wandb_reads_what_was_logged(followed):
    records = [json.loads(line) for line in inspect(followed).splitlines()]
    history = [record["history"]["item"] for record in records if record["type"] == "history"]
    seen = [{key: value for key, value in row.items() if key[0] != "_"} for row in history]
    assert seen == [{"epoch": epoch, **row} for epoch, row in enumerate(ROWS)]
    summary = json.loads(inspect(followed, "--summary"))
    assert (summary["run_id"], summary["name"], summary["exit_code"]) == ("name-abc123", "name-abc123", 3)
    assert (summary["state"], summary["notes"], summary["tags"]) == ("failed", "why", ["a"])
    assert summary["config"]["api_key"] == "***"
    assert summary["config"]["home"] == "${oc.env:HOME}"
    assert summary["config"]["run_folder"] == "outputs/study/name-abc123"
    assert summary["summary"]["val/loss"] == {"last": 2.5, "max": 2.5, "min": 0.5}
    assert summary["summary"]["test/loss"] == 0.25
    assert summary["summary"]["boundary"]["_type"] == "image-file"
    metrics = {record["metric"].get("glob_name"): record["metric"] for record in records if record["type"] == "metric"}
    assert metrics["val/*"]["step_metric"] == metrics["train/*"]["step_metric"] == "epoch"
    assert next(record["run"] for record in records if record["type"] == "run")["run_group"] == "study"
    assert b"hunter2" not in followed.read_bytes()


@pytest.mark.parametrize(
    ("mode", "netrc", "key", "message"),
    [
        ("offline", None, None, None),
        ("disabled", None, None, None),
        ("online", None, "k" * 40, None),
        ("online", "machine api.wandb.ai\n  login user\n  password kkk\n", None, None),
        ("online", "machine elsewhere\n  login user\n  password kkk\n", None, "needs a key: run `wandb login`"),
        ("online", "nonsense", None, "needs a key: run `wandb login`"),
        ("online", None, None, "needs a key: run `wandb login`"),
        ("sometimes", None, None, "logger.mode=sometimes: must be offline, online, disabled"),
    ],
)
def test_what_it_needs_is_known_before_it_starts(tmp_path, monkeypatch, mode, netrc, key, message):
    monkeypatch.setenv("HOME", str(tmp_path))
    if netrc:
        (tmp_path / ".netrc").write_text(netrc)
        (tmp_path / ".netrc").chmod(0o600)
    if key:
        monkeypatch.setenv("WANDB_API_KEY", key)
    if message is None:
        WandbRun.check(mode=mode)
    else:
        with pytest.raises(BadInput, match=message):
            WandbRun.check(mode=mode)


def test_tensorboard_reads_what_was_logged(tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = TensorBoardRun(tmp_path)
    run.start(name="a", study="b", config={}, tags=[], notes=None)
    for epoch, row in enumerate(ROWS):
        run.log(row, epoch)
    run.image("boundary", picture(tmp_path))
    run.close(0)
    events = reader.EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in events.Scalars("val/loss")] == [(i, r["val/loss"]) for i, r in enumerate(ROWS)]
    assert events.Images("boundary")[0].width == 4
