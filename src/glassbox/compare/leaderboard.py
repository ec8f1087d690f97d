"""The leaderboard: configs by their mean over seeds, with what can be told apart and what cannot."""

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from glassbox.compare.factor import SEED, factors, grouped, value_of
from glassbox.compare.run import MODE, MONITOR, Run
from glassbox.compare.statistic import LEVEL, Mean, against_best
from glassbox.errors import BadInput, did_you_mean
from glassbox.tracking.keys import direction

WITHOUT = "without the metric"
LOST = ("diverged", "pruned", "failed", "interrupted", "running", WITHOUT)  # runs without a value, told beside


@dataclass(frozen=True)
class Group:
    """The runs of one config, which differ in their seeds and in what is averaged over.

    Attributes:
        values: The values of the leaderboard's keys.
        runs: All of its runs.
        finished: Those that finished with a value of the metric.
        metric: Mean of the metric at the best checkpoint.
        test: Mean of the same metric on the test split.
        seconds: Mean of the seconds that a run took.
        lost: Status → number of runs that did not finish, or finished without a value of the metric.
        p: The corrected p value against the best; NaN for the best, and where there are too few values.
    """

    values: tuple[Hashable, ...]
    runs: Sequence[Run]
    finished: Sequence[Run]
    metric: Mean
    test: Mean
    seconds: Mean
    lost: Mapping[str, int]
    p: float = math.nan

    @property
    def tie(self) -> bool:
        """Whether it has a value that has not been told apart from the best; one seed tells nothing apart."""
        return self.metric.n > 0 and not self.p <= LEVEL


@dataclass(frozen=True)
class Leaderboard:
    """Configs, the best first; those without a finished run last.

    Attributes:
        keys: What tells the configs apart.
        averaged: Keys that vary within a config, besides the seed.
        metric: The metric, at the best checkpoint.
        mode: `min` or `max`, whichever is better.
        groups: The configs.
    """

    keys: Sequence[str]
    averaged: Sequence[str]
    metric: str
    mode: str
    groups: Sequence[Group] = field(default_factory=list)

    @property
    def test_metric(self) -> str:
        """The same metric on the test split."""
        return f"test/{self.metric.partition('/')[2]}"

    @property
    def ranked(self) -> list[Group]:
        """The configs that have a value."""
        return [group for group in self.groups if group.metric.n]


def leaderboard(
    runs: Sequence[Run], *, by: Sequence[str] = (), metric: str | None = None, mode: str | None = None
) -> Leaderboard:
    """Rank the configs of runs.

    Args:
        runs: The runs, of one identity each.
        by: Keys of the config to group by; by default all that vary, seeds aside.
        metric: The metric; by default the one that the best checkpoints are the best of.
        mode: `min` or `max`; by default what is better in the metric.

    Raises:
        BadInput: No run has a key or the metric, or nobody says which direction is better.
    """
    varied = factors(runs)
    keys = list(by) or varied
    for key in by:
        known = {name for run in runs for name in run.config}
        if key not in known:
            raise BadInput(f"--by {key}: no run has such a key{did_you_mean(key, known)}")
    metric, mode = _metric(runs, metric, mode)
    averaged = [key for key in varied if key not in keys]
    made = [_group(values, some, metric) for values, some in grouped(runs, keys).items()]
    sign = 1 if mode == "min" else -1
    made.sort(key=lambda g: (g.metric.n == 0, math.isnan(g.metric.mean), sign * g.metric.mean))
    return Leaderboard(keys, averaged, metric, mode, _told_apart(made, metric, averaged))


def _metric(runs: Sequence[Run], metric: str | None, mode: str | None) -> tuple[str, str]:
    monitors = Counter(run.monitor for run in runs)
    monitor = monitors.most_common(1)[0][0] if monitors else (MONITOR, MODE)
    if metric is None:
        return monitor[0], mode or monitor[1]
    known = {key for run in runs for key in run.values}
    if known and metric not in known:
        raise BadInput(f"--metric {metric}: no run has it{did_you_mean(metric, known)}; --help-metrics lists them")
    mode = mode or (monitor[1] if metric == monitor[0] else direction(metric))
    if mode is None:
        raise BadInput(f"--metric {metric}: add --mode min or --mode max, whichever is better")
    return metric, mode


def _group(values: tuple[Hashable, ...], runs: Sequence[Run], metric: str) -> Group:
    finished = [run for run in runs if run.status == "finished" and run.value(metric) is not None]
    counted = Counter(run.status for run in runs)
    counted[WITHOUT] = counted["finished"] - len(finished)
    seconds = [run.fields.get("seconds") for run in finished]
    test = [run.value(f"test/{metric.partition('/')[2]}") for run in finished]
    return Group(
        values,
        runs,
        finished,
        Mean.of([run.values[metric] for run in finished]),
        Mean.of([value for value in test if value is not None]),
        Mean.of([float(value) for value in seconds if value is not None]),
        {status: counted[status] for status in LOST if counted[status]},
    )


def _told_apart(groups: Sequence[Group], metric: str, averaged: Sequence[str]) -> list[Group]:
    ranked = [group for group in groups if group.metric.n]
    samples = [[run.values[metric] for run in group.finished] for group in ranked]
    blocks = [
        [tuple(str(value_of(run.config, key)) for key in (SEED, *averaged)) for run in group.finished]
        for group in ranked
    ]
    p = against_best(samples, 0, blocks) if ranked else []
    rest = groups[len(ranked) :]
    return [Group(**{**vars(group), "p": value}) for group, value in zip(ranked, p, strict=True)] + list(rest)
