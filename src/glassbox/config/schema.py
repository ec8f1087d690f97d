"""What a config may hold: one row per key that has a rule, and the check of a whole config against the rows.

Only what Hydra cannot know is here. The names of keys and options are checked when the config is composed
(`glassbox.config.compose`), what a `_target_` accepts when it is built (`glassbox.config.build`).
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from glassbox.errors import BadInput, did_you_mean
from glassbox.tracking.keys import direction, monitored

SEED_MAX = 2**32 - 1
STUDY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Rule:
    """A predicate on one value and its meaning in words, as in "must be a finite number > 0".

    Example:
        >>> rule = RULES["lr"]
        >>> rule.holds(0.1), rule.holds(-1), rule.words
        (True, False, 'a finite number > 0')
    """

    holds: Callable[[Any], bool]
    words: str


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_split(value: Any) -> bool:
    parts = value if isinstance(value, list) else []
    return len(parts) == 3 and all(_is_number(p) and p > 0 for p in parts) and math.isclose(sum(parts), 1.0)


def _is_betas(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(_is_number(beta) and 0 <= beta < 1 for beta in value)


def _is_study(value: Any) -> bool:
    return isinstance(value, str) and bool(STUDY.fullmatch(value)) and value != "wandb"


POSITIVE_INT = Rule(lambda v: _is_int(v) and v >= 1, "a whole number ≥ 1")
NATURAL = Rule(lambda v: _is_int(v) and v >= 0, "a whole number ≥ 0")
SEED = Rule(lambda v: _is_int(v) and 0 <= v <= SEED_MAX, f"a whole number from 0 to {SEED_MAX}")
TEXT = Rule(lambda v: v is None or isinstance(v, str), "text or null")

SWITCH = Rule(lambda v: isinstance(v, bool), "true or false")

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
    "fail_fast": SWITCH,
    "force": SWITCH,
    "retry_diverged": SWITCH,
    "pictures": Rule(lambda v: v is None or isinstance(v, bool), "true, false or null"),
    "report": SWITCH,
    "notes": TEXT,
    "tags": Rule(lambda v: isinstance(v, list) and all(isinstance(t, str) for t in v), "a list of words"),
    "data.seed": SEED,
    "trainer.accumulate_grad_batches": POSITIVE_INT,
    "trainer.check_val_every_n_epoch": POSITIVE_INT,
    "trainer.gradient_clip_val": Rule(lambda v: v is None or (_is_number(v) and v > 0), "a finite number > 0, or null"),
    "trainer.fast_dev_run": Rule(lambda v: v is False, "left out; use debug=fast, which keeps its record"),
    "trainer.max_steps": Rule(lambda v: v == -1, "left out; the length of a run is max_epochs"),
    "trainer.min_epochs": Rule(lambda v: v is None, "left out; the length of a run is max_epochs"),
    "trainer.default_root_dir": Rule(lambda v: v is None, "left out; a run writes into its own folder"),
    "scheduler.interval": Rule(lambda v: v in ("epoch", "step"), "epoch or step"),
    "scheduler.step_size": POSITIVE_INT,
    "scheduler.patience": NATURAL,
    "callbacks.early_stopping.patience": NATURAL,
    "scheduler.total_steps": Rule(lambda v: v == "auto", "auto: the number of optimizer steps of the run"),
    "launcher.shards": POSITIVE_INT,
    "launcher.max_members": Rule(lambda v: v is None or (_is_int(v) and v >= 1), "a whole number ≥ 1, or null"),
    "optimizer.weight_decay": Rule(lambda v: _is_number(v) and v >= 0, "a finite number ≥ 0"),
    "optimizer.betas": Rule(_is_betas, "two numbers β with 0 ≤ β < 1, such as [0.9,0.999]"),
    "optimizer.momentum": Rule(lambda v: _is_number(v) and v >= 0, "a finite number ≥ 0"),
    "optimizer.eps": Rule(lambda v: _is_number(v) and v >= 0, "a finite number ≥ 0"),
    "data.split": Rule(_is_split, "three shares > 0 that add up to 1: train, validation, test"),
}

# The keys that a config has at the top, besides the groups; and those that the config of an older run does without.
DIALS = tuple(key for key in RULES if "." not in key)
NEW = ("pictures", "report")
GROUPS = ("data", "model", "init", "loss", "optimizer", "scheduler", "trainer", "logger", "callbacks", "launcher")

# The keys in groups that a run cannot do without.
NEEDED = ("loss.task", "data._target_", "model._target_", "loss._target_", "optimizer._target_", "trainer._target_")

# A copy of a dial deep in a group must not drift away from the dial that is recorded.
COPIES = {"optimizer.lr": "lr", "trainer.max_epochs": "max_epochs"}


def check(config: Mapping[str, Any]) -> None:
    """Check a composed config, as plain containers, against every rule.

    Args:
        config: The config with interpolations resolved.

    Raises:
        BadInput: Names the first value that breaks a rule, and the rule.

    Example:
        >>> check({"lrr": 0.1})
        Traceback (most recent call last):
        glassbox.errors.BadInput: lrr: unknown key 'lrr', did you mean 'lr'?
    """
    for key in config:
        if key not in DIALS and key not in GROUPS:
            raise BadInput(f"{key}: unknown key '{key}'{did_you_mean(str(key), [*DIALS, *GROUPS])}")
    for key in (*DIALS, *GROUPS, *NEEDED):
        if key not in NEW and not _select(config, key)[0]:
            raise BadInput(f"{key} is missing: leave out what removes it, such as ~{key}")
    for key, rule in RULES.items():
        found, value = _select(config, key)
        if found and not rule.holds(value):
            raise BadInput(f"{key}={show(value)}: must be {rule.words}")
    for copy, dial in COPIES.items():
        found, value = _select(config, copy)
        if found and value != config.get(dial):
            raise BadInput(f"{copy}={show(value)} differs from {dial}={show(config.get(dial))}: set {dial} instead")
    for name, node in (config.get("callbacks") or {}).items():
        if isinstance(node, Mapping) and node.get("dirpath") is not None:
            raise BadInput(f"callbacks.{name}.dirpath: leave it out; a run writes into its own folder")
    monitor, mode = config.get("monitor"), config.get("mode")
    better = direction(monitor) if isinstance(monitor, str) else None
    if better is not None and mode != better:
        raise BadInput(
            f"monitor={monitor} is better when it is {'larger' if better == 'max' else 'smaller'}: add mode={better}"
        )


def check_monitors(values: Mapping[str, Any]) -> None:
    """Check that what is monitored will be logged; a LightningModule of the user's own may log what it likes.

    Args:
        values: The config with every interpolation resolved.

    Raises:
        BadInput: There is no such metric.
    """
    if not str(values["model"].get("_target_")).startswith("glassbox."):
        return
    known = monitored(values["loss"]["task"])
    nodes = {"": values, "scheduler.": values["scheduler"] or {}}
    nodes |= {f"callbacks.{name}.": node or {} for name, node in (values["callbacks"] or {}).items()}
    for place, node in nodes.items():
        key = node.get("monitor")
        if key is not None and key not in known:
            near = did_you_mean(str(key), known)
            raise BadInput(f"{place}monitor={key}: no such metric{near} (there are {', '.join(known)})")


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
