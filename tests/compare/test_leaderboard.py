"""Factors and groups against pandas and brute force; nothing is dropped without a word."""

import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from glassbox.compare.factor import factors, grouped, value_of
from glassbox.compare.leaderboard import WITHOUT, leaderboard
from glassbox.compare.run import Run, read
from glassbox.tracking.record import Record


@pytest.fixture
def many(tmp_path):
    rng = np.random.default_rng(0)
    made = []
    for number in range(200):
        optimizer, lr = str(rng.choice(["sgd", "adam"])), float(rng.choice([0.1, 1.0]))
        config = {"optimizer": optimizer, "lr": lr, "optimizer.lr": lr, "seed": number}
        if optimizer == "adam":
            config |= {"optimizer.betas": [0.9, 0.99], "optimizer.eps": float(rng.choice([1e-8, 1e-6]))}
        status = str(rng.choice(["finished", "failed", "diverged"], p=[0.8, 0.1, 0.1]))
        best = {"val/loss": float(rng.normal()), "val/accuracy": float(rng.uniform())}
        if number % 10 == 0:
            del best["val/accuracy"]
        fields = {"name": str(number), "config": config, "best": best, "test": {"test/loss": float(rng.normal())}}
        made.append(Run(tmp_path, fields, status))
    return made


def test_the_factors_tell_all_configs_apart_and_each_says_something_new(many):
    found = factors(many)
    assert found == ["optimizer", "lr", "optimizer.eps"]

    def configs(keys):
        return len(grouped(many, keys))

    every = sorted({key for run in many for key in run.config} - {"seed"})
    assert configs(found) == configs(every)
    assert [configs(found[:size]) for size in range(4)] == [1, 2, 4, 6]
    assert {configs([*found, key]) for key in every} == {6}


def test_the_groups_are_those_of_pandas(many):
    board = leaderboard(many, metric="val/accuracy")
    assert board.mode == "max"
    frame = pd.DataFrame(
        {key: value_of(run.config, key) for key in board.keys}
        | {"status": run.status, "value": run.value("val/accuracy"), "test": run.value("test/loss")}
        for run in many
    )
    finished = frame[(frame.status == "finished") & frame.value.notna()]
    groups = finished.groupby([*board.keys], dropna=False)
    means = groups.agg(value=("value", "mean"), n=("value", "size"))
    found = [group.metric.mean for group in board.groups]
    assert found == sorted(found, reverse=True) == pytest.approx(sorted(means["value"], reverse=True), rel=1e-12)
    assert sorted(group.metric.n for group in board.groups) == sorted(means["n"])
    lost = Counter(frame.status) - Counter(finished=len(frame))
    for status, count in lost.items():
        assert sum(group.lost.get(status, 0) for group in board.groups) == count
    without = int((frame.status == "finished").sum()) - len(finished)
    assert sum(group.lost.get(WITHOUT, 0) for group in board.groups) == without > 0
    assert sum(len(group.finished) + sum(group.lost.values()) for group in board.groups) == len(many)


def test_a_config_without_a_value_is_last_and_no_tie(write_run, outputs):
    for seed in range(3):
        write_run(0.1 + seed / 100, lr=0.1, seed=seed)
        write_run(lr=1.0, seed=seed, status="failed")
    write_run(float("nan"), lr=2.0, seed=0)
    write_run(0.01, lr=3.0, seed=0)
    groups = leaderboard(read([outputs / "demo"]).runs).groups
    assert [group.values[0] for group in groups] == [3.0, 0.1, 2.0, 1.0]
    assert [group.tie for group in groups] == [True, True, True, False]
    assert math.isnan(groups[1].p)  # the best has one seed


def test_the_run_with_a_result_speaks_for_its_identity(write_run, outputs):
    names = {}
    for value, status in ((0.5, "finished"), (0.4, "finished"), (None, "failed")):
        folder = write_run(value, lr=0.1, seed=0, status=status)
        names[folder.name] = value
        Record(folder, Record.read(folder)).update(started=f"2026-01-0{len(names)}T00:00:00+00:00")
    found = read([outputs / "demo"])
    assert [run.value("val/loss") for run in found.runs] == [0.4]
    assert found.repeated == 1


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"schema": 99}', '{"schema": 2}', '{"schema": 2, "status": "new", "identity": "a", "started": "b"}'],
)
def test_what_is_no_record_is_left_out_and_told(write_run, outputs, text):
    write_run(0.5, lr=0.1, seed=0)
    (outputs / "demo" / "other").mkdir()
    (outputs / "demo" / "other" / "run.json").write_text(text)
    found = read([outputs / "demo"])
    assert len(found.runs) == len(found.unread) == 1
    assert "other" in found.unread[0]
