"""A study of fifty jobs through the real command line: every failure is told, and a kill loses nothing."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from glassbox.tracking.record import Record

pytestmark = pytest.mark.slow

PATIENCE = 120.0  # seconds; only a failing test waits so long
FIFTY = ("study=fifty", "seed=range(50)")
FAULTS = {"raises": 7, "diverges": 19, "killed": 31, "leaves": 43}


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of three features: of two, each run would draw its boundary."""
    features = np.random.default_rng(0).normal(size=(50, 3))
    rows = [[*row, int(row.sum() > 0)] for row in features]
    path = tmp_path_factory.mktemp("data") / "table.csv"
    path.write_text("a,b,c,label\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def sweep(project: Path, table: Path) -> Callable[..., subprocess.Popen]:
    """Give a function that starts a sweep, in a session of its own; by default that of fifty seeds."""

    def start(outputs: Path, *more: str, what: Sequence[str] = FIFTY, **environment: str) -> subprocess.Popen:
        data = ["data=csv", f"data.path={table}", "data.target=label", "batch_size=10", "max_epochs=2", "logger=csv"]
        return subprocess.Popen(
            [sys.executable, str(project / "scripts" / "train.py"), "-m", *what, *data, *more],
            env=os.environ | {"PYTHONPATH": str(project / "src"), "GLASSBOX_OUTPUTS": str(outputs)} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    return start


def begun(process: subprocess.Popen, outputs: Path) -> None:
    """Wait until the checks are over and the first job begins."""
    until = time.monotonic() + PATIENCE
    while not (outputs / "fifty" / "study.json").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.02)


def records(outputs: Path) -> list[dict]:
    """Return the records of all runs, each with its folder."""
    return [Record.read(path.parent) | {"folder": path.parent} for path in outputs.glob("fifty/*/run.json")]


def by_seed(runs: list[dict]) -> dict[int, dict]:
    found = {run["seeds"]["seed"]: run for run in runs}
    assert len(found) == len(runs)
    return found


def numbers(run: dict) -> tuple[bytes, dict[str, bytes], dict]:
    """Return all that a run has computed."""
    state = torch.load(run["folder"] / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    weights = {key: value.numpy().tobytes() for key, value in state.items()}
    return (run["folder"] / "metrics.csv").read_bytes(), weights, {k: run[k] for k in ("best", "final", "test")}


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_four_faults_among_fifty_jobs(sweep, outputs):
    faults = ["+callbacks.fault._target_=mine.fault.Fault", "+callbacks.fault.seed=${seed}"]
    faults += [f"+callbacks.fault.{kind}={seed}" for kind, seed in FAULTS.items()]
    process = sweep(outputs, *faults)
    told = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 1, told
    assert "fifty: 46 finished, 1 diverged, 3 failed" in told
    first = by_seed(records(outputs))
    assert sorted(run["number"] for run in first.values()) == list(range(50))
    reasons = {seed: (run["status"], run["reason"]) for seed, run in first.items() if run["status"] != "finished"}
    assert reasons == {
        FAULTS["raises"]: ("failed", "RuntimeError: the disk is full"),
        FAULTS["diverges"]: ("diverged", "train/loss is nan at epoch 0"),
        FAULTS["killed"]: ("failed", "killed by SIGKILL, perhaps out of memory"),
        FAULTS["leaves"]: ("failed", "sys.exit(0) was called"),
    }
    end = told[told.rindex("50/50") :].splitlines()
    for seed, (status, reason) in reasons.items():
        (line,) = (line for line in end if first[seed]["folder"].name in line)
        assert line.startswith(status)
        assert reason in line
    before = {seed: files(run["folder"]) for seed, run in first.items()}

    process = sweep(outputs, *faults, CURED="1")
    told = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 0, told
    assert "50 jobs; 47 are there already; 3 to run" in told
    again = by_seed([run for run in records(outputs) if run["folder"] not in {r["folder"] for r in first.values()}])
    assert {seed: run["status"] for seed, run in again.items()} == dict.fromkeys(
        (FAULTS[kind] for kind in ("raises", "killed", "leaves")), "finished"
    )
    assert sorted(run["number"] for run in again.values()) == [50, 51, 52]
    assert {seed: files(run["folder"]) for seed, run in first.items()} == before


@pytest.fixture(scope="session")
def uninterrupted(
    sweep: Callable[..., subprocess.Popen], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Path, float]]:
    """Give, of a launcher, the outputs of a sweep that nothing has stopped, and the seconds that its jobs took."""

    @cache
    def of(launcher: str) -> tuple[Path, float]:
        outputs = tmp_path_factory.mktemp("uninterrupted")
        process = sweep(outputs, launcher)
        begun(process, outputs)
        started = time.monotonic()
        told = process.communicate(timeout=PATIENCE)[0]
        assert process.returncode == 0, told
        return outputs, time.monotonic() - started

    return of


def survivors(outputs: Path) -> list[str]:
    """Return the processes that have this folder of outputs in their environment, but those that are dead already."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it has gone
            if f"GLASSBOX_OUTPUTS={outputs}\0".encode() in path.read_bytes() and alive(int(path.parent.name)):
                found.append(path.parent.name)
    return found


IN_FLIGHT = {"launcher=basic": 1, "launcher=vectorized": 50}


@pytest.mark.parametrize(("draw", "launcher"), [*enumerate(5 * [*IN_FLIGHT])])
def test_a_sweep_killed_at_a_random_moment_loses_nothing(sweep, outputs, uninterrupted, draw, launcher):
    whole, seconds = uninterrupted(launcher)
    moment = random.Random(draw).uniform(0, seconds)  # after the first job has begun
    process = sweep(outputs, launcher)
    begun(process, outputs)
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        process.kill()
    process.communicate()
    killed = {path.parent: files(path.parent) for path in outputs.glob("fifty/*/run.json")}
    running = [run for run in records(outputs) if run["status"] == "running"]
    assert len(running) <= IN_FLIGHT[launcher], "no more were in flight"

    process = sweep(outputs, launcher)  # at once, while the worker may still be dying
    told = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 0, f"killed after {moment:.2f} s\n{told}"
    assert survivors(outputs) == [], "no worker stays behind"
    found = records(outputs)
    finished = by_seed([run for run in found if run["status"] == "finished"])
    assert len(finished) == 50
    assert len({run["identity"] for run in finished.values()}) == 50
    assert len({run["number"] for run in finished.values()}) == 50
    assert [run["status"] for run in found if run["status"] != "finished"] == ["interrupted"] * len(running)
    for folder, content in killed.items():
        if json.loads(content[folder / "run.json"])["status"] == "finished":
            assert files(folder) == content, "what was finished is not touched again"
    expected = by_seed(records(whole))
    for seed, run in finished.items():
        assert numbers(run) == numbers(expected[seed])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_sweep_that_is_asked_to_stop_says_what_is_left(sweep, outputs, number):
    process = sweep(outputs, "launcher=basic")
    for line in process.stdout:
        if line.startswith(" 3/50"):
            break
    process.send_signal(number)
    told = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 128 + number, told
    found = records(outputs)
    assert {run["status"] for run in found} <= {"finished", "interrupted"}
    assert f"{50 - len(found)} not run" in told
    process = sweep(outputs, "launcher=basic")
    told = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 0, told
    finished = by_seed([run for run in records(outputs) if run["status"] == "finished"])
    assert len(finished) == 50


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_members_that_train_together_are_interrupted_together(sweep, outputs, number):
    process = sweep(outputs, "launcher=vectorized", "max_epochs=100000")
    until = time.monotonic() + PATIENCE
    while len(list(outputs.glob("fifty/*/run.json"))) < 50:
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(number)
    told = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 128 + number, told
    assert {(run["status"], run["reason"]) for run in records(outputs)} == {("interrupted", "SIGTERM")}
    assert "fifty: 50 interrupted" in told
    assert survivors(outputs) == []


def test_two_sweeps_started_together_share_no_folder(sweep, outputs):
    together = [sweep(outputs, what=("seed=0,1",)) for _ in range(2)]
    for process in together:
        told = process.communicate(timeout=PATIENCE)[0]
        assert process.returncode == 0, told
    studies = [sorted(folder.glob("*/run.json")) for folder in outputs.glob("sweep-*")]
    assert [len(runs) for runs in studies] == [2, 2]
    found = [Record.read(path.parent) for runs in studies for path in runs]
    assert {record["status"] for record in found} == {"finished"}
    assert len({record["identity"] for record in found}) == 2
    assert len({record["pid"] for record in found}) == 2  # each is of one sweep
