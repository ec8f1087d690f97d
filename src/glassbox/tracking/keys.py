"""The metric keys, once: what each means and which direction is better."""

from collections.abc import Mapping

_METRICS = {
    "loss": ("min", "mean loss per row, in the loss's own units; mse is in units of the standardised target"),
    "accuracy": ("max", "share of rows whose class is right"),
    "auroc": ("max", "area under the ROC curve; the mean over classes where there are more than two"),
    "mae": ("min", "mean absolute error, in the target's own units"),
    "r2": ("max", "share of the target's variance that is explained; 0 is what the mean reaches"),
}
_STAGES = {
    "train": "while training, so averaged over the weights of the epoch",
    "val": "on the validation split, after the epoch",
    "test": "on the test split, by the best checkpoint",
}

KEYS: dict[str, tuple[str | None, str]] = {
    f"{stage}/{name}": (better, f"{meaning}; {when}")
    for stage, when in _STAGES.items()
    for name, (better, meaning) in _METRICS.items()
} | {
    "train/lr": (None, "learning rate at the start of the epoch"),
    "train/grad_norm": (None, "L2 norm of the gradient at the epoch's last step, before clipping"),
    "train/update_ratio": (None, "norm of the epoch's last update relative to that of the weights; 1e-3 is healthy"),
}

_TASKS = {
    "binary": ("loss", "accuracy", "auroc"),
    "multiclass": ("loss", "accuracy", "auroc"),
    "regression": ("loss", "mae", "r2"),
}


def monitored(task: str) -> list[str]:
    """Return the metric keys that a run of a task logs while it trains, and that may so be monitored.

    Args:
        task: `binary`, `multiclass` or `regression`.

    Example:
        >>> monitored("regression")
        ['val/loss', 'val/mae', 'val/r2', 'train/loss', 'train/mae', 'train/r2']
    """
    return [f"{stage}/{name}" for stage in ("val", "train") for name in _TASKS.get(task, ())]


def explain(key: str) -> str | None:
    """Return one line on what a metric key means; None for a key that is not ours.

    Args:
        key: A metric key.

    Example:
        >>> explain("val/mae")
        "mean absolute error, in the target's own units; on the validation split, after the epoch"
    """
    return KEYS[key][1] if key in KEYS else None


def direction(key: str) -> str | None:
    """Return `min` or `max`, whichever is better; None where neither is or the key is not ours.

    Args:
        key: A metric key.

    Example:
        >>> direction("val/loss"), direction("val/accuracy"), direction("train/lr")
        ('min', 'max', None)
    """
    return KEYS[key][0] if key in KEYS else None


def at_best(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics of the best checkpoint under the keys that a dashboard has them by, beside those of all epochs.

    Args:
        metrics: Metric key → value, as `best` of a record.

    Example:
        >>> at_best({"epoch": 3, "val/loss": 0.25})
        {'best/epoch': 3, 'best/val/loss': 0.25}
    """
    return {f"best/{key}": value for key, value in metrics.items()}
