"""The pictures: colours and areas that can be computed otherwise, and names that could break a drawing."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from scipy.interpolate import RegularGridInterpolator

from glassbox import drawing
from glassbox.errors import BadInput

AXIS = np.linspace(0.0, 1.0, 50)
X, Y = np.meshgrid(AXIS, AXIS)


def draw(tmp_path, logits, *, names=("u", "v"), classes=("no", "yes"), axes=(AXIS, AXIS)):
    rows = np.random.default_rng(0).uniform(size=(40, 2)) * [axes[0][-1], axes[1][-1]]
    np.savez(
        tmp_path / "boundary.npz",
        x=axes[0],
        y=axes[1],
        logits=logits,
        points=rows,
        labels=np.arange(40) % len(classes),
        feature_names=np.array(names),
        classes=np.array(classes),
    )
    drawing.boundary(tmp_path / "boundary.npz", tmp_path / "boundary.png")
    return imread(tmp_path / "boundary.png")[..., :3]


@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_shades_the_area_that_each_class_wins(tmp_path, outputs):
    """Class 0 wins left of u = 0.3, so its full shade covers 30 % of what is shaded; so certain that no blend shows."""
    z = 1e4 * (X - 0.3)
    never = np.full_like(z, -1e9)
    logits = {1: z, 2: np.stack([0 * z, z], -1), 3: np.stack([0 * z, z, never], -1)}[outputs]
    picture = draw(tmp_path, logits, classes=("no", "yes", "never")[: max(outputs, 2)])
    shade = drawing._mix(np.array([to_rgb(color) for color in drawing.PALETTE[:2]]), np.ones(2))
    first, second = (np.abs(picture - color).max(axis=-1) < 0.01 for color in shade)
    rows = slice(300, 800)  # inside the axes
    columns = slice(0, 1250 if outputs < 3 else None)  # left of the scale, which two classes have
    share = first[rows, columns].sum() / (first | second)[rows, columns].sum()
    assert share == pytest.approx(0.3, abs=0.02)
    left, right = np.nonzero(first[rows, columns])[1], np.nonzero(second[rows, columns])[1]
    line = np.nonzero(np.abs(picture[rows, columns] - to_rgb(drawing.INK)).max(axis=-1) < 0.01)[1]
    assert np.quantile(left, 0.99) < np.median(line) < np.quantile(right, 0.01)


def test_rows_of_the_grid_run_upwards(tmp_path):
    picture = draw(tmp_path, 1e4 * (Y - 0.5))
    second = drawing._mix(np.array([to_rgb(drawing.PALETTE[1])]), np.ones(1))[0]
    height = np.nonzero(np.abs(picture[:, 300:1100] - second).max(axis=-1) < 0.01)[0]
    assert np.median(height) < len(picture) / 2  # pixels are counted from the top


@pytest.mark.parametrize("choices", [2, 3, 5])
def test_shade_is_the_probability_of_the_choice(choices):
    logits = np.random.default_rng(1).normal(size=(6, 7, choices)) * 3
    best, choice = torch.softmax(torch.from_numpy(logits), dim=-1).max(dim=-1)
    colors = np.array([to_rgb(color) for color in drawing.PALETTE[:choices]])[choice.numpy()]
    certainty = (best.numpy() - 1 / choices) / (1 - 1 / choices)
    full = drawing._mix(colors, np.ones_like(certainty))
    expected = 1 + certainty[..., None] * (full - 1)
    np.testing.assert_allclose(drawing._shade(logits), expected, rtol=1e-12)


def test_between_grid_points_logits_are_interpolated_linearly():
    grid = np.random.default_rng(2).normal(size=(5, 6))
    fine = drawing._finer(drawing._finer(grid, axis=0), axis=1)
    rows, columns = drawing._fine(np.arange(5.0)), drawing._fine(np.arange(6.0))
    twin = RegularGridInterpolator((np.arange(5.0), np.arange(6.0)), grid)
    np.testing.assert_allclose(fine, twin(tuple(np.meshgrid(rows, columns, indexing="ij"))), atol=1e-12)


@pytest.mark.parametrize(
    ("logits", "names", "classes"),
    [
        (X + 1.0, ("u", "v"), ("no", "yes")),
        (np.zeros_like(X), ("u", "v"), ("no", "yes")),
        (1e30 * (X - Y), ("price in $", "x_1 $\\frac$"), ("_hidden", "$")),
        (X - 0.5, ("a long name " * 20, "two\nlines"), ("a long name " * 9, "another " * 9)),
        (np.stack([X * i - Y * (i % 7) for i in range(20)], -1), ("u", "v"), [f"_{i}" for i in range(20)]),
    ],
    ids=["no line", "flat", "signs", "long", "many"],
)
def test_draws_whatever_comes(tmp_path, logits, names, classes):
    """Warnings are errors here: a name that matplotlib reads as a formula or a hidden label would fail."""
    axes = (AXIS * 1e7, AXIS * 1e-6)
    assert draw(tmp_path, logits, names=names, classes=classes, axes=axes).shape == (728, 1040, 3)


def test_the_same_data_give_the_same_picture(tmp_path):
    assert np.array_equal(draw(tmp_path, X - Y), draw(tmp_path, X - Y))


def table(width, classes=("a", "b")):
    features = np.random.default_rng(0).normal(size=(20, width))
    names = tuple(f"x{i + 1}" for i in range(width))
    return SimpleNamespace(features=features, feature_names=names, target=np.arange(20) % 2, classes=classes)


def test_scatter_draws_one_panel_per_table(tmp_path):
    drawing.scatter({"one": table(2)}, tmp_path / "one.png")
    drawing.scatter({"one": table(2), "two": table(2), "three": table(2)}, tmp_path / "three.png")
    one, three = imread(tmp_path / "one.png"), imread(tmp_path / "three.png")
    assert three.shape[1] == pytest.approx(3 * one.shape[1], abs=2)


@pytest.mark.parametrize("bad", [table(3), table(2, classes=None)], ids=["three features", "a number"])
def test_scatter_refuses_what_has_no_plane(tmp_path, bad):
    with pytest.raises(BadInput, match=r"^set: only classes of two features can be drawn$"):
        drawing.scatter({"set": bad}, tmp_path / "x.png")
