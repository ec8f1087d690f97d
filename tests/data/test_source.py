"""The data sets against scikit-learn's own, and the toy sets against what defines them."""

import numpy as np
import pytest
from sklearn import datasets as sk
from sklearn.linear_model import LogisticRegression

from glassbox.data import breast_cancer, circles, diabetes, digits, moons, spiral, xor
from glassbox.errors import BadInput

TOYS = {"moons": moons, "circles": circles, "xor": xor, "spiral": spiral}


def test_real_tables_are_those_of_scikit_learn():
    for ours, theirs in (
        (breast_cancer(), sk.load_breast_cancer()),
        (digits(), sk.load_digits()),
        (diabetes(), sk.load_diabetes(scaled=False)),
    ):
        assert np.array_equal(ours.features, theirs.data)
        assert np.array_equal(ours.target, theirs.target)
        assert ours.feature_names == tuple(theirs.feature_names)


def test_features_are_chosen_by_name():
    names = ["worst texture", "mean concave points"]
    bunch = sk.load_breast_cancer()
    columns = [list(bunch.feature_names).index(name) for name in names]
    assert np.array_equal(breast_cancer(names).features, bunch.data[:, columns])
    with pytest.raises(BadInput, match="no feature 'worst textur', did you mean 'worst texture'"):
        breast_cancer(["worst textur"])


@pytest.mark.parametrize("name", TOYS)
def test_toy_sets_are_balanced_and_follow_their_seed(name):
    one, again, other = (TOYS[name](samples=200, seed=seed) for seed in (0, 0, 1))
    assert one.features.shape == (200, 2)
    assert np.bincount(one.target).tolist() == [100, 100]
    assert np.array_equal(one.features, again.features)
    assert not np.array_equal(one.features, other.features)


def test_xor_is_the_sign_of_the_product():
    table = xor(samples=400, noise=0.05)
    assert np.array_equal(table.target, (table.features.prod(axis=1) < 0).astype(int))


def test_no_line_separates_xor_and_the_spiral():
    for table in (xor(samples=1000), spiral(samples=1000)):
        assert LogisticRegression().fit(table.features, table.target).score(table.features, table.target) < 0.7


def test_spiral_arms_are_half_a_turn_apart():
    table = spiral(samples=500, noise=0.0, turns=1.5)
    radius = np.linalg.norm(table.features, axis=1)
    angle = np.arctan2(table.features[:, 1], table.features[:, 0])
    expected = 2 * np.pi * 1.5 * radius / 3 + np.pi * table.target
    assert np.allclose(np.exp(1j * angle), np.exp(1j * expected), atol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"), [({"samples": 3}, "data.samples=3"), ({"noise": -1.0}, "data.noise=-1")]
)
def test_what_makes_no_set_is_refused(options, message):
    with pytest.raises(BadInput, match=message):
        xor(**options)
