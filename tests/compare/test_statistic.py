"""The statistics against scipy.stats, a slow twin, and simulated studies."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from glassbox.compare.statistic import LEVEL, Mean, against_best, holm, moments, paired, seeds_needed, welch

SEEDS = 8


def test_the_interval_is_scipys():
    values = np.random.default_rng(0).normal(size=7)
    mean = Mean.of(list(values))
    low, high = stats.t.interval(0.95, 6, loc=values.mean(), scale=stats.sem(values))
    assert (mean.mean - mean.half, mean.mean + mean.half) == pytest.approx((low, high), rel=1e-12)


@pytest.mark.parametrize("values", [[], [1.0], [math.inf, 1.0, 2.0], [math.inf, -math.inf], [math.nan, 1.0]])
def test_what_has_no_interval_has_none(values):
    assert math.isnan(Mean.of(values).half)
    assert Mean.of(values).n == len(values)


def test_the_tests_are_scipys():
    rng = np.random.default_rng(1)
    a, b, c = rng.normal(size=(5, 8)), rng.normal(0.5, 2, size=(5, 8)), rng.normal(size=(5, 3))
    assert paired(a, b) == pytest.approx(stats.ttest_rel(a, b, axis=1).pvalue, rel=1e-12)
    for one, two in ((a, b), (a, c)):
        expected = stats.ttest_ind(one, two, axis=1, equal_var=False).pvalue
        assert welch(moments(one), moments(two)) == pytest.approx(expected, rel=1e-12)


def test_where_nothing_varies_what_differs_at_all_differs():
    assert paired([1.0, 1.0], [1.0, 1.0]) == 1
    assert paired([1.0, 1.0], [2.0, 2.0]) == 0
    assert welch(moments([1.0, 1.0]), moments([1.0, 1.0])) == 1
    assert welch(moments([1.0, 1.0]), moments([2.0, 2.0])) == 0
    assert math.isnan(welch(moments([1.0]), moments([2.0, 3.0])))
    assert math.isnan(paired([math.inf, 1.0], [math.inf, 1.0]))


def closed(p: list[float]) -> list[float]:
    """Holm by its definition: a hypothesis falls if every set of hypotheses with it does, each by Bonferroni."""
    sets = [some for size in range(1, len(p) + 1) for some in itertools.combinations(range(len(p)), size)]
    return [max(min(1, len(some) * min(p[j] for j in some)) for some in sets if i in some) for i in range(len(p))]


def test_holm_is_the_closed_test_of_bonferroni():
    rng = np.random.default_rng(2)
    for _ in range(20):
        p = [*(rng.uniform(size=5) ** 3), 0.02, 0.02]
        assert holm(p) == pytest.approx(closed(p), rel=1e-12)
    assert holm([0.01, math.nan, 0.04]) == pytest.approx([0.02, math.nan, 0.04], nan_ok=True)


def different(groups, blocks) -> bool:
    """Whether any config is told apart from the best."""
    best = int(np.argmin([np.mean(group) for group in groups]))
    return any(p <= LEVEL for p in against_best(groups, best, blocks))


@pytest.mark.slow
@pytest.mark.parametrize("same", [True, False], ids=["the same seeds", "other seeds"])
def test_equal_configs_tie_and_others_are_found_at_the_rates_that_are_promised(same):
    rng = np.random.default_rng(3)
    blocks = [[seed + (0 if same else SEEDS * config) for seed in range(SEEDS)] for config in range(10)]
    studies = 2000
    equal, far, many = 0, 0, 0
    for _ in range(studies):
        noise = rng.normal(size=(10, SEEDS))
        equal += different(noise[:2].tolist(), blocks[:2])
        shifted = noise[:2] + np.array([[0.0], [4 * math.sqrt(2 / SEEDS)]])  # four standard errors of the difference
        far += different(shifted.tolist(), blocks[:2])
        many += different(noise.tolist(), blocks)
    assert abs(1 - equal / studies - 0.95) <= 0.015
    assert far / studies >= 0.90
    assert many / studies <= 0.06


def test_the_seeds_needed_find_the_difference_as_often_as_promised():
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=12), rng.normal(0.8, 1.5, size=12)
    n = seeds_needed(list(a), list(b))

    def power(n):
        shape = (20_000, n)
        one = rng.normal(a.mean(), a.std(ddof=1), size=shape)
        two = rng.normal(b.mean(), b.std(ddof=1), size=shape)
        return float((stats.ttest_ind(one, two, axis=1, equal_var=False).pvalue <= 0.05).mean())

    assert power(n) >= 0.79
    assert power(round(n * 0.9)) < 0.80


def test_seeds_that_cannot_be_told_are_not():
    assert seeds_needed([1.0], [2.0, 3.0]) is None
    assert seeds_needed([1.0, math.nan, 2.0], [1.0, 2.0, 3.0]) is None
    assert seeds_needed([1.0, 2.0], [1.0, 2.0]) is None
    assert seeds_needed([0.0, 1.0, 2.0], [0.034, 1.034, 2.034]) is None
    assert seeds_needed([1.0, 1.0], [2.0, 2.0]) == 2
