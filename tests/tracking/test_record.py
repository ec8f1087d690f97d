"""The record is whole at every moment, and readable afterwards."""

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from glassbox.errors import BadInput
from glassbox.tracking import record as module
from glassbox.tracking.record import Record, git_state, status_of, write_atomic


@pytest.fixture
def record(tmp_path):
    return Record.create(
        tmp_path / "run",
        study="s",
        name="run",
        identity="0123456789abcdef",
        config={"lr": 0.1},
        files={".hydra/config.yaml": "lr: 0.1\n"},
        command=["python", "scripts/train.py", "logger.api_key=abc"],
        seeds={"seed": 0},
        device="cpu",
        launcher=None,
        tags=[],
        notes=None,
        root=tmp_path,
    )


def test_what_begins_can_be_read(record):
    read = Record.read(record.folder)
    assert read == record.fields | {"command": ["python", "scripts/train.py", "logger.api_key=***"]}
    assert (read["status"], read["pid"], read["host"]) == ("running", os.getpid(), socket.gethostname())
    assert status_of(read) == "running"
    assert (record.folder / ".hydra" / "config.yaml").read_text() == "lr: 0.1\n"


def test_what_ends_says_how(record):
    record.finish("failed", reason="because", exit_code=1, best={"val/loss": float("nan")})
    read = Record.read(record.folder)
    assert (read["status"], read["reason"], read["exit_code"]) == ("failed", "because", 1)
    assert read["best"] == {"val/loss": "nan"}  # JSON has no NaN
    assert read["ended"] >= read["started"]


def test_a_run_whose_process_is_gone_was_interrupted(record):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert status_of(record.fields | {"pid": gone.pid}) == "interrupted"


def test_a_run_elsewhere_that_is_silent_was_interrupted(record):
    elsewhere = record.fields | {"host": "elsewhere", "pid": 1}
    assert status_of(elsewhere) == "running"
    old = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    assert status_of(elsewhere | {"heartbeat": old}) == "interrupted"
    assert status_of(elsewhere | {"heartbeat": old, "status": "finished"}) == "finished"


def test_a_beat_writes_at_most_every_ten_seconds(record, monkeypatch):
    writes, clock = [], [1000.0]
    monkeypatch.setattr(module, "write_atomic", lambda path, text, sync: writes.append(text))
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    record._beaten = 1000.0
    for _ in range(100):
        clock[0] += 0.5
        record.beat()
    assert len(writes) == 5


def test_a_failure_half_way_keeps_the_old_file(tmp_path, monkeypatch):
    write_atomic(tmp_path / "a", "old")

    def full_disk(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(("sync", "count"), [(True, 3), (False, 0)])
def test_each_write_waits_for_the_disk_unless_told_otherwise(tmp_path, monkeypatch, sync, count):
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(number) or fsync(number))
    files = {".hydra/config.yaml": "lr: 0.1\n"}
    words = dict.fromkeys(("study", "name", "identity", "device", "launcher", "notes"), "a")
    record = Record.create(
        tmp_path / "run", config={}, files=files, command=[], seeds={}, tags=[], root=tmp_path, sync=sync, **words
    )
    record.finish("finished")
    assert len(synced) == count
    assert Record.read(record.folder)["status"] == "finished"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is no run folder: it has no run.json; name outputs/<study>/<run>"),
        ('{"schema": 1, "na', "cannot be read"),
        ('{"schema": 99}', "it has another schema than 2"),
        ("[]", "it has another schema than 2"),
    ],
)
def test_what_is_no_record_is_told(tmp_path, text, message):
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(BadInput) as error:
        Record.read(tmp_path)
    assert message in str(error.value)


def test_git_state_is_that_of_git(tmp_path):
    asked = git_state.__wrapped__  # without the answer that a process keeps
    assert asked(tmp_path) is None

    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        done = subprocess.run(["git", *identity, *words], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q")
    (tmp_path / "a").write_text("a")
    git("add", "a")
    git("commit", "-qm", "a")
    assert asked(tmp_path) == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (tmp_path / "a").write_text("b")
    assert asked(tmp_path)["dirty"] is True


def test_every_version_is_that_of_the_module(request, monkeypatch):
    import torch

    monkeypatch.setattr(torch, "__version__", "2.13.0+cu130")  # what a wheel's metadata may leave out
    record = request.getfixturevalue("record")
    assert record.fields["versions"]["torch"] == torch.__version__
    assert json.loads((record.folder / "run.json").read_text())["versions"]["python"] == sys.version.split()[0]
