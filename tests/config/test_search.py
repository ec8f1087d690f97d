"""Searches by scripts/train.py: what a study holds in the end, killed or not, pruned or not."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest
import yaml
from omegaconf import OmegaConf

from glassbox.config import vectorized
from glassbox.config.grid import Grid
from glassbox.config.place import ROOT
from glassbox.config.search import check_search, space_of
from glassbox.errors import BadInput
from glassbox.sweep.border import Range
from glassbox.sweep.search import _distribution
from glassbox.sweep.strategy import seed_of
from glassbox.sweep.study import Study
from glassbox.sweep.worker import Worker
from glassbox.tracking.metrics_csv import read
from glassbox.tracking.record import Record
from glassbox.training import run  # noqa: F401 (imported before the workers are forked, which then need not)
from hydra_plugins.glassbox.search import SearchSweeperConf

TINY = ["data=diabetes", "trainer.limit_train_batches=1", "trainer.limit_val_batches=1", "max_epochs=1"]
TINY += ["callbacks=none", "logger=csv", "study=mine", "hydra/sweeper=search"]
LR = "lr=tag(log,interval(1e-4,1e-1))"
FAULT = ["+callbacks.fault._target_=mine.fault.Fault", "+callbacks.fault.seed=${seed}"]
PATIENCE = 120.0


@pytest.fixture
def search(multirun):
    """Give a function that searches and returns (its exit code, the run folders that it made)."""
    return lambda *argv: multirun(*TINY, *argv)


def runs(outputs: Path) -> list[Path]:
    """Return run folders in the order of their numbers."""
    folders = [path.parent for path in outputs.glob("*/*/run.json")]
    return sorted(folders, key=lambda folder: (Record.read(folder)["number"], folder))


def trials(outputs: Path) -> list:
    """Return the trials as optuna itself reads them."""
    return optuna.load_study(study_name="mine", storage=f"sqlite:///{outputs / 'mine' / 'search.db'}").get_trials()


def config(folder: Path) -> dict:
    return yaml.safe_load((folder / ".hydra" / "config.yaml").read_text())


def check_study(outputs: Path, count: int) -> None:
    """Check that a study has so many results, each the run of one trial and the trial of one run."""
    done = {Record.read(f)["number"]: f for f in runs(outputs) if Record.read(f)["status"] in ("finished", "pruned")}
    known = {t.number: t for t in trials(outputs) if t.state.name in ("COMPLETE", "PRUNED")}
    assert len(done) == len(known) == count
    assert len([f for f in runs(outputs) if Record.read(f)["status"] in ("finished", "pruned")]) == count
    assert not [t for t in trials(outputs) if t.state.name in ("RUNNING", "WAITING")]
    for number, folder in done.items():
        assert known[number].params == {key: config(folder)[key] for key in known[number].params}
        if known[number].state.name == "COMPLETE":
            assert known[number].value == Record.read(folder)["best"]["val/loss"]


@pytest.mark.parametrize(
    ("override", "low", "high", "log", "step"),
    [
        ("lr=interval(0.1,0.5)", 0.1, 0.5, False, None),
        ("lr=tag(log,interval(1e-4,1))", 1e-4, 1, True, None),
        ("h=int(interval(1,8))", 1, 8, False, None),
        ("h=tag(log,int(interval(1.0,512.0)))", 1, 512, True, None),
        ("h=range(16,129,16)", 16, 128, False, 16),
        ("h=range(9,1,-2)", 3, 9, False, 2),
        ("h=range(5)", 0, 4, False, 1),
    ],
)
def test_what_is_drawn_from(override, low, high, log, step):
    (parameter,) = space_of(Grid.of({}, [override])).parameters
    assert parameter.domain == Range(low, high, log=log, step=step)
    assert parameter.domain.whole == (parameter.key == "h")


def test_a_range_is_that_of_the_grid():
    for text in ("range(16,129,16)", "range(0.1,0.55,0.1)", "range(1.0,0.0,-0.25)"):
        grid = Grid.of({}, [f"x={text}"])
        space, study = space_of(grid), optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
        (parameter,) = space.parameters
        drawn = {study.ask({"x": _distribution(parameter.domain)}).params["x"] for _ in range(60)}
        assert {space.job({"x": value})[0] for value in drawn} == set(grid.overrides[0].texts)


def test_a_choice_keeps_what_was_typed():
    for text in ("'a b',3,null,true,[1,2],0.50,b", "choice('a b',3,true,[1,2],0.50,b)"):
        grid = Grid.of({}, [f"+x={text}", "~y", "seed=3"])
        space = space_of(grid)
        values = space.parameters[0].domain.values
        assert values == ["a b", 3, *([None] if "null" in text else []), True, "[1,2]", 0.5, "b"]
        assert [space.job({"x": value}) for value in values] == grid.jobs()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lr=interval(0.1,0.1)", "must be two finite numbers, the smaller one first"),
        ("lr=interval(0.1,inf)", "must be two finite numbers, the smaller one first"),
        ("lr=interval(nan,1)", "must be two finite numbers, the smaller one first"),
        ("x=tag(log,interval(0,1))", "a log scale needs numbers > 0"),
        ("x=tag(lgo,interval(1,2))", "no such tag, did you mean 'log'? (log)"),
        ("x=tag(log,range(1,9))", "only an interval has a log scale, as in x=tag(log,interval(1e-4,1e-1))"),
        ("x=tag(log,choice(1,2))", "only an interval has a log scale, as in x=tag(log,interval(1e-4,1e-1))"),
    ],
)
def test_what_cannot_be_searched(override, message):
    with pytest.raises(BadInput) as caught:
        space_of(Grid.of({}, [override]))
    assert str(caught.value) == f"{override}: {message}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_jobs": -1}, "n_jobs=-1: must be a whole number ≥ 1"),
        ({"direction": "max"}, "direction=max: must be minimize or maximize; leave it out, mode=min says it"),
        ({"direction": "maximize"}, "direction=maximize differs from mode=min: leave it out, or set mode and monitor "),
        ({"sampler": {"name": "rndom"}}, "sampler=rndom: no such sampler, did you mean 'random'? (tpe, random, qmc)"),
        ({"sampler": None}, "sampler=null: no such sampler (tpe, random, qmc)"),
        (
            {"sampler": {"name": "tpe", "seed": 1.5}},
            "sampler.seed=1.5: must be a whole number from 0 to 4294967295, or",
        ),
        ({"pruner": "medan"}, "pruner=medan: no such pruner, did you mean 'median'? (none, median, hyperband)"),
        (
            {"pruner": {"name": "median", "warmup": 1}},
            "pruner=median: MedianPruner.__init__() got an unexpected keyword ",
        ),
        ({"pruner": "hyperband"}, "pruner=hyperband: max_epochs is searched, so give pruner.max_resource"),
    ],
)
def test_settings_that_do_not_fit(change, message):
    sweeper = OmegaConf.merge(OmegaConf.structured(SearchSweeperConf), change)
    grid = Grid.of({}, ["max_epochs=range(1,9)"])
    with pytest.raises(BadInput) as caught:
        check_search(sweeper, {"study": "mine", "mode": "min", "max_epochs": 3}, grid)
    assert str(caught.value).startswith(f"hydra.sweeper.{message}")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "other"), [("grid", "search"), ("search", "grid")])
def test_a_study_is_of_a_grid_or_of_a_search(search, kind, other):
    lines = {"grid": ["hydra/sweeper=grid", "lr=0.1"], "search": [LR, "hydra.sweeper.n_trials=1"]}
    assert search(*lines[kind])[0] == 0
    with pytest.raises(BadInput) as caught:
        search(*lines[other])
    told = f"it has the jobs of a {kind}, and a {other} has numbers of its own; choose another study=NAME"
    assert str(caught.value) == f"study=mine: {told}"


@pytest.mark.slow
def test_a_search_is_a_study(search, outputs, capsys):
    code, made = search(LR, "hydra.sweeper.n_trials=3", "hydra.sweeper.question='Which rate?'")
    assert (code, len(made)) == (0, 3)
    check_study(outputs, 3)
    told = capsys.readouterr().out
    assert "mine: a search of 3 trials\n1/3  #0  finished" in told
    assert "study     mine: 3 finished" in told
    (noted,) = Study(outputs / "mine").sweeps()
    assert (noted["question"], noted["jobs"], noted["axes"]) == ("Which rate?", 3, ["lr", "optimizer.lr"])
    assert noted["space"] == {"lr": {"low": 1e-4, "high": 0.1, "log": True, "step": None}}


@pytest.mark.slow
def test_n_trials_is_a_total(search, outputs, capsys):
    search(LR, "hydra.sweeper.n_trials=3")
    assert search(LR, "hydra.sweeper.n_trials=3") == (0, [])
    assert "3 trials; 3 are there already; 0 to run" in capsys.readouterr().out
    assert len(search(LR, "hydra.sweeper.n_trials=4")[1]) == 1
    assert "\n4/4  #3  finished" in capsys.readouterr().out
    check_study(outputs, 4)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "hydra", "joblib"])
def test_batches_go_through_the_launcher(search, outputs, launcher):
    more = [f"launcher={launcher}", *(["launcher.n_jobs=2"] if launcher == "joblib" else [])]
    code, _ = search(LR, "optimizer=adam,sgd", "hydra.sweeper.n_trials=14", "hydra.sweeper.n_jobs=4", *more)
    assert code == 0
    assert len(trials(outputs)) == 14
    records = [Record.read(folder) for folder in runs(outputs)]
    assert [record["number"] for record in records] == list(range(14))
    assert {record["launcher"] for record in records} == {launcher}


@pytest.mark.slow
def test_the_launcher_changes_no_suggestion(search, outputs):
    found = {}
    for launcher in ("basic", "joblib"):
        search(LR, f"launcher={launcher}", f"study={launcher}", "hydra.sweeper.n_trials=14", "hydra.sweeper.n_jobs=3")
        found[launcher] = [config(folder)["lr"] for folder in runs(outputs) if folder.parent.name == launcher]
    assert found["basic"] == found["joblib"]


@pytest.mark.slow
def test_the_same_point_is_run_once_and_counts_each_time(search, outputs, capsys):
    code, made = search("optimizer=choice(adam,sgd)", "hydra.sweeper.n_trials=12", "hydra.sweeper.n_jobs=4")
    assert (code, len(made)) == (0, 2)
    known = trials(outputs)
    assert [trial.state.name for trial in known] == ["COMPLETE"] * 12
    values = {config(folder)["optimizer"]["_target_"].rpartition(".")[2]: folder for folder in made}
    for folder in made:
        assert known[Record.read(folder)["number"]].value == Record.read(folder)["best"]["val/loss"]
    for trial in known:
        folder = values[{"adam": "Adam", "sgd": "SGD"}[trial.params["optimizer"]]]
        assert trial.value == Record.read(folder)["best"]["val/loss"]
    told = capsys.readouterr().out
    assert told.startswith("mine: a search of 12 trials\n"), "none of them is there already"
    assert " 4/12  #" in told
    assert "mine: 2 finished" in told


@pytest.mark.slow
def test_a_lost_storage_is_made_again_from_the_runs(search, outputs):
    search(LR, "hydra.sweeper.n_trials=13")
    before = [(trial.number, trial.params, trial.value) for trial in trials(outputs)]
    (outputs / "mine" / "search.db").unlink()
    assert search(LR, "hydra.sweeper.n_trials=13") == (0, [])
    assert [(trial.number, trial.params, trial.value) for trial in trials(outputs)] == before


@pytest.mark.slow
def test_a_lost_run_is_run_again_under_its_number(search, outputs):
    _, made = search(LR, "hydra.sweeper.n_trials=3")
    value = Record.read(made[1])["best"]
    shutil.rmtree(made[1])
    code, (again,) = search(LR, "hydra.sweeper.n_trials=3")
    assert (code, Record.read(again)["number"], Record.read(again)["best"]) == (0, 1, value)
    check_study(outputs, 3)


@pytest.mark.slow
def test_failures_are_told_and_replaced(search, faults, outputs, monkeypatch, capsys):
    ruin = [*FAULT, "+callbacks.fault.raises=1", "+callbacks.fault.diverges=2", "+callbacks.fault.killed=3"]
    line = [LR, "seed=range(4)", "hydra.sweeper.n_trials=12", "hydra.sweeper.sampler.name=random", *ruin]
    code, made = search(*line)
    told = capsys.readouterr().out
    assert code == 1
    assert len(made) == 12
    by_seed = {0: "finished", 1: "failed", 2: "diverged", 3: "failed"}
    states = {"finished": "COMPLETE", "failed": "FAIL", "diverged": "PRUNED"}
    assert {Record.read(folder)["seeds"]["seed"] for folder in made} == {*by_seed}
    for folder, trial in zip(made, trials(outputs), strict=True):
        record = Record.read(folder)
        assert record["status"] == by_seed[record["seeds"]["seed"]]
        assert trial.state.name == states[record["status"]]
        if record["status"] != "finished":
            assert f"#{record['number']}" in told
    monkeypatch.setenv("CURED", "1")
    code, more = search(*line)
    failed = sum(Record.read(folder)["status"] == "failed" for folder in made)
    assert (code, len(more)) == (0, failed)
    assert [Record.read(folder)["number"] for folder in more] == list(range(12, 12 + failed))
    assert len([t for t in trials(outputs) if t.state.name in ("COMPLETE", "PRUNED")]) == 12
    assert search(*line) == (0, [])


@pytest.mark.slow
def test_fail_fast_stops_a_search(search, faults, outputs, monkeypatch, capsys):
    line = [LR, "seed=choice(1,1000000)", "hydra.sweeper.n_jobs=3", "hydra.sweeper.n_trials=9", "fail_fast=true"]
    line += [*FAULT, "+callbacks.fault.raises=1"]
    code, made = search(*line)
    assert code == 1
    assert [Record.read(folder)["status"] for folder in made][-1] == "failed"
    assert len(made) < 9
    assert f"1 failed, {9 - len(made)} not run" in capsys.readouterr().out
    monkeypatch.setenv("CURED", "1")
    assert search(*line)[0] == 0
    check_study(outputs, 9)


POPULATION = ["launcher=vectorized", "data=moons", "data.samples=100", "max_epochs=3", "callbacks=default"]
POPULATION += ["trainer.limit_train_batches=1.0", "trainer.limit_val_batches=1.0"]
LONG = ["max_epochs=6", "trainer.limit_train_batches=4"]
DDP = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pruner", "theirs", "count", "more"),
    [
        ("median", optuna.pruners.MedianPruner(), 20, []),
        ("hyperband", optuna.pruners.HyperbandPruner(max_resource=6), 20, []),
        (
            "median",
            optuna.pruners.MedianPruner(n_startup_trials=2),
            8,
            [*DDP, "+hydra.sweeper.pruner.n_startup_trials=2"],
        ),
    ],
    ids=["median", "hyperband", "median on two devices"],
)
def test_hopeless_runs_are_pruned_as_optuna_prunes(search, outputs, pruner, theirs, count, more, capsys):
    line = [LR.replace("1e-4", "1e-6"), *LONG, f"hydra.sweeper.pruner.name={pruner}", f"hydra.sweeper.n_trials={count}"]
    code, made = search(*line, *more)
    assert code == 0
    study = optuna.create_study(study_name="mine", pruner=theirs)
    told = capsys.readouterr().out
    pruned = 0
    for folder, known in zip(made, trials(outputs), strict=True):
        record, curve = Record.read(folder), [row["val/loss"] for row in read(folder / "metrics.csv")]
        trial = study.ask()
        hopeless = []
        for epochs, value in enumerate(curve, 1):
            trial.report(value, epochs)
            hopeless.append(trial.should_prune())
        # A run that has done its last epoch is a whole one.
        assert hopeless[: min(len(curve), 5)] == [False] * (len(curve) - 1) + [True] * (len(curve) < 6) or (
            hopeless[:5] == [False] * 5 and len(curve) == 6
        )
        assert known.intermediate_values == dict(enumerate(curve, 1))
        assert (record["status"], known.state.name) == (
            ("pruned", "PRUNED") if len(curve) < 6 else ("finished", "COMPLETE")
        )
        if record["status"] == "pruned":
            pruned += 1
            assert (record["exit_code"], record["test"]) == (0, {})
            assert record["reason"] == f"val/loss is {curve[-1]:.4g} at epoch {len(curve) - 1}"
            assert f"pruned  #{record['number']}" in told
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, record["best"]["val/loss"])
    assert 0 < pruned < count
    assert f"{count - pruned} finished, {pruned} pruned" in told
    check_study(outputs, count)
    assert search(*line) == (0, [])


@pytest.mark.slow
def test_runs_of_a_pool_are_pruned(search, outputs):
    line = [LR.replace("1e-4", "1e-6"), *LONG, "hydra.sweeper.pruner.name=median", "hydra.sweeper.n_trials=20"]
    code, made = search(*line, "launcher=joblib", "launcher.n_jobs=2", "hydra.sweeper.n_jobs=2")
    assert (code, len(made)) == (0, 20)
    assert "pruned" in {Record.read(folder)["status"] for folder in made}
    check_study(outputs, 20)


@pytest.mark.slow
def test_batches_train_as_populations(search, outputs, monkeypatch, capsys):
    started, surveyed = [], []
    start, run_all = Worker._start, Worker.run

    def watched(worker, function, payloads):
        surveyed.extend([payloads] if function is vectorized.survey else [])
        return run_all(worker, function, payloads)

    monkeypatch.setattr(Worker, "_start", lambda *args: started.append(start(*args)))
    monkeypatch.setattr(Worker, "run", watched)
    line = [LR, "batch_size=range(16,31)", "hydra.sweeper.n_trials=128", "hydra.sweeper.n_jobs=64"]
    code, made = search(*line, *POPULATION)
    assert (code, len(made)) == (0, 128)
    check_study(outputs, 128)
    records = [Record.read(folder) for folder in made]
    assert [record["number"] for record in records] == list(range(128))
    cohorts = Counter((number // 64, config(folder)["batch_size"]) for number, folder in enumerate(made))
    for number, (folder, record) in enumerate(zip(made, records, strict=True)):
        assert record["batched"] == (cohorts[number // 64, config(folder)["batch_size"]] > 1)
    assert 1 in cohorts.values()
    assert sum(record["batched"] for record in records) > 100
    # The workers stay, each kind of cohort is looked at once, and the plan is told once.
    assert len(started) <= 1 + len(os.sched_getaffinity(0))
    assert len(surveyed) == len({size for (_, size), count in cohorts.items() if count > 1})
    assert capsys.readouterr().out.count(" train together") == 1
    study, known = optuna.create_study(), trials(outputs)
    distributions = {
        "lr": optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True),
        "batch_size": optuna.distributions.IntDistribution(16, 30),
    }
    for first in (0, 64):
        batch = []
        for number in range(first, first + 64):
            study.sampler = optuna.samplers.TPESampler(seed=seed_of(0, number), constant_liar=True)
            batch.append(study.ask(distributions))
        for trial in batch:
            assert trial.params == known[trial.number].params
            study.tell(trial, known[trial.number].value)


def start(*argv: str) -> subprocess.Popen:
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), "-m", *TINY, *argv]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def kill(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def until(process: subprocess.Popen, outputs: Path, count: int) -> None:
    """Wait until a study has so many runs."""
    end = time.monotonic() + PATIENCE
    while len(list(outputs.glob("*/*/run.json"))) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.slow
def test_a_search_of_200_trials_killed_twice_ends_with_exactly_200(outputs):
    line = [LR, "hydra.sweeper.n_trials=200", "hydra.sweeper.n_jobs=4"]
    chance = random.Random()
    for low, high in ((20, 90), (100, 190)):
        process = start(*line)
        try:
            until(process, outputs, chance.randrange(low, high))
            time.sleep(chance.random() / 5)
        finally:
            kill(process)
    process = start(*line)
    try:
        told = process.communicate(timeout=2 * PATIENCE)[1]
    finally:
        kill(process)
    assert process.returncode == 0, told
    check_study(outputs, 200)
    known = trials(outputs)
    assert [(trial.number, trial.state.name) for trial in known] == [(n, "COMPLETE") for n in range(200)]
    statuses = [Record.read(folder)["status"] for folder in runs(outputs)]
    assert statuses.count("finished") == 200
    assert set(statuses) <= {"finished", "interrupted"}
    # It went on as if nothing had happened: a plain search told the same values suggests the same points.
    study = optuna.create_study()
    for first in range(0, 200, 4):
        batch = []
        for number in range(first, first + 4):
            study.sampler = optuna.samplers.TPESampler(seed=seed_of(0, number), constant_liar=True)
            batch.append(study.ask({"lr": optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True)}))
        for trial in batch:
            assert trial.params == known[trial.number].params
            study.tell(trial, known[trial.number].value)
