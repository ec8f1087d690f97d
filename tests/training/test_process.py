"""A run in several processes: the numbers of one process, one record of all, and whatever ends one ends all."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from glassbox.config.place import ROOT
from glassbox.tracking.metrics_csv import read
from glassbox.tracking.record import Record, status_of

pytestmark = pytest.mark.slow

DDP = ["trainer=ddp", "trainer.accelerator=cpu"]
DOUBLE = "trainer.precision=64-true"
SMALL = ["data=moons", "data.samples=155", "logger=csv"]  # 93, 31 and 31 rows
PATIENCE = 120.0  # seconds; only a failing test waits so long


@pytest.fixture(scope="module")
def project(project) -> Path:
    """The copy of the project, with options for what the user's package has."""
    (project / "conf" / "model" / "net.yaml").write_text("_target_: mine.device.Net\nlr: ${lr}\n")
    (project / "conf" / "data" / "rows.yaml").write_text("# @package _global_\ndata:\n  _target_: mine.device.Data\n")
    return project


def start(*argv: str, root: Path = ROOT, script: str = "train.py") -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(root / "src")}
    command = [sys.executable, str(root / "scripts" / script), *argv]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen, code: int = 0) -> tuple[str, str]:
    try:
        told = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == code, told
    return told


def runs(outputs: Path, study: str = "*") -> list[Path]:
    folders = [path.parent for path in outputs.glob(f"{study}/*/run.json")]
    return sorted(folders, key=lambda folder: (Record.read(folder)["number"] or 0, folder))


def together(outputs: Path, *argv: str, root: Path = ROOT) -> Path:
    """Return the folder of a run in two processes, by the command line."""
    told = finish(start(*argv, *DDP, "trainer.devices=2", "study=together", root=root))
    assert told[1] == ""
    (folder,) = runs(outputs, "together")
    return folder


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


def check_same(one: Path, other: Path, rel: float, logged: float | None = None) -> None:
    """Check that two runs have the same numbers: `rel` holds for weights, `logged` for what Lightning rounds."""
    logged = logged or rel
    rows, others = read(one / "metrics.csv"), read(other / "metrics.csv")
    assert others == [pytest.approx(row, rel=logged) for row in rows]
    for name in ("best", "last"):
        saved, again = weights(one, name), weights(other, name)
        assert saved.keys() == again.keys()
        for key in saved:
            assert torch.allclose(saved[key], again[key], rtol=rel, atol=rel * float(saved[key].abs().max())), key
    first, second = Record.read(one), Record.read(other)
    for key in ("best", "final", "test"):
        assert first[key], key
        assert second[key] == pytest.approx(first[key], rel=logged), key
    for key in ("identity", "status", "reason", "exit_code", "device", "seeds"):
        assert first[key] == second[key], key
    files = [sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) for folder in (one, other)]
    assert files[0] == files[1]


