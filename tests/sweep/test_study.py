"""A study: its lock lasts as long as the last process that inherited it, and no longer; and whose runs are dead."""

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from glassbox.errors import BadInput
from glassbox.sweep import study as module
from glassbox.sweep.study import Run, Study
from glassbox.tracking.record import SCHEMA, Record, now

# Newer Pythons warn of a fork beside threads, and pytest-xdist has some.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture
def no_wait(monkeypatch):
    monkeypatch.setattr(module, "WAIT", 0.0)


def sweep_with_worker(folder) -> tuple[int, int]:
    """Start a process that holds the study and has forked another one; return both of them once they are there."""
    reader, writer = os.pipe()
    sweep = os.fork()
    if sweep == 0:
        os.setsid()
        Study(folder).hold()
        worker = os.fork()
        if worker:
            os.write(writer, f"{worker}\n".encode())
        signal.pause()
        os._exit(0)
    with os.fdopen(reader) as told:
        os.close(writer)
        return sweep, int(told.readline())


def test_a_study_is_held_until_the_last_process_of_its_sweep_is_gone(tmp_path, no_wait, monkeypatch):
    sweep, worker = sweep_with_worker(tmp_path)
    study = Study(tmp_path)
    try:
        with pytest.raises(BadInput, match="another sweep of this study runs"):
            study.hold()
        os.kill(sweep, signal.SIGKILL)
        os.waitpid(sweep, 0)
        with pytest.raises(BadInput, match="another sweep of this study runs"):
            study.hold()
    finally:
        os.kill(worker, signal.SIGKILL)
    monkeypatch.setattr(module, "WAIT", 20.0)  # nobody tells when it is gone
    study.hold()
    study.release()


def test_a_study_can_be_held_again(tmp_path, no_wait):
    first, second = Study(tmp_path), Study(tmp_path)
    for study in (first, second, first):
        study.hold()
        study.release()
    first.hold()
    with pytest.raises(BadInput):
        second.hold()
    first.release()


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(module.fcntl, "flock", refuse)
    with pytest.raises(BadInput) as caught:
        Study(tmp_path).hold()
    told = "its file system has no locks (No locks available); set GLASSBOX_OUTPUTS to a folder on another one"
    assert str(caught.value) == f"{tmp_path}: {told}"


def leave_record(folder: Path, launcher: str, **fields) -> None:
    """Leave the record of a run that says `running`."""
    known = {"schema": SCHEMA, "identity": folder.name, "status": "running", "reason": None, "best": {}, "number": 0}
    here = {"host": socket.gethostname(), "pid": os.getpid(), "heartbeat": now(), "launcher": launcher}
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(known | here | fields))


def test_a_run_that_says_running_is_dead_if_its_process_would_hold_the_study(tmp_path):
    for launcher in ("basic", "vectorized", "vectorized_slurm", "submitit_slurm"):
        leave_record(tmp_path / launcher, launcher)
    study = Study(tmp_path)
    study.refresh()
    assert [folder.name for folder in study.mark_interrupted()] == ["basic", "vectorized"]


def test_what_a_cluster_says_of_a_run_counts_more_than_its_record(tmp_path):
    for name in ("stale", "finished", "dead"):
        status = "finished" if name == "finished" else "running"
        leave_record(
            tmp_path / name, "vectorized_slurm", status=status, host="?", heartbeat="2020-01-01T00:00:00+00:00"
        )
    study = Study(tmp_path)
    names = ("stale", "finished", "without a record")
    study.elsewhere = {tmp_path / name: Run(tmp_path / name, name, "running", number=7) for name in names}
    for _ in range(2):
        study.refresh()
    assert [folder.name for folder in study.mark_interrupted()] == ["dead"]
    statuses = {name: run.status for name, run in study.by_identity().items()}
    running = {"stale": "running", "without a record": "running"}
    assert statuses == running | {"finished": "finished", "dead": "interrupted"}
    assert study.next_number() == 8
    assert Record.read(tmp_path / "stale")["status"] == "running"
