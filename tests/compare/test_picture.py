"""The PNG figures: what is drawn, against pandas."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import image
from matplotlib.figure import Figure

from glassbox.compare import picture
from glassbox.compare.importance import Matters
from glassbox.compare.leaderboard import leaderboard
from glassbox.compare.run import read

MATTERS = Matters(shares=[("lr", 0.6), ("optimizer", 0.2)], pairs=[(("optimizer", "lr"), 0.15)])


@pytest.fixture
def board(write_run, outputs):
    rng = np.random.default_rng(0)
    for optimizer in ("adam", "sgd"):
        for lr in (0.01, 0.1, 1.0):
            for seed in range(3):
                values = rng.uniform(0.1, 1.0, 5)
                folder = write_run(values.min(), optimizer=optimizer, lr=lr, seed=seed)
                pd.DataFrame({"epoch": range(5), "val/loss": values}).to_csv(folder / "metrics.csv", index=False)
    return leaderboard(read([outputs / "demo"]).runs)


@pytest.fixture
def axes(monkeypatch):
    """The axes on which the figures are drawn, by the name of their file."""
    found = {}

    def keep(path, height, draw):
        figure = Figure()
        found[path.stem] = figure.add_subplot()
        draw(found[path.stem])
        return path

    monkeypatch.setattr(picture, "_written", keep)
    return found


@pytest.mark.slow
def test_the_files_are_pictures(board, tmp_path):
    paths = picture.write_pictures(tmp_path / "new", board, shares=MATTERS)
    names = ["curves.png", "sensitivity.png", "heatmap-lr-optimizer.png", "importance.png"]
    assert [path.name for path in paths] == names
    for path in paths:
        pixels = image.imread(path)
        assert pixels.shape[1] == 1400
        assert pixels.std() > 0.05


def test_curves_are_means_over_seeds(board, axes, tmp_path):
    picture.write_pictures(tmp_path, board, shares=MATTERS)
    drawn = [line.get_ydata() for line in axes["curves"].lines]
    assert len(drawn) == len(board.groups) == 6
    for values, group in zip(drawn, board.groups, strict=True):
        frames = [pd.read_csv(run.folder / "metrics.csv")["val/loss"] for run in group.runs]
        assert values == pytest.approx(np.mean(frames, axis=0), rel=1e-12)
    legend = axes["curves"].get_legend()
    assert legend.get_title().get_text() == "lr"  # what explains the most
    assert [text.get_text() for text in legend.get_texts()] == [
        *dict.fromkeys(f"{group.values[1]:g}" for group in board.groups)
    ]


def test_sensitivity_and_heat_map_are_the_leaderboard(board, axes, tmp_path):
    picture.write_pictures(tmp_path, board)
    assert "importance" not in axes
    means = {group.values: group.metric for group in board.groups}
    for container in axes["sensitivity"].containers:
        name = container.get_label()
        assert container[0].get_xdata() == pytest.approx([0.01, 0.1, 1.0])
        assert container[0].get_ydata() == pytest.approx([means[name, lr].mean for lr in (0.01, 0.1, 1.0)])
        for lr, bar in zip((0.01, 0.1, 1.0), container[2][0].get_segments(), strict=True):
            assert np.diff(bar[:, 1]) / 2 == pytest.approx(means[name, lr].half)
    (drawn,) = axes["heatmap-lr-optimizer"].images
    table = [[means[name, lr].mean for lr in (0.01, 0.1, 1.0)] for name in ("adam", "sgd")]
    assert drawn.get_array().filled().tolist() == [pytest.approx(row) for row in table]
    for text in axes["heatmap-lr-optimizer"].texts:
        column, row = (round(at) for at in text.get_position())
        assert text.get_text() == f"{table[row][column]:.3g}"
        ground = np.dot(drawn.to_rgba(table[row][column])[:3], (0.299, 0.587, 0.114))
        assert (text.get_color() == "white") == (ground < 0.5)


def test_importance_has_a_bar_per_share_and_the_rest(board, axes, tmp_path):
    picture.write_pictures(tmp_path, board, shares=MATTERS)
    widths = [bar.get_width() for bar in axes["importance"].patches]
    assert widths == pytest.approx([0.6, 0.2, 0.15, 0.05])
