"""What a config may hold: one row per key that has a rule, and the check of a whole config against the rows.

Only what Hydra cannot know is here. The names of keys and options are checked when the config is composed
(`glassbox.config.compose`), what a `_target_` accepts when it is built (`glassbox.config.build`).
"""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from glassbox.errors import BadInput
from glassbox.tracking.keys import direction

SEED_MAX = 2**32 - 1
STUDY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Rule:
    """A predicate on one value and its meaning in words, as in "must be a finite number > 0"."""

    holds: Callable[[Any], bool]
    words: str


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_split(value: Any) -> bool:
    parts = value if isinstance(value, list) else []
    return len(parts) == 3 and all(_is_number(p) and p > 0 for p in parts) and math.isclose(sum(parts), 1.0)


def _is_study(value: Any) -> bool:
    return isinstance(value, str) and bool(STUDY.fullmatch(value)) and value != "wandb"


POSITIVE_INT = Rule(lambda v: _is_int(v) and v >= 1, "a whole number ≥ 1")
SEED = Rule(lambda v: _is_int(v) and 0 <= v <= SEED_MAX, f"a whole number from 0 to {SEED_MAX}")
TEXT = Rule(lambda v: v is None or isinstance(v, str), "text or null")

RULES: dict[str, Rule] = {
    "lr": Rule(lambda v: _is_number(v) and v > 0, "a finite number > 0"),
    "seed": SEED,
    "max_epochs": POSITIVE_INT,
    "batch_size": POSITIVE_INT,
    "study": Rule(
        _is_study,
        "a folder name: letters, digits, '.', '_' and '-', at most 100 of them, beginning with a letter or digit, "
        "and not 'wandb'",
    ),
    "monitor": Rule(lambda v: isinstance(v, str) and bool(v), "a metric key such as val/loss"),
    "mode": Rule(lambda v: v in ("min", "max"), "min or max"),
    "rerun": TEXT,
    "notes": TEXT,
    "tags": Rule(lambda v: isinstance(v, list) and all(isinstance(t, str) for t in v), "a list of words"),
    "data.seed": SEED,
    "data.split": Rule(_is_split, "three shares > 0 that add up to 1: train, validation, test"),
}

# The keys that a config has at the top, besides the groups.
DIALS = frozenset(key for key in RULES if "." not in key)
GROUPS = ("data", "model", "init", "loss", "optimizer", "scheduler", "trainer", "logger", "callbacks")

# A copy of a dial deep in a group must not drift away from the dial that is recorded.
COPIES = {"optimizer.lr": "lr", "trainer.max_epochs": "max_epochs"}


def check(config: Mapping[str, Any]) -> None:
    """Check a composed config, as plain containers, against every rule.

    Args:
        config: The config with interpolations resolved.

    Raises:
        BadInput: Names the first value that breaks a rule, and the rule.

    Example:
        >>> check({"lr": float("inf")})
        Traceback (most recent call last):
        glassbox.errors.BadInput: lr=inf: must be a finite number > 0
    """
    for key in config:
        if key not in DIALS and key not in GROUPS:
            raise BadInput(
                f"Unknown key '{key}'{did_you_mean(str(key), [*DIALS, *GROUPS])}: see --cfg job for every key"
            )
    for key, rule in RULES.items():
        found, value = _select(config, key)
        if found and not rule.holds(value):
            raise BadInput(f"{key}={show(value)}: must be {rule.words}")
    for copy, dial in COPIES.items():
        found, value = _select(config, copy)
        if found and value != config.get(dial):
            raise BadInput(f"{copy}={show(value)} differs from {dial}={show(config.get(dial))}: set {dial} instead")
    monitor, mode = config.get("monitor"), config.get("mode")
    better = direction(monitor) if isinstance(monitor, str) else None
    if better is not None and mode != better:
        raise BadInput(
            f"monitor={monitor} is better when it is {'larger' if better == 'max' else 'smaller'}: add mode={better}"
        )


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """Return `", did you mean 'x'?"` for the nearest option, or nothing.

    Example:
        >>> did_you_mean("adm", ["adam", "sgd"])
        ", did you mean 'adam'?"
    """
    near = difflib.get_close_matches(word, list(options), n=1, cutoff=0.5)
    return f", did you mean '{near[0]}'?" if near else ""


def show(value: Any) -> str:
    """Write a value as it would be typed on the command line.

    Example:
        >>> show(None), show(True), show(1e-3)
        ('null', 'true', '0.001')
    """
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _select(config: Mapping[str, Any], key: str) -> tuple[bool, Any]:
    """Return (whether the dotted key is there, its value)."""
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return False, None
        node = node[part]
    return True, node
