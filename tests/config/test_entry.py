"""scripts/train.py, in process: its flags, multiruns, and the rerun of a run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from glassbox.config.entry import Train, flags, parse
from glassbox.config.place import CONF, ROOT
from glassbox.errors import BadInput
from glassbox.tracking.metrics_csv import read
from glassbox.tracking.record import Record

SMALL = ["data=moons", "data.samples=50", "batch_size=10", "max_epochs=2", "logger=csv"]


@pytest.fixture
def train(outputs, monkeypatch):
    """Give a function that does a command line and returns the run folders that it made, by name."""

    def call(*argv: str) -> list[Path]:
        before = runs(outputs)
        monkeypatch.setattr(sys, "argv", ["train.py"])
        assert Train(list(argv)).main() == 0
        made = [folder for folder in runs(outputs) if folder not in before]
        assert [Record.read(folder)["status"] for folder in made] == ["finished"] * len(made)
        return made

    return call


def runs(outputs: Path) -> list[Path]:
    return sorted(path.parent for path in outputs.glob("*/*/run.json"))


def weights(folder: Path, name: str = "last"):
    import torch

    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


def same(left, right) -> bool:
    import torch

    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize(
    ("argv", "words", "overrides"),
    [
        (["lr=1"], [], ["lr=1"]),
        (["lr=1", "-m", "seed=0,1"], ["--multirun"], ["lr=1", "seed=0,1"]),
        (["--multirun", "seed=0,1"], ["--multirun"], ["seed=0,1"]),
        (["lr=1", "--cfg", "job", "seed=2"], ["--cfg", "job"], ["lr=1", "seed=2"]),
        (["--cfg=job", "--resolve", "-p", "optimizer"], ["--resolve", "--cfg", "job", "--package", "optimizer"], []),
        (["a=1", "--help"], ["--help"], ["a=1"]),
        (["-cd", "mine", "lr=1"], ["--config-dir", "mine"], ["lr=1"]),
    ],
)
def test_flags_may_stand_anywhere(argv, words, overrides):
    args = parse(argv)
    assert flags(args) == words
    assert args.overrides == overrides
    again = parse([*flags(args), *overrides])
    assert vars(again) == vars(args)


@pytest.mark.parametrize("flag", ["--config-path=x", "--config-name=x", "--experimental-rerun=x"])
def test_flags_that_are_not_used_here(flag, capsys):
    with pytest.raises(SystemExit) as stop:
        parse([flag])
    assert stop.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"Error: {flag.split('=')[0]} is not used here: ")


def test_one_run(train, outputs):
    (folder,) = train(*SMALL, "study=mine", "lr=0.5")
    assert folder.parent == outputs / "mine"
    record = Record.read(folder)
    assert record["command"] == ["python", "scripts/train.py", *SMALL, "study=mine", "lr=0.5"]
    assert [row["epoch"] for row in read(folder / "metrics.csv")] == [0, 1]
    assert record["exit_code"] == 0


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (KeyboardInterrupt(), ("interrupted", 130, "Ctrl-C")),
        (OSError("no space left"), ("failed", 1, "OSError: no space left")),
        (BadInput("the wrong device"), ("failed", 2, "the wrong device")),
    ],
)
def test_what_ends_a_run_before_its_training_is_told(outputs, monkeypatch, error, end):
    from glassbox.training import trainer

    def stop(*_):
        raise error

    monkeypatch.setattr(trainer, "place", stop)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    with pytest.raises((KeyboardInterrupt, SystemExit, BadInput)):
        Train(SMALL).main()
    (folder,) = runs(outputs)
    record = Record.read(folder)
    assert (record["status"], record["exit_code"], record["reason"]) == end


def test_ctrl_c_is_told_in_a_line():
    code = "import signal, glassbox.config.terminal as t; t.exit_with(lambda: signal.raise_signal(signal.SIGINT))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "Interrupted\n")


def test_a_multirun_makes_one_run_per_combination_in_one_study(train):
    first, second = train("lr=0.1,0.2", *SMALL, "-m", "study=mine")
    assert first.parent.name == second.parent.name == "mine"
    assert "lr0.1" in first.name
    assert "lr0.2" in second.name
    assert [read(folder / "metrics.csv")[0]["train/lr"] for folder in (first, second)] == [0.1, 0.2]
    assert not same(weights(first), weights(second))


@pytest.mark.slow
def test_a_multirun_without_a_study_gets_one_of_its_own(train):
    studies = [train("-m", *SMALL, "max_epochs=1")[0].parent.name for _ in range(2)]
    assert len(set(studies)) == 2
    assert all(study.startswith("sweep-") for study in studies)


@pytest.mark.slow
def test_the_same_command_gives_the_same_weights(train):
    (first,), (second,) = train(*SMALL), train(*SMALL)
    assert first != second
    assert same(weights(first), weights(second))
    assert same(weights(first, "best"), weights(second, "best"))
    (other,) = train(*SMALL, "seed=1")
    assert not same(weights(first), weights(other))


def test_a_rerun_repeats_a_run_in_a_new_folder(train):
    (first,) = train(*SMALL, "study=mine", "lr=0.3", "optimizer=momentum")
    (second,) = train(f"rerun={first}")
    assert second.parent == first.parent
    assert second.name[:-6] == first.name[:-6]
    assert Record.read(second)["identity"] == Record.read(first)["identity"]
    assert Record.read(second)["config"] == Record.read(first)["config"]
    assert same(weights(first), weights(second))
    assert read(first / "metrics.csv") == read(second / "metrics.csv")


@pytest.mark.slow
def test_a_rerun_of_a_rerun(train):
    (first,) = train(*SMALL, "init=xavier")
    (second,) = train(f"rerun={first}")
    (third,) = train(f"rerun={second}", "notes=again", "study=other")
    assert third.parent.name == "other"
    assert Record.read(third)["notes"] == "again"
    assert same(weights(first), weights(third))


@pytest.mark.slow
def test_a_rerun_keeps_to_the_recorded_config_whatever_conf_says_today(train, monkeypatch, tmp_path):
    import shutil

    from glassbox.config import entry, rerun

    (first,) = train(*SMALL)
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf)
    changed = (conf / "train.yaml").read_text().replace("lr: 1e-2", "lr: 0.5").replace("seed: 0 ", "seed: 7 ")
    assert changed != (conf / "train.yaml").read_text()
    (conf / "train.yaml").write_text(changed)
    adam = conf / "optimizer" / "adam.yaml"
    adam.write_text(adam.read_text().replace("betas: [0.9, 0.999]", "betas: [0.1, 0.2]"))
    monkeypatch.setattr(entry, "CONF", conf)
    monkeypatch.setattr(rerun, "CONF", conf)
    (fresh,) = train(*SMALL)
    assert not same(weights(first), weights(fresh))
    (second,) = train(f"rerun={first}")
    assert same(weights(first), weights(second))


def test_a_rerun_with_another_number_is_no_rerun(train, outputs):
    (first,) = train(*SMALL)
    for override, told in {
        "lr=0.9": f"lr=0.9 would change the numbers of {first} (lr=0.01)",
        "optimizer=sgd": f"optimizer._target_=torch.optim.SGD would change the numbers of {first}",
        "data.seed=1": f"data.seed=1 would change the numbers of {first} (data.seed=null)",
        "trainer.precision=64-true": f"trainer.precision=64-true would change the numbers of {first}",
    }.items():
        with pytest.raises(BadInput) as caught:
            Train([f"rerun={first}", override]).main()
        assert str(caught.value).startswith(told)
        assert str(caught.value).endswith("a rerun repeats a run; for another one leave rerun= out")
    assert runs(outputs) == [first]


def test_a_rerun_whose_data_file_has_changed(train, outputs, tmp_path):
    table = tmp_path / "my.csv"
    table.write_text("a,b,label\n" + "".join(f"{i % 7},{i % 5},{i % 2}\n" for i in range(60)))
    (first,) = train("data=csv", f"data.path={table}", "data.target=label", *SMALL[2:])
    table.write_text(table.read_text().replace("\n3,", "\n4,"))
    with pytest.raises(BadInput, match="its data file has changed since"):
        Train([f"rerun={first}"]).main()
    assert runs(outputs) == [first]


@pytest.mark.slow
def test_from_another_folder(outputs, tmp_path):
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    (elsewhere / "my.csv").write_text("a,b,label\n" + "".join(f"{i % 7},{i % 5},{i % 2}\n" for i in range(60)))
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), "data=csv", "data.path=my.csv", "data.target=label"]
    done = subprocess.run([*command, *SMALL[2:]], cwd=elsewhere, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (folder,) = runs(outputs)
    assert Record.read(folder)["status"] == "finished"
    assert [path.name for path in elsewhere.iterdir()] == ["my.csv"]
    assert any(line.split() == ["status", "finished"] for line in done.stdout.splitlines())


@pytest.mark.slow
def test_a_mistake_on_the_command_line_is_one_line_and_exit_code_2(outputs):
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), "optimizer=adma"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("Error: optimizer=adma: no such option, did you mean 'adam'?")
    assert list(outputs.iterdir()) == []
    full = os.environ | {"HYDRA_FULL_ERROR": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=full)
    assert done.returncode != 0
    assert "Traceback (most recent call last)" in done.stderr
