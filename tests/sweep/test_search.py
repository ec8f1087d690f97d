"""Searches against optuna itself: the same suggestions, the same pruning, and none lost when a search is killed."""

import random
import sqlite3
import warnings
from pathlib import Path

import optuna
import pytest

from glassbox.errors import BadInput
from glassbox.sweep.border import Range
from glassbox.sweep.search import DATABASE, Pruning, Search, Settings
from glassbox.sweep.space import Choice, Parameter, Space
from glassbox.sweep.strategy import Strategy, make_pruner, seed_of

LR, HIDDEN = Parameter("lr", "lr", Range(1e-4, 1.0, log=True)), Parameter("hidden", "+hidden", Range(4, 64, step=4))
KIND = Parameter("optimizer", "optimizer", Choice(("sgd", "adam"), ("sgd", "adam")))
SPACE = Space([LR, "seed=3", HIDDEN, KIND])
DISTRIBUTIONS = {
    "lr": optuna.distributions.FloatDistribution(1e-4, 1.0, log=True),
    "hidden": optuna.distributions.IntDistribution(4, 64, step=4),
    "optimizer": optuna.distributions.CategoricalDistribution(("sgd", "adam")),
}
SAMPLERS = {
    "tpe": lambda number: optuna.samplers.TPESampler(seed=seed_of(5, number), constant_liar=True),
    "random": lambda number: optuna.samplers.RandomSampler(seed=seed_of(5, number)),
    "qmc": lambda number: quasi_random(optuna.samplers.RandomSampler(seed_of(5, number))),
}


def quasi_random(first) -> optuna.samplers.QMCSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.QMCSampler(seed=5, scramble=True, independent_sampler=first)


def settings(folder: Path, **more) -> Settings:
    given = {"sampler": Strategy("sampler", "tpe", {"seed": 5}), "n_trials": 24, "direction": "minimize"} | more
    return Settings(folder, "mine", **given)


def loss(params) -> float:
    return (params["lr"] - 0.01) ** 2 + params["hidden"] / 100 + (params["optimizer"] == "sgd")


def searched(search: Search, *, stop_after: int | None = None, told: int = 10**6) -> list[dict]:
    """Search, and leave after some batches with some trials of the last one told, as a kill does."""
    found = []
    for position, batch in enumerate(search.batches()):
        last = position == stop_after
        for place, trial in enumerate(batch):
            if last and place >= told:
                break
            search.tell(trial, "finished", loss(trial.params))
        found += [(trial.number, dict(trial.params)) for trial in batch]
        if last:
            break
    return found


def plain(name: str, n_trials: int, batch: int) -> list[dict]:
    """The same search by plain optuna, in memory."""
    study = optuna.create_study(direction="minimize")
    found = []
    for first in range(0, n_trials, batch):
        trials = []
        for number in range(first, min(first + batch, n_trials)):
            study.sampler = SAMPLERS[name](number)
            trials.append(study.ask(DISTRIBUTIONS))
        for trial in trials:
            study.tell(trial, loss(trial.params))
        found += [(trial.number, trial.params) for trial in trials]
    return found


def stored(folder: Path) -> list:
    """What optuna itself reads from the storage."""
    return optuna.load_study(study_name="mine", storage=f"sqlite:///{folder / DATABASE}").get_trials()


@pytest.mark.parametrize(
    ("name", "batch"),
    [
        ("tpe", 1),
        *(pytest.param(*p, marks=pytest.mark.slow) for p in (("tpe", 5), ("random", 1), ("qmc", 1), ("qmc", 3))),
    ],
)
def test_it_suggests_what_optuna_suggests(tmp_path, name, batch):
    n_trials = 13 if (name, batch) == ("tpe", 1) else 32
    search = Search(
        settings(tmp_path, sampler=Strategy("sampler", name, {"seed": 5}), n_trials=n_trials, n_jobs=batch), SPACE
    )
    assert searched(search) == plain(name, n_trials, batch)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tpe", "random", "qmc"])
