"""Names are readable, safe and never twice the same."""

import random
import re

import pytest

from glassbox.tracking.keys import KEYS, direction, explain
from glassbox.tracking.name import run_name, study_name, with_new_tail

NAMES = [
    ([], "default"),
    (["optimizer=adam", "lr=1e-3", "data=moons"], "adam-lr0.001-moons"),
    (["optimizer=sgd", "study=x", "logger=none", "logger.mode=online", "tags=[a]", "notes=b", "pictures=true"], "sgd"),
    (["trainer=cpu", "trainer.devices=2", "trainer.accelerator=gpu", "trainer.precision=64-true"], "precision64-true"),
    (["data.path=/home/me/my table.csv", "data.target=label"], "pathmy_table-targetlabel"),
    (["+model.x='a/b\\c'"], "xa_b_c"),
    (["lr=1e30", "seed=0"], "lr1e30-seed0"),
    (["~optimizer.x"], "default"),
]


@pytest.mark.parametrize(("overrides", "stem"), NAMES)
def test_stems(overrides, stem):
    name = run_name(overrides)
    assert name.rpartition("-")[0] == stem
    assert with_new_tail(name).rpartition("-")[0] == stem


def test_a_long_command_has_a_short_name():
    name = run_name([f"model.x{i}=some-long-value-{i}" for i in range(50)])
    assert len(name) <= 80
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]+-[a-z0-9]{6}", name)


def test_no_two_names_are_the_same_whatever_the_seed():
    names = set()
    for _ in range(1000):
        random.seed(0)
        names.add(run_name([]))
    assert len(names) == 1000
    assert study_name() != study_name()


def test_every_key_is_explained():
    for key in KEYS:
        assert explain(key)
        assert direction(key) in ("min", "max", None)
    assert direction("val/accuracy") == direction("test/r2") == "max"
    assert explain("nonsense") is direction("nonsense") is None
