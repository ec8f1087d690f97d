"""How a benchmark judges: by medians of ratios within a round."""

import statistics

import pytest

from glassbox.bench import measure, table
from glassbox.bench.table import Goal, report, rounds

# Every round is slower than the one before, for both alike: the ratio is 1.5 in each.
TAKEN = {"ours": [1.5, 3.0, 15.0], "theirs": [1.0, 2.0, 10.0]}


@pytest.mark.parametrize(("limit", "verdict"), [(1.6, True), (1.5, True), (1.49, False)])
def test_a_goal_is_reached_or_not(limit, verdict, capsys):
    assert report("title", TAKEN, [Goal("ours", "theirs", limit)], per=2, unit="ms", scale=1e3) is verdict
    shown = capsys.readouterr().out
    assert "ours / theirs = 1.5 " in shown
    assert ("NOT REACHED" in shown) is not verdict
    assert f"{statistics.median(TAKEN['ours']) / 2 * 1e3:.4g}" in shown


def test_ways_take_turns_and_only_their_work_counts(monkeypatch):
    clock, order = [0.0], []

    def way(name, seconds):
        def prepare():
            clock[0] += 100.0
            order.append(name)

            def work():
                clock[0] += seconds

            return work

        return prepare

    monkeypatch.setattr(table.time, "process_time", lambda: clock[0])
    taken = rounds({"a": way("a", 2.0), "b": way("b", 3.0)}, count=2)
    assert taken == {"a": [2.0, 2.0], "b": [3.0, 3.0]}
    assert order == ["a", "b"] * 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["step", "run", "start"])
def test_every_benchmark_runs(name, outputs, capsys):
    assert getattr(measure, name)(count=1) in (True, False)
    assert "to reach" in capsys.readouterr().out
