"""Multiruns in process: a study remembers, tells every failure, and gives what its runs give alone."""

import os
import signal
from pathlib import Path

import pytest
import torch

from glassbox.config import job
from glassbox.config import multirun as module
from glassbox.config.entry import Train
from glassbox.config.multirun import Multirun
from glassbox.config.work import build_all
from glassbox.errors import BadInput
from glassbox.sweep import study as study_module
from glassbox.sweep.study import Study
from glassbox.tracking.metrics_csv import MetricsCsv, read
from glassbox.tracking.record import Record
from glassbox.training import trainer

SMALL = ["data=moons", "data.samples=50", "batch_size=10", "max_epochs=2", "logger=csv"]
FAULT = ["+callbacks.fault._target_=mine.fault.Fault", "+callbacks.fault.seed=${seed}"]


@pytest.fixture
def sweep(multirun):
    """Give a function that does a small multirun and returns (its exit code, the run folders that it made)."""
    return lambda *argv: multirun(*SMALL, *argv)


def runs(outputs: Path) -> list[Path]:
    """Return run folders in the order of their numbers."""
    folders = [path.parent for path in outputs.glob("*/*/run.json")]
    return sorted(folders, key=lambda folder: (Record.read(folder)["number"] or 0, folder))


def statuses(folders: list[Path]) -> dict[int, str]:
    records = [Record.read(folder) for folder in folders]
    return {record["seeds"]["seed"]: record["status"] for record in records}


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def same(left: Path, right: Path) -> bool:
    one, other = weights(left), weights(right)
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_a_study_runs_only_what_it_does_not_know(sweep, outputs, capsys):
    code, first = sweep("study=mine", "lr=0.1,0.2")
    assert code == 0
    assert [Record.read(folder)["number"] for folder in first] == [0, 1]
    before = [contents(folder) for folder in first]
    assert sweep("study=mine", "lr=0.2,0.1") == (0, [])
    assert "2 jobs; 2 are there already; 0 to run" in capsys.readouterr().out
    code, more = sweep("study=mine", "lr=0.1,0.3,0.2,0.4")
    assert [Record.read(folder)["number"] for folder in more] == [2, 3]
    assert [read(folder / "metrics.csv")[0]["train/lr"] for folder in more] == [0.3, 0.4]
    assert [contents(folder) for folder in first] == before
    assert len({Record.read(folder)["identity"] for folder in runs(outputs)}) == 4


@pytest.mark.parametrize(
    "switch",
    [
        pytest.param("launcher=hydra", marks=pytest.mark.slow),
        *(pytest.param(s, marks=pytest.mark.slow) for s in ("logger=none", "trainer=cpu", "notes=again", "tags=[x]")),
    ],
)
def test_what_changes_no_number_runs_nothing_again(sweep, switch):
    sweep("study=mine", "lr=0.1,0.2", "max_epochs=1")
    assert sweep("study=mine", "lr=0.1,0.2", "max_epochs=1", switch) == (0, [])


@pytest.mark.slow
def test_two_ways_to_write_a_job_are_one_job(sweep, capsys):
    code, made = sweep("lr=0.1,1e-1,0.10,0.2", "max_epochs=1")
    assert (code, len(made)) == (0, 2)
    assert "4 jobs, 2 of them repeat another; 2 to run" in capsys.readouterr().out


@pytest.mark.slow
def test_every_failure_is_told_and_run_again(sweep, faults, monkeypatch, capsys):
    many = ["study=mine", "seed=range(7)", "callbacks=none"]
    many += [*FAULT, *(f"+callbacks.fault.{kind}={seed}" for seed, kind in enumerate(KINDS, 1))]
    code, made = sweep(*many)
    told = capsys.readouterr().out
    assert code == 1
    expected = {0: "finished", 1: "failed", 2: "diverged", 3: "failed", 4: "failed", 5: "interrupted", 6: "finished"}
    assert statuses(made) == expected
    for folder in made:
        record = Record.read(folder)
        if record["status"] != "finished":
            (line,) = (text for text in told.splitlines() if text.startswith(record["status"]) and folder.name in text)
            assert record["reason"] in line
            assert f"#{record['number']}" in line
    reasons = {Record.read(folder)["seeds"]["seed"]: Record.read(folder)["reason"] for folder in made}
    assert reasons == {
        0: None,
        1: "RuntimeError: the disk is full",
        2: "train/loss is nan at epoch 0",
        3: "killed by SIGKILL, perhaps out of memory",
        4: "sys.exit(0) was called",
        5: "SIGTERM",
        6: None,
    }
    monkeypatch.setenv("CURED", "1")
    code, again = sweep(*many)
    assert code == 0
    unfinished = {seed for seed, status in expected.items() if status in ("failed", "interrupted")}
    assert statuses(again) == dict.fromkeys(unfinished, "finished")
    assert sweep(*many) == (0, [])


KINDS = ("raises", "diverges", "killed", "leaves", "terminated")


