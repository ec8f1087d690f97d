"""What matters: which factors explain the variance, which values are best, and what would tell the top two apart."""

import importlib.util
import itertools
import logging
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from glassbox.compare.factor import shown, spans_decades, value_of
from glassbox.compare.leaderboard import Leaderboard
from glassbox.compare.run import Run
from glassbox.compare.statistic import seeds_needed

CONFIGS = 8  # from so many on, shares of variance are worth a look
LEVELS = 16  # a number with more values was drawn from a range, and is used as a number
JOIN = " × "
SEED = 0  # of the random forest
FEWEST, MOST, ENOUGH = 16, 64, 12_800  # trees of a forest, and trees × runs: with many runs, few trees say the same

Key = TypeVar("Key")


@dataclass(frozen=True)
class Best:
    """The best value of a factor, averaged over the others.

    Attributes:
        key: The factor.
        value: Its value.
        mean: The mean over the configs with that value, of their means over seeds.
    """

    key: str
    value: Hashable
    mean: float


@dataclass(frozen=True)
class Matters:
    """What matters in a study.

    Attributes:
        shares: (factor, its share of the variance alone), the largest first; empty where `message` says why.
        pairs: (two factors, the share that only both together explain), the largest first.
        left_out: Runs without a finite value.
        best: The best value of each factor.
        seeds: How many seeds would tell the two best configs apart; None where that is not known.
        message: Why there are no shares.
    """

    shares: Sequence[tuple[str, float]] = ()
    pairs: Sequence[tuple[tuple[str, str], float]] = ()
    left_out: int = 0
    best: Sequence[Best] = ()
    seeds: int | None = None
    message: str | None = None


def matters(board: Leaderboard) -> Matters:
    """Tell what matters.

    Args:
        board: The leaderboard, of all that varies.
    """
    runs = [run for group in board.ranked for run in group.finished]
    used = [run for run in runs if math.isfinite(run.values[board.metric])]
    keys = [*board.keys, *board.averaged]
    varied = [key for key in keys if len({value_of(run.config, key) for run in used}) > 1]
    left_out = sum(len(group.runs) for group in board.groups) - len(used)
    seeds = None
    if len(board.ranked) > 1:
        first, second = ([run.values[board.metric] for run in group.finished] for group in board.ranked[:2])
        seeds = seeds_needed(first, second)
    best = [_best(used, key, board) for key in varied]
    message = _too_little(used, varied, board.metric)
    if message:
        return Matters(left_out=left_out, best=best, seeds=seeds, message=message)
    alone = _shares(used, varied, board.metric)
    pairs = {}
    for pair in itertools.combinations(varied, 2):
        together = _shares(used, varied, board.metric, joined=pair)[JOIN.join(pair)]
        pairs[pair] = max(0.0, together - alone[pair[0]] - alone[pair[1]])
    return Matters(_descending(alone), _descending(pairs), left_out, best, seeds)


def _descending(shares: Mapping[Key, float]) -> list[tuple[Key, float]]:
    return sorted(shares.items(), key=lambda item: -item[1])


def _too_little(runs: Sequence[Run], varied: Sequence[str], metric: str) -> str | None:
    """Say why shares of variance would say nothing; None where they do."""
    configs = {tuple(value_of(run.config, key) for key in varied) for run in runs}
    if len(varied) < 2:
        return f"only {varied[0]} varies" if varied else "nothing but the seed varies"
    if len(configs) < CONFIGS:
        return f"{len(configs)} configs are too few to share out the variance; {CONFIGS} would do"
    if len({run.values[metric] for run in runs}) == 1:
        return f"all runs have the same {metric}"
    if importlib.util.find_spec("optuna") is None:
        return "shares of the variance need optuna: pip install 'glassbox[search]'"
    return None


