"""publish.py: what it shows without a network, and how mistakes are told."""

import subprocess
import sys

import pytest

from glassbox.config.place import ROOT
from glassbox.config.publication import _parser, publish
from glassbox.errors import BadInput
from glassbox.tracking.record import Record, now
from glassbox.tracking.wandb_run import WandbRun


def run(*words):
    return publish(_parser().parse_args(words))


def write(folder, *, ended=True):
    run = WandbRun(folder, writer="direct")
    run.start(name=folder.name, study="demo", config={"choice": {}}, tags=[], notes=None)
    run.log({"val/loss": 0.5}, 0)
    if ended:
        run.summary({"best/epoch": 3, "best/val/loss": 0.5, "best/val/accuracy": 0.5})
        run.summary({"test/loss": 0.5, "test/accuracy": 0.5})
        run.close(0)
    else:
        run.run._log.close()  # what the system does
    return next(folder.parents[1].glob(f"wandb/*-{folder.name}/*.wandb"))


def test_a_dry_run_shows_what_would_go(write_run, outputs, capsys, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nobody is asked
    for seed in range(3):
        write(write_run(0.5, lr=0.1, seed=seed))
    write(write_run(0.5, lr=0.1, seed=3)).with_suffix(".wandb.synced").touch()
    write(write_run(0.5, lr=0.1, seed=4), ended=False)
    write_run(0.5, lr=0.1, seed=5)
    online = write(write_run(0.5, lr=0.1, seed=6))
    online.parent.rename(online.parent.with_name(online.parent.name.removeprefix("offline-")))
    folder = write_run(0.5, lr=0.1, seed=7)
    Record(folder, Record.read(folder)).update(status="running", heartbeat=now())
    assert run("demo", "--dry-run") == 0
    lines = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()[1:]]
    assert sorted((study, runs, " ".join(what.split())) for study, runs, what in lines) == [
        ("demo", "1", "1 written afresh: torn"),
        ("demo", "1", "still running, left out"),
        ("demo", "1", "written afresh: no W&B file"),
        ("demo", "2", "2 there already"),
        ("demo", "3", "3 goes as it is"),
    ]


def test_what_is_missing_is_known_before_anything_is_sent(write_run, outputs, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(BadInput, match="has no study yet"):
        run()
    write_run(0.5, study="spirals", lr=0.1)
    with pytest.raises(BadInput, match=r"^No study 'spiral', did you mean 'spirals'"):
        run("spiral")
    (outputs / "empty").mkdir()
    with pytest.raises(BadInput, match="empty: no run there yet"):
        run("empty")
    with pytest.raises(BadInput, match=r"^https://api.wandb.ai needs a key: run `wandb login`, or set WANDB_API_KEY$"):
        run("spirals")


def test_a_torn_record_is_told(write_run, capsys):
    write(write_run(0.5, lr=0.1))
    (write_run(0.5, lr=1.0) / "run.json").write_text("{")
    assert run("demo", "--dry-run") == 1
    assert "cannot be read, left out" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--help"], 0, "usage: publish.py"),
        (["spirl"], 2, "Error: No study 'spirl', did you mean 'spiral'?"),
        (["spiral"], 2, "needs a key"),
    ],
)
def test_the_script(write_run, words, code, told, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_run(0.5, study="spiral", lr=0.1)
    done = subprocess.run([sys.executable, ROOT / "scripts" / "publish.py", *words], capture_output=True, text=True)
    assert done.returncode == code
    assert told in done.stdout + done.stderr
    assert len(done.stderr.splitlines()) <= 2