@pytest.mark.slow
def test_a_diverged_run_is_a_result_unless_asked_for_again(sweep, outputs):
    code, (first,) = sweep("study=mine", "lr=1e30")
    assert (code, Record.read(first)["status"]) == (0, "diverged")
    assert sweep("study=mine", "lr=1e30") == (0, [])
    code, (second,) = sweep("study=mine", "lr=1e30", "retry_diverged=true")
    assert (code, Record.read(second)["status"]) == (0, "diverged")
    assert first != second


@pytest.mark.parametrize("launcher", ["basic", pytest.param("hydra", marks=pytest.mark.slow)])
@pytest.mark.slow
def test_fail_fast_stops_at_the_first_failure(sweep, faults, launcher, capsys):
    more = [f"launcher={launcher}", *FAULT, "+callbacks.fault.raises=1", "callbacks=none"]
    code, made = sweep("study=mine", "seed=range(4)", *more, "fail_fast=true")
    assert code == 1
    assert statuses(made) == {0: "finished", 1: "failed"}
    assert "2 not run" in capsys.readouterr().out
    code, made = sweep("study=mine", "seed=range(4)", *more)
    assert statuses(made) == {1: "failed", 2: "finished", 3: "finished"}


@pytest.mark.slow
def test_a_job_of_a_sweep_is_the_same_job_alone(sweep, faults, outputs):
    _, (_leaky, clean) = sweep("seed=0,1", *FAULT, "+callbacks.fault.leaks=0")
    assert (Path.cwd(), "LEAKED" in os.environ) == (outputs.parent, False)
    Train([*SMALL, "study=alone", "seed=1", *FAULT, "+callbacks.fault.leaks=0"]).main()
    (alone,) = (outputs / "alone").glob("*/run.json")
    assert same(clean, alone.parent)
    assert (clean / "metrics.csv").read_bytes() == (alone.parent / "metrics.csv").read_bytes()
    assert Record.read(clean)["identity"] == Record.read(alone.parent)["identity"]


@pytest.mark.slow
def test_without_putting_back_a_leak_changes_the_next_job(sweep, faults, monkeypatch):
    from contextlib import nullcontext

    from glassbox.sweep import executor

    monkeypatch.setattr(executor, "preserved_state", nullcontext)
    _, (_, dirty) = sweep("seed=0,1", *FAULT, "+callbacks.fault.leaks=0")
    assert Record.read(dirty)["reason"].startswith("RuntimeError: mat1 and mat2 must have the same dtype")


@pytest.mark.slow
@pytest.mark.parametrize("where", ["prepare", "start_trackers", "place"])
def test_a_signal_before_the_training_is_told(sweep, monkeypatch, where):
    owner = trainer if where == "place" else job
    monkeypatch.setattr(owner, where, lambda *_: signal.raise_signal(signal.SIGTERM))
    monkeypatch.setattr(module, "build_all", lambda specs, executor: ())
    _, (made,) = sweep("seed=0", "launcher=basic")
    record = Record.read(made)
    assert (record["status"], record["reason"], record["exit_code"]) == ("interrupted", "SIGTERM", 143)


@pytest.mark.slow
def test_another_question_needs_another_study(sweep, outputs):
    sweep("study=mine", "lr=0.1,0.2")
    with pytest.raises(BadInput) as caught:
        sweep("study=mine", "lr=0.1,0.3", "optimizer=sgd")
    assert str(caught.value) == (
        "study=mine: its earlier sweeps have optimizer._target_=torch.optim.Adam, this one "
        "optimizer._target_=torch.optim.SGD, and none varies it; choose another study=NAME, or add force=true"
    )
    assert len(runs(outputs)) == 2
    assert sweep("study=mine", "lr=0.1,0.3", "optimizer=sgd", "force=true")[0] == 0
    assert sweep("study=mine", "lr=0.1", "seed=0,1")[0] == 0, "a key that is varied now may differ"
    assert sweep("study=mine", "lr=0.5", "seed=1")[0] == 0, "a key that was varied may differ"


@pytest.mark.slow
def test_a_study_from_before_there_were_searches_goes_on(sweep, outputs):
    sweep("study=mine", "lr=0.1", "max_epochs=1")
    path = outputs / "mine" / "study.json"
    path.write_text(path.read_text().replace('"kind": "grid",', ""))
    code, made = sweep("study=mine", "lr=0.1,0.2", "max_epochs=1")
    assert (code, len(made)) == (0, 1)