@pytest.mark.parametrize("batch", [1, 4])
def test_a_killed_search_ends_as_if_it_had_not_been(tmp_path, name, batch):
    options = {"sampler": Strategy("sampler", name, {"seed": 5}), "n_jobs": batch}
    chance = random.Random(batch)
    for _ in range(4):
        search = Search(settings(tmp_path, **options), SPACE)
        searched(search, stop_after=chance.randrange(3), told=chance.randrange(batch + 1))
    found = searched(Search(settings(tmp_path, **options), SPACE))
    assert found == plain(name, 24, batch)
    trials = stored(tmp_path)
    assert [(trial.number, trial.params) for trial in trials] == found
    assert {trial.state.name for trial in trials} == {"COMPLETE"}
    assert [trial.value for trial in trials] == [loss(trial.params) for trial in trials]


@pytest.mark.slow
def test_a_trial_killed_before_its_values_were_written_is_completed(tmp_path):
    search = Search(settings(tmp_path, n_trials=3), SPACE)
    searched(search, stop_after=0)
    search._study._storage.create_new_trial(search._study._study_id)  # the first thing that asking does
    half = search._study._storage.create_new_trial(search._study._study_id)
    search._study._storage.set_trial_param(half, "lr", 0.25, DISTRIBUTIONS["lr"])
    found = searched(Search(settings(tmp_path, n_trials=3), SPACE))
    assert found[:2] == plain("tpe", 2, 1)
    assert found[2][1]["lr"] == 0.25
    assert [(trial.number, trial.params, trial.state.name) for trial in stored(tmp_path)] == [
        (number, params, "COMPLETE") for number, params in found
    ]


@pytest.mark.slow
def test_failed_trials_are_replaced_until_the_total_is_there(tmp_path):
    kinds = {2: "failed", 3: "pruned", 5: "diverged", 7: "interrupted", 8: "failed"}
    counts = []
    for _ in range(3):
        search = Search(settings(tmp_path, n_trials=10), SPACE)
        for batch in search.batches():
            for trial in batch:
                status = kinds.get(trial.number, "finished")
                search.tell(trial, status, loss(trial.params) if status == "finished" else None)
        kinds.pop(7, None)
        counts.append([trial.state.name for trial in stored(tmp_path)])
    assert counts[0] == [
        *("COMPLETE", "COMPLETE", "FAIL", "PRUNED", "COMPLETE", "PRUNED", "COMPLETE", "RUNNING", "FAIL", "COMPLETE")
    ]
    assert counts[1] == [*counts[0][:7], "COMPLETE", *counts[0][8:], "COMPLETE", "COMPLETE"]
    assert counts[2] == counts[1]
    assert len([state for state in counts[2] if state in ("COMPLETE", "PRUNED")]) == 10


@pytest.mark.slow
def test_a_larger_total_goes_on_and_a_smaller_one_does_nothing(tmp_path):
    searched(Search(settings(tmp_path, n_trials=6), SPACE))
    searched(Search(settings(tmp_path, n_trials=3), SPACE))
    assert len(stored(tmp_path)) == 6
    assert searched(Search(settings(tmp_path, n_trials=9), SPACE)) == plain("tpe", 9, 1)


@pytest.mark.slow
def test_a_value_that_is_not_finite_ends_nothing(tmp_path):
    search = Search(settings(tmp_path, n_trials=15), SPACE)
    for batch in search.batches():
        for trial in batch:
            search.tell(trial, "finished", float("nan") if trial.number % 2 else float("inf"))
    assert {trial.state.name for trial in stored(tmp_path)} == {"PRUNED"}


@pytest.mark.slow
def test_another_search_needs_another_study(tmp_path):
    searched(Search(settings(tmp_path, n_trials=1), SPACE))
    other = Parameter("lr", "lr", Range(1e-4, 1.0))
    for space, more, message in [
        (Space([other, HIDDEN, KIND]), {}, "lr was searched in 0.0001 to 1 on a log scale and is now in 0.0001 to 1"),
        (Space([LR, HIDDEN]), {}, "its trials search hidden, lr, optimizer, this search hidden, lr"),
        (SPACE, {"direction": "maximize"}, "its search was to minimize, this one is to maximize"),
    ]:
        with pytest.raises(BadInput) as caught:
            Search(settings(tmp_path, **more), space)
        assert str(caught.value) == f"study={tmp_path.name}: {message}; choose another study=NAME"
    narrower = Parameter("lr", "lr", Range(1e-3, 0.5, log=True))
    assert len(searched(Search(settings(tmp_path, n_trials=2), Space([narrower, HIDDEN, KIND])))) == 2


