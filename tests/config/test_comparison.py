"""compare.py: what it prints and writes, and how mistakes are told."""

import csv
import io
import json
import os
import subprocess
import sys

import pandas as pd
import pytest
from scipy import stats

from glassbox.config.comparison import _parser, compare
from glassbox.config.place import ROOT
from glassbox.errors import BadInput
from glassbox.sweep.study import Study
from glassbox.tracking.record import Record

VALUES = {
    ("adam", 0.1): [0.20, 0.22, 0.21],
    ("adam", 0.01): [0.21, 0.24, 0.20],
    ("sgd", 0.1): [0.50, 0.51, 0.53],
    ("sgd", 0.01): [0.90, 0.91, 0.88],
}


def run(*words):
    return compare(_parser().parse_args(words))


@pytest.fixture
def study(write_run):
    """Four configs of three seeds, of which sgd at 0.01 has further runs without a result."""
    for (optimizer, lr), values in VALUES.items():
        for seed, value in enumerate(values):
            write_run(value, optimizer=optimizer, lr=lr, seed=seed)
    write_run(optimizer="sgd", lr=0.01, seed=3, status="diverged")
    write_run(optimizer="sgd", lr=0.01, seed=4, status="failed")
    write_run(optimizer="zo", lr=0.01, seed=0, status="failed")


def test_a_table_says_who_is_best_who_ties_and_who_was_lost(study, capsys):
    run("demo")
    text = capsys.readouterr().out
    assert "15 runs" not in text
    assert "12 finished, 1 diverged, 2 failed" in text
    lines = [line.split() for line in text.splitlines() if line[:1].isdigit() or "zo" in line]
    assert [line[1:3] for line in lines[:4]] == [["adam", "0.1"], ["adam", "0.01"], ["sgd", "0.1"], ["sgd", "0.01"]]
    assert ["best" in lines[0], "tie" in lines[1], "worse," in lines[2], "worse," in lines[3]] == [True] * 4
    assert " ".join(lines[3]).endswith("1 diverged, 1 failed")
    assert " ".join(lines[4]) == "zo 0.01 0 1 failed"


def test_csv_and_json_have_what_pandas_and_scipy_find(study, capsys, tmp_path):
    run("demo", "--csv", "-", "--json", str(tmp_path / "board.json"))
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    board = json.loads((tmp_path / "board.json").read_text())
    assert (board["metric"], board["mode"], board["by"]) == ("val/loss", "min", ["optimizer", "lr"])
    frame = pd.DataFrame([(o, lr, v) for (o, lr), values in VALUES.items() for v in values], columns=["o", "lr", "v"])
    means = frame.groupby(["o", "lr"])["v"].agg(["mean", "sem"]).sort_values("mean")
    for row, group, ((optimizer, lr), (mean, error)) in zip(rows, board["groups"], means.iterrows(), strict=False):
        assert (row["optimizer"], float(row["lr"])) == (group["optimizer"], group["lr"]) == (optimizer, lr)
        assert float(row["val/loss"]) == pytest.approx(mean, rel=1e-12) == group["val/loss"]
        half = stats.t.ppf(0.975, 2) * error
        assert float(row["val/loss ci95"]) == pytest.approx(half, rel=1e-9) == group["val/loss ci95"]
        assert float(row["test/loss"]) == pytest.approx(mean, rel=1e-12)
    assert [int(row["failed"]) for row in rows] == [0, 0, 0, 1, 1]
    assert (rows[4]["val/loss"], board["groups"][4]["val/loss"]) == ("", None)


def test_by_averages_over_the_rest_and_a_metric_has_its_direction(study, capsys):
    run("demo", "--by", "optimizer", "--metric", "val/accuracy", "--filter", "lr == 0.1", "--json", "-")
    board = json.loads(capsys.readouterr().out)
    assert (board["by"], board["mode"], board["averaged"]) == (["optimizer"], "max", [])
    assert [(group["optimizer"], group["n"]) for group in board["groups"]] == [("adam", 3), ("sgd", 3)]
    run("demo", "--by", "lr")
    assert "averaged over optimizer and seeds" in capsys.readouterr().out


def test_the_study_that_changed_last_is_the_default(study, write_run, capsys, outputs):
    write_run(0.3, study="later", lr=1.0, seed=0)
    os.utime(outputs / "later", (2e9, 2e9))
    run()
    told = capsys.readouterr()
    assert "study     later" in told.out
    assert told.err == "The study that changed last; there are also demo\n"


