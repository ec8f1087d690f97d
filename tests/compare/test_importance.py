"""Shares of the variance against the closed form of a full grid."""

import importlib.util
import itertools

import numpy as np
import pytest

from glassbox.compare.importance import matters
from glassbox.compare.leaderboard import leaderboard
from glassbox.compare.run import Run

LR = [1e-4, 1e-3, 1e-2, 1e-1]
OPTIMIZER = ["sgd", "adam", "rmsprop"]
INIT = ["xavier", "kaiming"]


def grid(function, tmp_path, seeds=3):
    """Runs over the grid, of values that a function gives and seeds move a little."""
    rng, runs = np.random.default_rng(0), []
    for lr, optimizer, init, seed in itertools.product(range(4), range(3), range(2), range(seeds)):
        config = {"lr": LR[lr], "optimizer": OPTIMIZER[optimizer], "init": INIT[init], "seed": seed}
        value = function(lr, optimizer, init) + 1e-3 * rng.normal()
        fields = {"name": "a", "config": config, "best": {"val/loss": value}}
        runs.append(Run(tmp_path, fields, "finished"))
    return runs


def board(tmp_path, function, seeds=3):
    """Their leaderboard."""
    return leaderboard(grid(function, tmp_path, seeds))


def closed_form(function):
    """Variance alone and of both together, from the cells of the grid."""
    cells = np.array([[[function(a, b, c) for c in range(2)] for b in range(3)] for a in range(4)], dtype=float)
    alone = {"lr": cells.mean((1, 2)), "optimizer": cells.mean((0, 2)), "init": cells.mean((0, 1))}
    shares = {key: marginal.var() / cells.var() for key, marginal in alone.items()}
    both = cells.mean(2).var() / cells.var() - shares["lr"] - shares["optimizer"]
    return shares, both


@pytest.mark.slow
@pytest.mark.parametrize(
    "function",
    [lambda lr, optimizer, init: lr + 0.5 * optimizer, lambda lr, optimizer, init: lr * optimizer + 0.5 * lr],
    ids=["sum", "product"],
)
def test_the_shares_are_those_of_the_grid(tmp_path, function):
    shares, both = closed_form(function)
    found = matters(board(tmp_path, function))
    assert dict(found.shares) == pytest.approx(shares, abs=0.06)
    assert dict(found.shares)["init"] < 0.01
    assert dict(found.pairs)[("optimizer", "lr")] == pytest.approx(both, abs=0.06)
    assert found.shares == matters(board(tmp_path, function)).shares


def test_the_best_values_are_the_best_marginals(tmp_path):
    found = matters(board(tmp_path, lambda lr, optimizer, init: (lr - 2) ** 2 + optimizer, seeds=1))
    values = {best.key: best.value for best in found.best}
    assert (values["lr"], values["optimizer"]) == (1e-2, "sgd")
    assert found.best[-1].mean == pytest.approx(1.0, abs=0.01)  # of lr: that of the optimizers 0, 1, 2


def test_a_value_gains_nothing_by_runs_that_diverged(tmp_path):
    runs = grid(lambda lr, optimizer, init: 100 * (lr == 3) + optimizer, tmp_path, seeds=1)
    lost = [
        Run(
            run.folder,
            run.fields,
            "diverged" if run.config["lr"] == 0.1 and run.config["optimizer"] != "sgd" else "finished",
        )
        for run in runs
    ]
    (best,) = (best for best in matters(leaderboard(lost)).best if best.key == "optimizer")
    assert (best.value, best.mean) == ("sgd", pytest.approx(0, abs=0.01))


def test_without_optuna_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = matters(board(tmp_path, lambda lr, optimizer, init: lr, seeds=1))
    assert found.message == "shares of the variance need optuna: pip install 'glassbox[search]'"


def test_too_little_is_told(tmp_path):
    fields = [{"name": "a", "config": {"lr": lr}, "best": {"val/loss": lr}} for lr in (0.1, 0.2)]
    assert matters(leaderboard([Run(tmp_path, f, "finished") for f in fields])).message == "only lr varies"
    assert matters(leaderboard([Run(tmp_path, fields[0], "finished")])).message == "nothing but the seed varies"
    assert matters(leaderboard([])).message == "nothing but the seed varies"
    same = [Run(tmp_path, run.fields | {"best": {"val/loss": 1.0}}, "finished") for run in grid(lambda *_: 1, tmp_path)]
    assert matters(leaderboard(same)).message == "all runs have the same val/loss"