def _best(runs: Sequence[Run], key: str, board: Leaderboard) -> Best:
    """Return the value of a factor with the best mean over configs, each of which counts once.

    The values are compared over what all of them were finished with, so that none gains by runs that diverged; where
    there is nothing such, as in a random search, over all.
    """
    others = [name for name in (*board.keys, *board.averaged) if name != key]
    cells: dict[Hashable, dict[Hashable, list[float]]] = {}
    for run in runs:
        rest = tuple(value_of(run.config, name) for name in others)
        cells.setdefault(value_of(run.config, key), {}).setdefault(rest, []).append(run.values[board.metric])
    common = set.intersection(*map(set, cells.values())) or set().union(*cells.values())
    means = {}
    for value, cell in cells.items():
        used = [sum(some) / len(some) for rest, some in cell.items() if rest in common]
        means[value] = sum(used) / len(used)
    value = (min if board.mode == "min" else max)(means, key=means.__getitem__)
    return Best(key, value, means[value])


def _shares(runs: Sequence[Run], keys: Sequence[str], metric: str, joined: Sequence[str] = ()) -> dict[str, float]:
    """Return the share of the variance that each factor explains alone, by optuna's functional ANOVA.

    Each run is a trial. Values that are tried one by one are numbered, in a range that gives each the same weight, so
    that trees may tell any of them from any other; numbers that were drawn from a range are used as they are.

    Args:
        runs: Runs with a finite value.
        keys: The factors.
        metric: The metric.
        joined: Factors that are looked at as one.

    References:
        Hutter, Hoos and Leyton-Brown, An efficient approach for assessing hyperparameter importance, 2014.
    """
    import optuna
    from optuna.distributions import FloatDistribution
    from optuna.importance import FanovaImportanceEvaluator
    from optuna.trial import create_trial

    names = [key for key in keys if key not in joined] + ([JOIN.join(joined)] if joined else [])
    columns = {name: _column(runs, joined if name not in keys else [name]) for name in names}
    ranges = {name: FloatDistribution(low, high) for name, (_, low, high) in columns.items()}
    logger = logging.getLogger("optuna")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        study = optuna.create_study()
    finally:
        logger.setLevel(level)
    study.add_trials(
        [
            create_trial(
                params={name: columns[name][0][i] for name in names},
                distributions=dict(ranges),
                value=run.values[metric],
            )
            for i, run in enumerate(runs)
        ]
    )
    trees = max(FEWEST, min(MOST, ENOUGH // len(runs)))
    found = FanovaImportanceEvaluator(n_trees=trees, seed=SEED).evaluate(study)
    return {name: float(share) for name, share in found.items()}


def _column(runs: Sequence[Run], keys: Sequence[str]) -> tuple[list[float], float, float]:
    """Return a factor's numbers, and the range that they are from."""
    values = [tuple(value_of(run.config, key) for key in keys) for run in runs]
    levels = sorted(set(values), key=lambda value: tuple((isinstance(v, str), str(v)) for v in value))
    numbers = [value[0] for value in values if isinstance(value[0], int | float)]
    if len(keys) == 1 and len(levels) > LEVELS and len(numbers) == len(values):
        low, high = min(numbers), max(numbers)
        if spans_decades(numbers):
            return [math.log(number) for number in numbers], math.log(low), math.log(high)
        return [float(number) for number in numbers], float(low), float(high)
    place = {level: float(number) for number, level in enumerate(levels)}
    return [place[value] for value in values], -0.5, len(levels) - 0.5


def lines(board: Leaderboard, found: Matters) -> list[tuple[str, str]]:
    """Return what matters in words, as (head, sentence).

    Args:
        board: The leaderboard.
        found: What `matters` returned.
    """
    told = []
    if found.message:
        told.append(("explained", found.message))
    else:
        rest = 1 - sum(share for _, share in (*found.shares, *found.pairs))
        parts = [f"{key} {share:.0%}" for key, share in found.shares]
        parts += [f"{' × '.join(pair)} {share:.0%}" for pair, share in found.pairs if share >= 0.01]
        out = f"; {found.left_out} runs without a value are left out" if found.left_out else ""
        told.append(("explained", f"{', '.join(parts)}, the rest {max(0.0, rest):.0%} of the variance{out}"))
    told += [("on average", f"{b.key}={shown(b.value)} is best: {board.metric} {b.mean:.4g}") for b in found.best]
    if len(board.ranked) > 1 and board.ranked[1].tie and found.seeds is not None:
        told.append(("seeds", f"about {found.seeds} would tell the two best apart, if they are as they seem"))
    return told
