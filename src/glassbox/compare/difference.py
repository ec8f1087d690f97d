"""How two runs differ: in their configs, in what they ran on, in their numbers."""

from collections.abc import Mapping
from typing import Any

from glassbox.compare.factor import shown, value_of
from glassbox.compare.run import Run

RECORDED = ("status", "reason", "study", "device", "launcher", "batched", "seconds")


def difference(a: Run, b: Run) -> list[tuple[str, str, str]]:
    """Return what is not the same in two runs, and all metrics of their best checkpoints.

    Args:
        a: A run.
        b: Another.

    Returns:
        (key, value of a, value of b), of config, record, versions and git; beside a metric of b is its difference to a.
    """
    parts = [
        ("", a.config, b.config),
        ("", _some(a.fields), _some(b.fields)),
        ("version of ", a.fields["versions"], b.fields["versions"]),
        ("git ", a.fields["git"] or {}, b.fields["git"] or {}),
    ]
    rows = [row for prefix, one, two in parts for row in _unequal(prefix, one, two)]
    for key in dict.fromkeys([*a.values, *b.values]):
        one, two = a.value(key), b.value(key)
        change = f"  ({two - one:+.3g})" if one is not None and two is not None and two != one else ""
        rows.append((key, shown(one), shown(two) + change))
    return rows


def _some(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: fields.get(key) for key in RECORDED}


def _unequal(prefix: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    pairs = {key: (value_of(a, key), value_of(b, key)) for key in dict.fromkeys([*a, *b])}
    return [(prefix + key, shown(one), shown(two)) for key, (one, two) in pairs.items() if one != two]
