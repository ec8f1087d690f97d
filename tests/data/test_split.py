"""Splits: shares, strata, and independence from the run's seed."""

from collections import Counter

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from glassbox.data.split import bins, shares, stratified
from glassbox.errors import BadInput


@pytest.mark.parametrize("fractions", [(0.6, 0.2, 0.2), (0.8, 0.1, 0.1), (0.5, 0.3, 0.2), (1 / 3, 1 / 3, 1 / 3)])
@pytest.mark.parametrize("count", [*range(25), 100, 569, 1797])
def test_shares_are_whole_and_nearest(count, fractions):
    parts = shares(count, fractions)
    assert sum(parts) == count
    assert all(abs(part - count * fraction) < 1 for part, fraction in zip(parts, fractions, strict=True))


def test_every_row_is_in_one_part_and_every_stratum_in_all():
    strata = np.repeat([0, 1, 2], [300, 50, 7])
    parts = stratified(strata, (0.6, 0.2, 0.2), seed=4)
    assert sorted(np.concatenate(parts).tolist()) == list(range(357))
    assert [Counter(strata[part].tolist()) for part in parts] == [
        {0: 180, 1: 30, 2: 4},
        {0: 60, 1: 10, 2: 2},
        {0: 60, 1: 10, 2: 1},
    ]


def test_shares_of_classes_are_those_of_scikit_learn():
    strata = np.random.default_rng(0).integers(0, 3, 500)
    train, _, _ = stratified(strata, (0.6, 0.2, 0.2), seed=0)
    theirs, _ = train_test_split(np.arange(500), train_size=len(train), stratify=strata, random_state=0)
    mine, other = Counter(strata[train].tolist()), Counter(strata[theirs].tolist())
    assert all(abs(mine[label] - other[label]) <= 1 for label in range(3))


def test_seed_decides():
    strata = np.zeros(100, dtype=int)
    one, again, other = (stratified(strata, (0.6, 0.2, 0.2), seed)[0].tolist() for seed in (1, 1, 2))
    assert one == again != other


def test_numbers_are_cut_into_deciles():
    values = np.random.default_rng(0).normal(size=1000)
    expected = np.searchsorted(np.sort(values)[::100][1:], values, side="right")
    assert bins(values).tolist() == expected.tolist()


def test_an_empty_part_is_refused():
    with pytest.raises(BadInput, match=r"2 rows leave no validation row"):
        stratified(np.array([0, 0]), (0.9, 0.05, 0.05), seed=0)