def test_two_runs_side_by_side(write_run, capsys):
    first = write_run(0.3, optimizer="sgd", lr=0.1, seed=0)
    second = write_run(0.25, optimizer="adam", lr=0.1, seed=0, fields={"device": "cuda:0"})
    run("--diff", str(first), second.name)
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()[1:]}
    assert rows["optimizer"] == ["sgd", "adam"]
    assert rows["device"] == ["cpu", "cuda:0"]
    assert rows["val/loss"] == ["0.3", "0.25", "(-0.05)"]
    assert "lr" not in rows


def test_what_cannot_be_read_is_counted_and_the_rest_compared(study, write_run, outputs, capsys):
    for name, text in (("torn", '{"schema": 2, "na'), ("newer", '{"schema": 99}')):
        (outputs / "demo" / name).mkdir()
        (outputs / "demo" / name / "run.json").write_text(text)
    run("demo")
    told = capsys.readouterr()
    assert "12 finished" in told.out
    assert [line.partition("/demo/")[2][:5] for line in told.err.splitlines()[:2]] == ["newer", "torn/"]
    assert told.err.splitlines()[2] == "Warning: 2 records are left out"


def test_watching_ends_with_the_sweep(study, capsys, outputs, monkeypatch):
    looks = []
    held = Study(outputs / "demo")
    held.hold()

    def look_again(seconds):
        looks.append(seconds)
        if len(looks) == 2:
            held.release()

    monkeypatch.setattr("glassbox.config.comparison.time.sleep", look_again)
    assert run("demo", "--watch", "--top", "1") == 0
    assert len(looks) == 2
    assert "and 4 more (3 of their runs have no value)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dmo"], "No study 'dmo', did you mean 'demo'?"),
        (["void"], "outputs/void: no run there yet"),
        (["demo", "--by", "optimzer"], "--by optimzer: no run has such a key, did you mean 'optimizer'?"),
        (["demo", "--metric", "val/los"], "--metric val/los: no run has it, did you mean 'val/loss'?; --help-metrics"),
        (["demo", "--filter", "lr > 5"], "--filter 'lr > 5': it lets none of 15 runs through"),
        (["demo", "--filter", "lr >"], "--filter: invalid syntax\n  lr >\n      ^"),
        (["demo", "--diff", "outputs/demo/x", "y"], "--diff outputs/demo/x: no such run; name outputs/<study>/<run>"),
        (["demo", "--csv", "FILE"], "Cannot write"),
    ],
)
def test_a_mistake_is_told(study, outputs, words, message):
    (outputs / "void").mkdir()
    if "--csv" in words:
        (outputs / "file").write_text("")
        words = [*words[:2], str(outputs / "file" / "board.csv")]
    with pytest.raises(BadInput) as error:
        run(*words)
    assert str(error.value).startswith(message)


def test_data_that_differ_and_runs_that_repeat_are_told(write_run, capsys, outputs):
    first = write_run(0.3, data="moons", seed=0)
    write_run(0.4, data="xor", seed=0)
    again = write_run(0.5, data="moons", seed=0)
    Record(again, Record.read(again)).update(identity=Record.read(first)["identity"])
    run("demo")
    told = capsys.readouterr()
    assert "repeats of the same config and seed: 1; the newest counts" in told.err
    assert "Warning: data differs (moons, xor): values of different data do not compare" in told.err
    assert "0.5" in told.out
    assert "0.3" not in told.out


def test_the_command_needs_no_torch(study, outputs):
    code = "import sys, runpy; sys.argv = ['compare.py', 'demo', '--csv', '-']; "
    code += f"\ntry: runpy.run_path({str(ROOT / 'scripts' / 'compare.py')!r}, run_name='__main__')\nfinally: "
    code += "assert not {'torch', 'hydra', 'pandas', 'lightning'} & sys.modules.keys()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("optimizer,lr,n,val/loss,")


@pytest.mark.parametrize(
    ("spaces", "told"),
    [
        ([{"lr": [0.1, 0.01]}], "lr=0.1 is the largest value searched: larger ones may be better"),
        ([{"lr": [0.1, 0.01]}, {"lr": [1.0, 0.1]}], None),
        ([{"lr": {"low": 1e-3, "high": 0.1, "log": True, "step": None}}], "lr=0.1 is near the largest value searched"),
        (
            [
                {"lr": {"low": 1e-3, "high": 0.1, "log": True, "step": None}},
                {"lr": {"low": 1e-2, "high": 10.0, "log": True, "step": None}},
            ],
            None,
        ),
    ],
)
def test_the_border_is_that_of_all_sweeps(study, outputs, capsys, spaces, told):
    for space in spaces:
        Study(outputs / "demo").begin({"space": space, "question": "Which one?"})
    run("demo")
    text = capsys.readouterr().out
    assert "question  Which one?\n" in text
    assert (f"border    {told}" in text) if told else ("border" not in text)
