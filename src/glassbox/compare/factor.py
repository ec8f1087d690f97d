"""What varies among runs: the keys that tell their configs apart, seeds aside, each said once."""

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from glassbox.compare.run import Run

DECADE = 10.0  # a range that spans so much is looked at on a log scale
GROUPS = ("data", "model", "init", "loss", "optimizer", "scheduler", "callbacks")
SEED = "seed"


def factors(runs: Sequence[Run]) -> list[str]:
    """Return the keys that tell the configs of runs apart, but their seed.

    Options come first, then the dials, then what lies deeper; what those before say already is left out, such as
    `optimizer.betas` where only the optimizer differs.

    Args:
        runs: The runs.

    Example:
        >>> from pathlib import Path
        >>> configs = [
        ...     {"lr": 0.1, "optimizer": "sgd", "optimizer.lr": 0.1, "seed": 0},
        ...     {"lr": 0.2, "optimizer": "sgd", "optimizer.lr": 0.2, "seed": 1},
        ...     {"lr": 0.1, "optimizer": "adam", "optimizer.lr": 0.1, "optimizer.eps": 1e-8, "seed": 0},
        ... ]
        >>> factors([Run(Path("a"), {"config": config}, "finished") for config in configs])
        ['optimizer', 'lr']
    """
    configs = [run.config for run in runs]
    every = dict.fromkeys(key for config in configs for key in config if key != SEED)
    columns = {key: [value_of(config, key) for config in configs] for key in every}
    varied = {key: column for key, column in columns.items() if len(set(column)) > 1}
    found: list[str] = []
    told: list[tuple[Hashable, ...]] = [()] * len(configs)
    for key in sorted(varied, key=_order):
        longer = [(*before, value) for before, value in zip(told, varied[key], strict=True)]
        if len(set(longer)) > len(set(told)):
            found.append(key)
            told = longer
    return found


def value_of(config: Mapping[str, Any], key: str) -> Hashable:
    """Return a value of a config in a form that can be compared and counted; None where it has no such key.

    Args:
        config: Key → value.
        key: A key.

    Example:
        >>> value_of({"betas": [0.9, 0.99]}, "betas")
        '[0.9, 0.99]'
    """
    value = config.get(key)
    return json.dumps(value) if isinstance(value, list | dict) else value


def grouped(runs: Iterable[Run], keys: Sequence[str]) -> dict[tuple[Hashable, ...], list[Run]]:
    """Return runs by their values of some keys, in the order in which they come.

    Args:
        runs: The runs.
        keys: Keys of the config.
    """
    found: dict[tuple[Hashable, ...], list[Run]] = {}
    for run in runs:
        found.setdefault(tuple(value_of(run.config, key) for key in keys), []).append(run)
    return found


def shown(value: Hashable) -> str:
    """Return a value as tables and pictures have it.

    Example:
        >>> shown(0.1), shown(1e-4), shown(None), shown("adam"), shown(32)
        ('0.1', '0.0001', '—', 'adam', '32')
    """
    if value is None:
        return "—"
    return f"{value:g}" if isinstance(value, float) else str(value)


def spans_decades(numbers: Sequence[float]) -> bool:
    """Return whether numbers are looked at on a log scale.

    Example:
        >>> spans_decades([1e-3, 1e-1]), spans_decades([0.5, 1.0]), spans_decades([0.0, 1.0]), spans_decades([])
        (True, False, False, False)
    """
    return bool(numbers) and min(numbers) > 0 and max(numbers) / min(numbers) >= DECADE


def _order(key: str) -> tuple[int, int, str]:
    """Options first, in the order of a sentence; then dials, then deeper keys."""
    if key in GROUPS:
        return 0, GROUPS.index(key), key
    return 1 + ("." in key), key.count("."), key
