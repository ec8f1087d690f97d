"""Which jobs of a sweep can train together: those that differ in numbers and seeds alone."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from glassbox.config.schema import show

# What a member of a population may have of its own, besides the numbers of its optimizer and scheduler.
# And what is about the sweep: a study that goes on with other switches has the same cohorts.
OWN = ("lr", "seed", "init", "tags", "notes", "launcher", "fail_fast", "force", "retry_diverged", "report")
# Keys of `trainer` → the values under which a population computes what a run alone does. All others it must not have.
TRAINER: dict[str, tuple[Any, ...] | None] = {
    "_target_": ("lightning.pytorch.Trainer",),
    "accelerator": None,  # any
    "devices": (1,),
    "strategy": ("auto",),
    "precision": ("32-true", "64-true"),
    "max_epochs": None,
    "gradient_clip_val": None,
    "gradient_clip_algorithm": (None, "norm", "value"),
    "accumulate_grad_batches": (1,),
    "deterministic": None,
    "check_val_every_n_epoch": (1,),
    "num_sanity_val_steps": (0,),
    "limit_train_batches": (1.0,),
    "limit_val_batches": (1.0,),
    "limit_test_batches": (1.0,),
    "overfit_batches": (0.0,),
    "detect_anomaly": (False,),
    "profiler": (None,),
}
CHECKPOINT = "lightning.pytorch.callbacks.ModelCheckpoint"
STOPPING = "lightning.pytorch.callbacks.EarlyStopping"
# Callback → the arguments that a population knows, with the values that it knows of them; None is any.
CALLBACKS: dict[str, dict[str, tuple[Any, ...] | None]] = {
    CHECKPOINT: {
        "filename": ("best", "last"),
        "monitor": None,
        "mode": None,
        "save_top_k": (1,),
        "save_on_train_epoch_end": (True,),
        "auto_insert_metric_name": (False,),
        "enable_version_counter": (False,),
    },
    STOPPING: {
        "monitor": None,
        "mode": None,
        "patience": None,
        "min_delta": None,
        "check_finite": None,
        "stopping_threshold": None,
        "divergence_threshold": None,
        "verbose": (False,),
        "strict": (True,),
    },
}


@dataclass(frozen=True)
class Kind:
    """With which other jobs a job can train together.

    Attributes:
        alone: Why with none; None if there may be some.
        cohort: What it has in common with them, hashed.
        numbers: The numbers that it has of its own.
    """

    alone: str | None
    cohort: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Mapping[str, Any], alone: str | None = None) -> "Kind":
        """Return the kind of a job.

        Args:
            values: The config with every interpolation resolved.
            alone: Why it must run alone, if that is known already.
        """
        alone = alone or reason_alone(values)
        if alone is not None:
            return cls(alone)
        return cls(None, sha256(shared(values).encode()).hexdigest()[:16], numbers(values))


def reason_alone(values: Mapping[str, Any]) -> str | None:
    """Return why a job cannot train together with others, as far as its config tells; None if it may.

    Args:
        values: The config with every interpolation resolved.

    Example:
        >>> reason_alone({"trainer": {"devices": 2}, "callbacks": {}})
        'trainer.devices=2'
    """
    unknown = _unknown(values["trainer"], TRAINER, "trainer")
    if unknown:
        return unknown
    known = set()
    for name, node in (values["callbacks"] or {}).items():
        target = (node or {}).get("_target_")
        if target is None:
            continue
        if target not in CALLBACKS:
            return f"callbacks.{name} needs one model"
        role = target, node.get("filename"), node.get("monitor") is None
        if role in known or role == (CHECKPOINT, "best", True) or role == (CHECKPOINT, "last", False):
            return f"callbacks.{name} is not one of the usual"
        known.add(role)
        unknown = _unknown(node, {"_target_": None, **CALLBACKS[target]}, f"callbacks.{name}")
        if unknown:
            return unknown
    return None


def shared(values: Mapping[str, Any]) -> str:
    """Return what the members of a cohort have in common, as text: two jobs of one text can train together.

    Args:
        values: The config with every interpolation resolved.

    Example:
        >>> one = {"lr": 0.1, "seed": 0, "batch_size": 32, "optimizer": {"_target_": "torch.optim.Adam", "eps": 1e-8}}
        >>> shared(one) == shared({**one, "lr": 0.2, "optimizer": {"_target_": "torch.optim.Adam", "eps": 1e-6}})
        True
        >>> shared(one) == shared({**one, "batch_size": 64})
        False
    """
    kept = {key: value for key, value in values.items() if key not in OWN}
    for group in ("optimizer", "scheduler"):
        kept[group] = _without_numbers(values.get(group))
    trainer = dict(values.get("trainer") or {})
    trainer["gradient_clip_val"] = _without_numbers(trainer.get("gradient_clip_val"))
    return json.dumps({**kept, "trainer": trainer}, sort_keys=True, default=str)


def numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers that a member has of its own, as `glassbox.population` names them.

    Args:
        values: The config with every interpolation resolved.

    Example:
        >>> numbers({"optimizer": {"lr": 0.1}, "scheduler": {"gamma": 0.5}, "trainer": {}})
        {'lr': 0.1, 'scheduler.gamma': 0.5, 'clip': None}
    """
    scheduler = {f"scheduler.{key}": value for key, value in (values.get("scheduler") or {}).items()}
    named = {**values["optimizer"], **scheduler, "clip": values["trainer"].get("gradient_clip_val")}
    return {key: value for key, value in named.items() if not isinstance(value, str)}


def _unknown(node: Mapping[str, Any], known: Mapping[str, tuple[Any, ...] | None], where: str) -> str | None:
    for key, value in node.items():
        wanted = known.get(key, ())
        if wanted is not None and not any(type(value) is type(one) and value == one for one in wanted):
            return f"{where}.{key}={show(value)}"
    return None


def _without_numbers(node: Any) -> Any:
    """Return a node with a sign in place of every number."""
    if isinstance(node, Mapping):
        return {key: _without_numbers(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_without_numbers(value) for value in node]
    return "a number" if isinstance(node, int | float) and not isinstance(node, bool) else node