@pytest.mark.parametrize(
    ("switch", "alone", "many"),
    [
        ("pictures=null", True, False),
        pytest.param("pictures=true", True, True, marks=pytest.mark.slow),
        pytest.param("pictures=false", False, False, marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_pictures_are_drawn_where_they_are_wanted(sweep, train, switch, alone, many):
    _, (folder,) = sweep(switch)
    for made, drawn in ((train(*SMALL, switch), alone), (folder, many)):
        assert (made / "boundary.npz").exists()
        assert (made / "boundary.png").exists() is drawn


@pytest.mark.slow
def test_a_torn_record_counts_as_interrupted(sweep, capsys):
    _, (_first, second) = sweep("study=mine", "lr=0.1,0.2", "max_epochs=1")
    torn = (second / "run.json").read_bytes()[:50]
    (second / "run.json").write_bytes(torn)
    code, (again,) = sweep("study=mine", "lr=0.1,0.2", "max_epochs=1")
    assert code == 0
    assert read(again / "metrics.csv")[0]["train/lr"] == 0.2
    warning = capsys.readouterr().err
    assert warning.startswith(f"Warning: {second / 'run.json'} cannot be read")
    assert (second / "run.json").read_bytes() == torn


@pytest.mark.slow
def test_a_run_that_died_is_marked_and_run_again(sweep, capsys):
    _, (first,) = sweep("study=mine", "lr=0.1", "max_epochs=1")
    Record(first, Record.read(first)).update(status="running", ended=None)  # as a kill leaves it
    code, (second,) = sweep("study=mine", "lr=0.1", "max_epochs=1")
    assert code == 0
    record = Record.read(first)
    assert (record["status"], record["reason"]) == ("interrupted", "its process ended without a word")
    assert Record.read(second)["number"] == 1
    assert f"{first.name}: its process ended without a word" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_of_another_machine_is_left_to_it(sweep):
    _, (first,) = sweep("study=mine", "lr=0.1", "max_epochs=1")
    Record(first, Record.read(first)).update(status="running", ended=None, host="elsewhere")
    code, made = sweep("study=mine", "lr=0.1", "max_epochs=1")
    assert made == []
    assert code == 1, "its result is not there"
    assert Record.read(first)["status"] == "running"


@pytest.mark.slow
def test_one_sweep_of_a_study_at_a_time(sweep, outputs, monkeypatch):
    sweep("study=mine", "lr=0.1", "max_epochs=1")
    monkeypatch.setattr(study_module, "WAIT", 0)
    other = Study(outputs / "mine")
    other.hold()
    try:
        with pytest.raises(BadInput, match=rf"another sweep of this study runs \(pid {os.getpid()}, host .*wait for"):
            sweep("study=mine", "lr=0.1", "max_epochs=1")
        assert Train([*SMALL, "study=mine", "max_epochs=1"]).main() == 0, "a single run never waits"
    finally:
        other.release()


def test_a_signal_ends_a_sweep_in_order(sweep, monkeypatch, capsys):
    parent = os.getpid()

    def stop(tracker, row, epoch):  # in the worker, after the first epoch
        if epoch == 0:
            os.kill(parent, signal.SIGINT)

    monkeypatch.setattr(MetricsCsv, "log", stop)
    code, made = sweep("study=mine", "launcher=basic", "lr=0.1,0.2", "max_epochs=1000000", "callbacks=none")
    assert code == 130
    assert [Record.read(folder)["status"] for folder in made] == ["interrupted"]
    assert "1 interrupted, 1 not run" in capsys.readouterr().out


@pytest.mark.slow
def test_the_study_keeps_its_question_and_command(sweep, outputs):
    sweep("study=mine", "lr=0.1,0.2", "hydra.sweeper.question='Which rate?'", "notes=first", "max_epochs=1")
    (noted,) = Study(outputs / "mine").sweeps()
    assert noted["question"] == "Which rate?"
    assert noted["notes"] == "first"
    assert noted["command"][:3] == ["python", "scripts/train.py", "-m"]
    assert "lr=0.1,0.2" in noted["command"]
    assert noted["space"] == {"lr": [0.1, 0.2]}
    assert noted["counts"] == {"finished": 2}
    assert noted["ended"] >= noted["started"]


@pytest.mark.slow
def test_the_report_says_when_the_best_is_on_the_border(sweep, capsys):
    sweep("lr=1e-3,1e-2,1e-1", "max_epochs=3")
    assert "border    lr=0.1 is the largest value searched: larger ones may be better" in capsys.readouterr().out


def test_a_value_is_built_once_and_no_seed_of_its_own(sweep, monkeypatch):
    built = []
    monkeypatch.setattr(module, "build_all", lambda specs, executor: built.extend(specs) or build_all(specs, executor))
    monkeypatch.setattr(Multirun, "run", lambda self, jobs: [])
    sweep("lr=0.1,0.2", "seed=range(100)", "model.hidden=3,4")
    values = {(spec.values["lr"], spec.values["model.hidden"]) for spec in built}
    assert len(built) == len(values) == 3, "both rates, and the other width with one of them"


@pytest.mark.slow
def test_a_long_range_of_seeds_is_checked_at_its_ends(sweep, outputs):
    with pytest.raises(BadInput) as caught:
        sweep("seed=range(-2,100000)")
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == ["seed=-2"]
    with pytest.raises(BadInput, match=f"seed={2**32 + 9}: "):
        sweep(f"seed=range({2**32},{2**32 + 10})")
    assert runs(outputs) == []


def test_every_bad_value_is_named_before_any_job(sweep, outputs):
    with pytest.raises(BadInput) as caught:
        sweep("lr=-1,0.1,nan", "optimizer=adm,sgd", "seed=0,-3")
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        "optimizer=adm",
        "lr=-1",
        "lr=nan",
        "seed=-3",
    ]
    with pytest.raises(BadInput) as caught:  # only building tells
        sweep("batch_size=10,40,50")
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == ["batch_size=40", "batch_size=50"]
    assert runs(outputs) == []
