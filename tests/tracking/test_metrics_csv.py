"""metrics.csv against pandas: exact numbers, one row per epoch, whatever happens to its end."""

import math

import pandas as pd
import pytest

from glassbox.tracking.metrics_csv import MetricsCsv, read

ROWS = [{"train/loss": 0.1 + 0.2, "val/loss": 1e-300}, {"train/loss": math.nan, "val/loss": math.inf}]


@pytest.fixture
def tracker(tmp_path):
    tracker = MetricsCsv(tmp_path)
    for epoch, row in enumerate(ROWS):
        tracker.log(row, epoch)
    return tracker


def test_numbers_come_back_bit_for_bit(tracker):
    rows = read(tracker.path)
    assert rows[0] == {"epoch": 0, **ROWS[0]}
    assert math.isnan(rows[1]["train/loss"])
    assert rows[1]["val/loss"] == math.inf
    frame = pd.read_csv(tracker.path)
    assert frame["train/loss"][0] == pytest.approx(ROWS[0]["train/loss"])
    assert list(frame.columns) == ["epoch", "train/loss", "val/loss"]


def test_a_new_key_becomes_a_column(tracker):
    tracker.log({"extra": 3.0, "train/loss": 1.0}, 2)
    rows = read(tracker.path)
    assert rows[2] == {"epoch": 2, "train/loss": 1.0, "extra": 3.0}
    assert "extra" not in rows[0]
    assert len(pd.read_csv(tracker.path)) == 3


def test_rows_are_only_appended(tracker):
    before = tracker.path.read_bytes()
    tracker.log(ROWS[0], 2)
    assert tracker.path.read_bytes().startswith(before)


def test_a_torn_last_line_is_left_out(tracker):
    with tracker.path.open("a") as file:
        file.write("2,0.5,0.")
    assert [row["epoch"] for row in read(tracker.path)] == [0, 1]


def test_a_resumed_run_is_cut_and_goes_on(tracker, tmp_path):
    tracker.cut(0)
    MetricsCsv(tmp_path).log({"train/loss": 7.0, "val/loss": 8.0}, 1)
    assert [row["train/loss"] for row in read(tracker.path)] == [ROWS[0]["train/loss"], 7.0]


def test_the_clock_is_in_a_file_of_its_own(tracker, tmp_path):
    frame = pd.read_csv(tmp_path / "timing.csv")
    assert frame["epoch"].tolist() == [0, 1]
    assert frame["since_start"].is_monotonic_increasing
    assert frame["seconds"].sum() == pytest.approx(frame["since_start"].iloc[-1], abs=1e-4)
