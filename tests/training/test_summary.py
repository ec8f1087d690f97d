"""What a run prints at its end: its numbers, and commands that work when they are pasted."""

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from glassbox.config.place import ROOT
from glassbox.tracking.record import Record
from glassbox.training.run import Outcome
from glassbox.training.summary import print_summary

VALUES = {"monitor": "val/loss", "callbacks": {"checkpoint": {}}, "max_epochs": 9, "logger": {"_target_": None}}
BEST = {"epoch": 3, "val/loss": 0.25, "val/accuracy": 0.5, "train/loss": 0.125}


def told(tmp_path, outcome, **more):
    console = Console(file=io.StringIO(), width=200)
    print_summary(outcome, tmp_path / "runs" / "a", VALUES, root=tmp_path, console=console, **more)
    return console.file.getvalue()


def test_a_table_says_how_it_ended(tmp_path):
    text = told(tmp_path, Outcome("finished", 0, None, BEST, {"test/loss": 0.75}, 1.26))
    rows = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    assert [(name, rest.strip()) for name, rest in rows] == [
        ("status", "finished"),
        ("epoch", "3 of 9, best by val/loss"),
        ("val", "loss 0.2500  accuracy 0.5000"),
        ("test", "loss 0.7500"),
        ("time", "1.3 s"),
        ("folder", "runs/a"),
        ("repeat", "python scripts/train.py rerun=runs/a"),
        ("compare", "python scripts/compare.py runs"),
    ]


def test_nothing_is_cut_off_on_a_narrow_terminal(tmp_path):
    folder, page = tmp_path / "runs" / ("a" * 80), f"https://wandb.ai/me/glassbox/runs/{'a' * 80}"
    console = Console(file=io.StringIO(), width=40, soft_wrap=True)
    print_summary(Outcome("finished"), folder, VALUES, root=tmp_path, url=page, console=console)
    text = console.file.getvalue()
    assert f"page      {page}\n" in text
    assert f"folderruns/{'a' * 80}" in "".join(text.split())


def test_one_of_many_gets_a_line(tmp_path):
    outcome = Outcome("diverged", 4, "val/loss is nan at epoch 3", BEST)
    text = told(tmp_path, outcome, one_of_many=True)
    assert text == "diverged: val/loss is nan at epoch 3  val loss 0.2500  accuracy 0.5000  runs/a\n"


@pytest.mark.slow
@pytest.mark.parametrize("logger", ["wandb", "tensorboard"])
def test_its_commands_can_be_pasted(tmp_path, logger):
    here = tmp_path / "else where"
    here.mkdir()
    environment = os.environ | {
        "GLASSBOX_OUTPUTS": str(here / "out puts"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }

    def shell(command):
        done = subprocess.run(command, shell=True, cwd=here, env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), command
        return done.stdout

    said = shell(f"python {shlex.quote(str(ROOT / 'scripts' / 'train.py'))} max_epochs=2 logger={logger}")
    commands = dict(line.split(maxsplit=1) for line in said.split("\n\n")[-1].splitlines())
    publish = {"publish"} if logger == "wandb" else set()
    assert set(commands) == {"look", "picture", "evaluate", "repeat", "compare"} | publish
    assert shell(commands["evaluate"]).count("equal") == 3
    assert "1 finished" in shell(commands["compare"])
    shell(commands["repeat"])
    assert len({Record.read(file.parent)["identity"] for file in here.glob("*/*/*/run.json")}) == 1
    assert len(list(here.glob("*/*/*/run.json"))) == 2
    for word in ("look", "picture"):
        assert (here / shlex.split(commands[word])[-1]).exists()
    if logger == "wandb":
        shown = shell(commands["look"].replace("leet", "leet inspect --summary"))
        assert "finished (exit code 0)" in shown
        assert "goes as it is" in shell(f"{commands['publish']} --dry-run")
