"""Runs that end badly: whatever ends them, the record, W&B and the exit code say the same, and every file is whole."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from glassbox.config.place import ROOT
from glassbox.tracking.metrics_csv import read
from glassbox.tracking.record import Record, status_of

pytestmark = pytest.mark.slow

SMALL = ["data=moons", "data.samples=50", "batch_size=10"]
ENDLESS = [*SMALL, "max_epochs=1000000"]
PATIENCE = 90.0  # seconds


def start(*argv: str, root: Path = ROOT) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(root / "src")}
    command = [sys.executable, str(root / "scripts" / "train.py"), *argv]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_folder(outputs: Path) -> Path | None:
    folders = [path.parent for path in outputs.glob("*/*/run.json")]
    assert len(folders) <= 1
    return folders[0] if folders else None


def after_epochs(process: subprocess.Popen, outputs: Path, epochs: int = 3) -> Path:
    """Return the run folder as soon as metrics.csv has some epochs and the first checkpoint is there."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        folder = run_folder(outputs)
        if folder is not None and (folder / "metrics.csv").exists() and len(read(folder / "metrics.csv")) >= epochs:
            return folder
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"no {epochs} epochs within {PATIENCE} s")


def end(process: subprocess.Popen, number: signal.Signals) -> tuple[str, str]:
    process.send_signal(number)
    try:
        return process.communicate(timeout=PATIENCE)
    finally:
        process.kill()


def check_files(folder: Path) -> None:
    """Check that metrics.csv holds whole rows without a gap and that the checkpoints load and belong to them."""
    import torch

    rows = read(folder / "metrics.csv")
    assert [row["epoch"] for row in rows] == list(range(len(rows)))
    assert all("train/loss" in row and "val/loss" in row for row in rows)
    header, *lines = (folder / "metrics.csv").read_text().splitlines()
    assert len(lines) == len(rows)
    assert all(line.count(",") == header.count(",") for line in lines)
    last, best = (torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True) for name in ("last", "best"))
    assert max(best["epoch"], last["epoch"]) < len(rows)
    assert all(torch.isfinite(value).all() for value in last["state_dict"].values() if value.is_floating_point())


def stray(outputs: Path) -> list[str]:
    """Return temporary files that were left behind in the run folders."""
    runs = [path for path in outputs.rglob("*") if path.relative_to(outputs).parts[0] not in (".cache", "wandb")]
    return [path.name for path in runs if path.is_file() and (path.name[0] == "." or "tmp" in path.name)]


def wandb_summary(outputs: Path) -> dict:
    """Return what W&B's own reader says about the one run."""
    (log,) = outputs.glob("wandb/offline-run-*/*.wandb")
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--summary", "--json", str(log)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_training_that_raises(project, outputs):
    process = start(*SMALL, "+callbacks.x._target_=mine.fault.Break", root=project)
    told = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 1
    assert "RuntimeError: the disk is\nfull" in told
    folder = run_folder(outputs)
    record = Record.read(folder)
    assert record["status"] == status_of(record) == "failed"
    assert record["exit_code"] == 1
    assert record["reason"] == "RuntimeError: the disk is full"
    assert record["ended"] is not None
    assert record["final"]["epoch"] == 1
    assert "RuntimeError: the disk is" in (folder / "train.log").read_text()
    assert wandb_summary(outputs)["exit_code"] == 1
    check_files(folder)
    assert stray(outputs) == []


def test_a_training_that_diverges(outputs):
    process = start(*SMALL, "lr=1e30", "max_epochs=5")
    told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 4, told
    assert "Traceback" not in told[1]
    assert "diverged" in told[0]
    folder = run_folder(outputs)
    record = Record.read(folder)
    assert record["status"] == "diverged"
    assert record["exit_code"] == 4
    rows = read(folder / "metrics.csv")
    assert len(rows) < 5
    assert record["reason"].endswith(f"at epoch {len(rows) - 1}")
    assert wandb_summary(outputs)["exit_code"] == 4
    assert stray(outputs) == []


@pytest.mark.parametrize(
    ("number", "code", "reason"), [(signal.SIGTERM, 143, "SIGTERM"), (signal.SIGINT, 130, "Ctrl-C")]
)
def test_a_training_that_is_stopped(outputs, number, code, reason):
    process = start(*ENDLESS)
    folder = after_epochs(process, outputs)
    told = end(process, number)
    assert process.returncode == code, told
    assert "Traceback" not in told[1]
    record = Record.read(folder)
    assert record["status"] == status_of(record) == "interrupted"
    assert record["exit_code"] == code
    assert record["reason"] == reason
    assert record["final"]["epoch"] == len(read(folder / "metrics.csv")) - 1
    assert wandb_summary(outputs)["exit_code"] == code
    check_files(folder)
    assert stray(outputs) == []


def test_ctrl_c_ends_a_whole_multirun(outputs):
    process = start("-m", "launcher=basic", "seed=0,1", "study=mine", "logger=csv", *ENDLESS)
    folder = after_epochs(process, outputs)
    told = end(process, signal.SIGINT)
    assert process.returncode == 130, told
    assert run_folder(outputs) == folder


def test_a_training_that_is_killed(outputs):
    process = start(*ENDLESS, "logger=csv")
    folder = after_epochs(process, outputs, epochs=5)
    end(process, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    record = Record.read(folder)
    assert record["status"] == "running"
    assert record["exit_code"] is None
    assert status_of(record) == "interrupted"
    check_files(folder)
    # Only what was being written at that moment may remain, under a name that nobody reads.
    assert [name for name in stray(outputs) if not name.endswith(f".{process.pid}")] == []


def test_the_next_run_is_untouched_by_a_killed_one(outputs):
    process = start(*ENDLESS, "logger=csv")
    first = after_epochs(process, outputs)
    end(process, signal.SIGKILL)
    before = (first / "run.json").read_text()
    process = start(*SMALL, "max_epochs=2", "study=other", "logger=csv")
    told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, told
    assert (first / "run.json").read_text() == before