CASES = {
    "an uneven last batch": (2, "max_epochs=8"),  # 341 rows in batches of 32
    "a last batch of one row": (2, f"{' '.join(SMALL)} batch_size=4 max_epochs=8"),
    "three processes, of which two have no row at the end": (3, f"{' '.join(SMALL)} batch_size=6 max_epochs=8"),
    "clipped gradients that add up": (
        2,
        "data=digits model=mlp model.hidden=8 optimizer=momentum scheduler=one_cycle max_epochs=4 batch_size=50 "
        "trainer.gradient_clip_val=0.5 trainer.accumulate_grad_batches=3",
    ),
    "a plateau and an early stop": (
        2,
        "data=diabetes scheduler=plateau scheduler.patience=1 callbacks=early_stopping lr=0.3 max_epochs=60 "
        "callbacks.early_stopping.patience=5",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_the_run_of_one_process(train, outputs, case):
    devices, argv = CASES[case][0], [DOUBLE, "logger=csv", *CASES[case][1].split()]
    several = train(*argv, *DDP, f"trainer.devices={devices}")
    check_same(train(*argv), several, rel=1e-9)
    if "callbacks=early_stopping" in argv:
        rows = read(several / "metrics.csv")
        assert len(rows) < 60
        assert rows[-1]["train/lr"] < rows[0]["train/lr"]
    finish(start(str(several), script="evaluate.py"))


def test_in_float32_and_with_wandb(train, outputs):
    alone, several = train("max_epochs=6"), together(outputs, "max_epochs=6")
    check_same(alone, several, rel=1e-4)
    assert (several / "boundary.png").stat().st_size > 1000
    assert len((several / "timing.csv").read_text().splitlines()) == 7
    logs = sorted(outputs.glob("wandb/offline-run-*/*.wandb"))
    assert [log.parent.name.partition("-")[2].split("-", 2)[2] for log in logs] == [alone.name, several.name]
    seen = []
    for log in logs:
        command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(log)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        seen.append([kind for kind in text.split('"type":') if kind.lstrip().startswith('"history"')])
    assert len(seen[0]) == len(seen[1]) == 6


def test_plain_lightning_of_a_users_own(outputs, project):
    """The batch is the global one, each row counts once, and `self.log` is told of all rows."""
    argv = ["model=net", "data=rows", "batch_size=35", "max_epochs=4", "logger=csv", DOUBLE]
    finish(start(*argv, "study=alone", root=project))
    (alone,) = runs(outputs, "alone")
    check_same(alone, together(outputs, *argv, root=project), rel=1e-9, logged=1e-6)


def test_plain_lightning_that_leaves_a_process_without_a_row(outputs, project):
    argv = ["model=net", "data=rows", "batch_size=19", "max_epochs=4", "logger=csv", *DDP, "trainer.devices=2"]
    told = finish(start(*argv, root=project), 2)
    (folder,) = runs(outputs)
    assert "a batch of 1 rows has no row for some of the processes" in told[1]
    assert "a batch of 1 rows has no row for some of the processes" in Record.read(folder)["reason"]


def pids(outputs: Path) -> list[int]:
    """Return the living processes that were started with this folder for their outputs."""
    mark, found = f"GLASSBOX_OUTPUTS={outputs}".encode(), []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (path / "environ").read_bytes() and "\nState:\tZ" not in (path / "status").read_text():
                found.append(int(path.name))
        except OSError:  # it has just gone
            continue
    return found


def check_gone(outputs: Path) -> None:
    until = time.monotonic() + PATIENCE / 4
    while left := pids(outputs):
        assert time.monotonic() < until, left
        time.sleep(0.05)


def fault(kind: str, rank: int) -> list[str]:
    return ["+callbacks.x._target_=mine.device.Fault", f"+callbacks.x.kind={kind}", f"+callbacks.x.rank={rank}"]


FAULTS = {
    ("raises", 0): "RuntimeError: the disk is full",
    ("raises", 1): "RuntimeError: the disk is full",
    ("traps", 1): "Trap: two numbers",
    ("leaves", 1): "sys.exit(0) was called",
    ("killed", 0): "process 0 of 2 was killed by SIGKILL, perhaps out of memory",
    ("killed", 1): "process 1 of 2 was killed by SIGKILL, perhaps out of memory",
}


@pytest.mark.parametrize(("kind", "rank"), FAULTS)
def test_what_ends_one_process_ends_the_run(outputs, project, kind, rank):
    process = start(*SMALL, *DDP, "trainer.devices=2", *fault(kind, rank), root=project)
    told = finish(process, 1)
    (folder,) = runs(outputs)
    record = Record.read(folder)
    assert (record["status"], record["exit_code"], record["reason"]) == ("failed", 1, FAULTS[kind, rank])
    assert record["final"]["epoch"] == len(read(folder / "metrics.csv")) - 1 == 1
    if kind == "raises":
        assert "in on_train_batch_start" in told[1] + (folder / "train.log").read_text()
    check_gone(outputs)


@pytest.mark.parametrize("more", [["lr=1e30"], fault("drops", 1)], ids=["every process has it", "one process has it"])
def test_a_run_that_diverges(outputs, project, more):
    told = finish(start(*SMALL, *DDP, "trainer.devices=2", *more, root=project), 4)
    (folder,) = runs(outputs)
    record = Record.read(folder)
    assert (record["status"], record["exit_code"]) == ("diverged", 4)
    assert record["reason"].endswith(f"at epoch {len(read(folder / 'metrics.csv')) - 1}")
    assert "diverged" in told[0]
    check_gone(outputs)


def test_what_the_first_process_logs_is_in_the_log(outputs, project):
    told = finish(start(*SMALL, *DDP, "trainer.devices=2", "max_epochs=3", *fault("logs", 0), root=project))
    (folder,) = runs(outputs)
    assert "a word from process 0" in (folder / "train.log").read_text()
    assert told[0].count("a word from process 0") + told[1].count("a word from process 0") == 1
    assert told[0].count("a printed word") == 1


def after_epochs(process: subprocess.Popen, outputs: Path, epochs: int = 2) -> Path:
    """Return the run folder as soon as metrics.csv has some epochs."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        for folder in runs(outputs):
            if len(read(folder / "metrics.csv")) >= epochs:
                return folder
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"no {epochs} epochs within {PATIENCE} s")


STOPS = {signal.SIGTERM: (143, "SIGTERM"), signal.SIGINT: (130, "Ctrl-C")}


@pytest.mark.parametrize("hung", [False, True], ids=["running", "hung"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_what_ends_the_command_ends_the_processes(outputs, project, number, hung):
    """Also where one process waits for ever for another."""
    more = fault("hangs" if hung else "none", 1)
    process = start(*SMALL, *DDP, "trainer.devices=2", "max_epochs=1000000", *more, root=project)
    folder = after_epochs(process, outputs)
    process.send_signal(number)
    code, reason = STOPS.get(number, (-number, None))
    finish(process, code)
    check_gone(outputs)
    record = Record.read(folder)
    assert (status_of(record), record["reason"]) == ("interrupted", reason)


@pytest.mark.parametrize("launcher", ["basic", "joblib", "hydra"])
def test_inside_a_sweep(train, outputs, launcher):
    argv = [*SMALL, DOUBLE, "batch_size=4", "max_epochs=4", "pictures=false"]
    finish(start("-m", "lr=0.1,0.2", *argv, *DDP, "trainer.devices=2", f"launcher={launcher}", "study=together"))
    for lr, folder in zip(("0.1", "0.2"), runs(outputs, "together"), strict=True):
        check_same(train(*argv, f"lr={lr}"), folder, rel=1e-9)
    again = finish(start("-m", "lr=0.1,0.2", *argv, "study=together"))
    assert "2 are there already; 0 to run" in again[0]


def test_a_sweep_that_is_killed_leaves_nothing(outputs):
    argv = [*SMALL, *DDP, "trainer.devices=2", "max_epochs=1000000", "-m", "lr=0.1,0.2"]
    process = start(*argv)
    after_epochs(process, outputs)
    process.kill()
    finish(process, -signal.SIGKILL)
    check_gone(outputs)
