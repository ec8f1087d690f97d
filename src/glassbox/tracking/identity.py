"""The identity of a run: a hash of what determines its numbers, and of nothing else.

Two runs with one identity give the same weights on the same machine. Where a run is kept, who watches it and on which
device it runs are not part of it, so that switching the logger or the launcher of a study repeats nothing.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

GROUPS = ("data", "model", "init", "loss", "optimizer", "scheduler")
CHOICE = "choice"  # the key of `with_choice`
DIALS = ("lr", "seed", "max_epochs", "batch_size", "monitor", "mode")

# Keys of `trainer` that say where and how visibly a run computes, not what.
TRAINER_OUT = frozenset(
    {
        "_target_",
        "accelerator",
        "devices",
        "num_nodes",
        "strategy",
        "deterministic",
        "benchmark",
        "detect_anomaly",
        "profiler",
        "log_every_n_steps",
        "num_sanity_val_steps",
        "max_epochs",  # the dial counts
    }
)

# For Lightning 1 is one batch, and 1.0 is all of them.
COUNT_OR_SHARE = frozenset(
    "trainer." + name
    for name in (
        "limit_train_batches",
        "limit_val_batches",
        "limit_test_batches",
        "overfit_batches",
        "val_check_interval",
    )
)

# Callbacks that only look on. Any other callback may change training, so it counts.
OBSERVERS = frozenset(
    "lightning.pytorch.callbacks." + name
    for name in ("ModelCheckpoint", "LearningRateMonitor", "DeviceStatsMonitor", "Timer", "ModelSummary")
)

# A value equal to its recorded default is left out of the hash, so that a key that is added later, with the default
# that keeps the old behaviour, changes no old identity. Add a row with every new key; never change a row.
DEFAULTS: dict[str, Any] = {
    "monitor": "val/loss",
    "mode": "min",
    "data.seed": 0,
    "data.split": [0.6, 0.2, 0.2],
    "trainer.precision": "32-true",
    "trainer.gradient_clip_val": None,
    "trainer.gradient_clip_algorithm": "norm",
    "trainer.accumulate_grad_batches": 1,
    "trainer.check_val_every_n_epoch": 1,
    "trainer.limit_train_batches": 1.0,
    "trainer.limit_val_batches": 1.0,
    "trainer.limit_test_batches": 1.0,
    "trainer.overfit_batches": 0.0,
}


def determining(config: Mapping[str, Any], data_digest: str | None = None) -> dict[str, Any]:
    """Return the flat part of a config that determines a run's numbers.

    Args:
        config: The resolved config as plain containers.
        data_digest: SHA-256 of the data file, where the data is a file; it stands for `data.path`.

    Returns:
        Dotted key → value, without values that equal their recorded default.

    Example:
        >>> determining({"lr": 0.1, "seed": 0, "study": "a", "trainer": {"precision": "64-true", "devices": 2}})
        {'lr': 0.1, 'seed': 0, 'trainer.precision': '64-true'}
    """
    kept: dict[str, Any] = {key: config[key] for key in DIALS if key in config}
    for group in GROUPS:
        kept.update(_flatten(group, config.get(group)))
    if data_digest is not None:
        kept.pop("data.path", None)
        kept["data.sha256"] = data_digest
    trainer = config.get("trainer") or {}
    for key, value in trainer.items():
        if key not in TRAINER_OUT:
            kept.update(_flatten(f"trainer.{key}", value))
    for name, node in (config.get("callbacks") or {}).items():
        if node and node.get("_target_") not in OBSERVERS:
            kept.update(_flatten(f"callbacks.{name}", node))
    return {
        key: value
        for key, value in sorted(kept.items())
        if not (key in DEFAULTS and _canonical(value, key) == _canonical(DEFAULTS[key], key))
    }


def stated(config: Mapping[str, Any], choices: Mapping[str, Any], data_digest: str | None = None) -> dict[str, Any]:
    """Return what a record says of a config: the options that were chosen, and what determines the numbers.

    Args:
        config: The resolved config as plain containers; what is secret in it is masked by who writes it down.
        choices: Config group → option, as Hydra has them; other groups than ours are left out.
        data_digest: SHA-256 of the data file, where the data is a file.

    Returns:
        Group → option, and dotted key → value.

    Example:
        >>> stated({"lr": 0.1, "optimizer": {"lr": 0.1}}, {"optimizer": "adam", "logger": "csv"})
        {'optimizer': 'adam', 'lr': 0.1, 'optimizer.lr': 0.1}
    """
    chosen = {group: choices[group] for group in (*GROUPS, "callbacks") if choices.get(group) is not None}
    return chosen | determining(config, data_digest)


def with_choice(config: Mapping[str, Any], stated: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config that also names the options that were chosen, which a dashboard can group by.

    Args:
        config: The config as plain containers.
        stated: What `stated` has said of it.

    Example:
        >>> with_choice({"optimizer": {"_target_": "torch.optim.Adam"}}, {"optimizer": "adam", "lr": 0.1})
        {'optimizer': {'_target_': 'torch.optim.Adam'}, 'choice': {'optimizer': 'adam'}}
    """
    return {**config, CHOICE: {group: stated[group] for group in (*GROUPS, "callbacks") if group in stated}}


def identity(config: Mapping[str, Any], data_digest: str | None = None) -> str:
    """Return the identity of a run: 16 hexadecimal digits.

    Args:
        config: The resolved config as plain containers.
        data_digest: SHA-256 of the data file, where the data is a file.

    Returns:
        The first 64 bits of the SHA-256 of the canonical JSON of `determining(config)`.

    Example:
        >>> identity({"lr": 1, "study": "a"}) == identity({"lr": 1.0, "study": "b", "logger": {}})
        True
        >>> identity({"lr": 1}) == identity({"lr": 2})
        False
    """
    flat = {key: _canonical(value, key) for key, value in determining(config, data_digest).items()}
    return hashlib.sha256(json.dumps(flat, sort_keys=True).encode()).hexdigest()[:16]


def _flatten(prefix: str, node: Any) -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, leaf) pairs; a list is a leaf."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _flatten(f"{prefix}.{key}", value)
    elif node is not None or prefix in DEFAULTS:
        yield prefix, node


def _canonical(value: Any, key: str) -> Any:
    """Write numbers in one way: 1 and 1.0 are the same hyper-parameter, True is not 1."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float):
        whole = isinstance(value, int) and (key in COUNT_OR_SHARE or abs(value) > 2**53)
        return f"number {value!r}" if whole else f"number {float(value)!r}"
    if isinstance(value, Mapping):
        return {str(name): _canonical(item, key) for name, item in value.items()}
    return [_canonical(item, key) for item in value]