def test_a_storage_that_cannot_be_used(tmp_path):
    (tmp_path / DATABASE).write_bytes(b"no database" * 100)
    with pytest.raises(BadInput, match=r"search.db cannot be read: file is not a database; move it away: what has run"):
        Search(settings(tmp_path), SPACE)
    with pytest.raises(BadInput, match=r"^hydra.sweeper.storage=nosql://\*\*\*@host/x: Can't load plugin"):
        Search(settings(tmp_path, storage="nosql://me:secret@host/x"), SPACE)


@pytest.mark.slow
def test_half_a_database_is_made_again(tmp_path):
    half = tmp_path / f".{DATABASE}.1"
    with sqlite3.connect(half) as connection:
        connection.execute("create table studies (study_id integer)")
    connection.close()
    assert len(searched(Search(settings(tmp_path, n_trials=2), SPACE))) == 2
    assert [path.name for path in tmp_path.iterdir()] == [DATABASE]


def curves(count: int, length: int) -> list[list[float]]:
    chance = random.Random(1)
    return [[chance.random() * 4 / (epoch + 1) + chance.random() for epoch in range(length)] for _ in range(count)]


PRUNERS = {
    "median": ({"n_startup_trials": 3, "n_warmup_steps": 2}, optuna.pruners.MedianPruner(3, 2)),
    "hyperband": ({}, optuna.pruners.HyperbandPruner(max_resource=9)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PRUNERS)
@pytest.mark.parametrize("killed", [None, 0, 2])
def test_it_prunes_what_optuna_prunes(tmp_path, name, killed):
    options, theirs = PRUNERS[name]
    ours = settings(tmp_path, pruner=Strategy("pruner", name, options), max_epochs=9, n_trials=30)
    values = curves(30, 9)
    study = optuna.create_study(study_name="mine", pruner=theirs)
    expected = []
    for curve in values:
        trial, end = study.ask(DISTRIBUTIONS), None
        for epochs, value in enumerate(curve, 1):
            trial.report(value, epochs)
            if trial.should_prune():
                end = epochs
                break
        study.tell(trial, curve[-1] if end is None else None, None if end is None else optuna.trial.TrialState.PRUNED)
        expected.append(end)
    assert len({*expected}) > 2, "some are pruned, at different epochs, and some are not"
    search, ends = Search(ours, SPACE), []
    for batch in search.batches():
        for trial in batch:
            curve = values[trial.number]
            if killed is not None:  # just as it ended, or some epochs before; and now it is repeated
                hopeless, whole = Pruning(ours, trial.number), expected[trial.number] or 9
                answers = [hopeless(epochs, value) for epochs, value in enumerate(curve[: max(0, whole - killed)], 1)]
                assert not any(answers[:-1])
            hopeless = Pruning(ours, trial.number)
            end = next((epochs for epochs, value in enumerate(curve, 1) if hopeless(epochs, value)), None)
            search.tell(trial, "finished" if end is None else "pruned", curve[-1] if end is None else None)
            ends.append(end)
    assert ends == expected
    assert [trial.state.name for trial in stored(tmp_path)] == ["PRUNED" if end else "COMPLETE" for end in expected]


def test_nothing_is_reported_where_nothing_is_pruned(tmp_path):
    assert not Pruning(settings(tmp_path), 0).needed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_trial_with_a_result_is_not_reported_again(tmp_path):
    ours = settings(tmp_path, pruner=Strategy("pruner", "median"), n_trials=1)
    searched(Search(ours, SPACE))
    assert not Pruning(ours, 0).needed


def test_hyperband_knows_the_length_of_a_run():
    pruner = make_pruner(Strategy("pruner", "hyperband"), 81)
    study = optuna.create_study(pruner=pruner)
    trial = study.ask()
    trial.report(1.0, 1)
    trial.should_prune()
    assert pruner._n_brackets == 5, "floor(log3(81)) + 1"


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (Strategy("pruner", "median", {"n_warmup_steps": -1}), "Number of warmup steps cannot be negative"),
        (Strategy("pruner", "median", {"warmup": 1}), "unexpected keyword argument 'warmup'"),
    ],
)
def test_an_option_that_optuna_does_not_take(strategy, message):
    with pytest.raises(BadInput, match=rf"^hydra.sweeper.pruner=median: .*{message}"):
        make_pruner(strategy, 1)
