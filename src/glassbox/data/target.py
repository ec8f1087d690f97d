"""A target as the loss wants it."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from glassbox.data.table import Table
from glassbox.errors import BadInput

LOSS = {"binary": "bce", "multiclass": "cross_entropy", "regression": "mse"}


@dataclass(frozen=True)
class Target:
    """A target, encoded.

    Attributes:
        values: Binary 0/1 [N, 1], class codes [N], or standardised values [N, 1].
        outputs: Outputs C of a net for it.
        mean: What was subtracted; 0 for classes.
        scale: What it was divided by; 1 for classes.

    Example:
        >>> ages = Target(torch.tensor([[-1.0], [1.0]]), outputs=1, mean=30.0, scale=10.0)
        >>> (ages.values * ages.scale + ages.mean).tolist()
        [[20.0], [40.0]]
    """

    values: Tensor
    outputs: int
    mean: float = 0.0
    scale: float = 1.0


def encode(table: Table, task: str, train: np.ndarray, dtype: torch.dtype) -> Target:
    """Encode the target of a table for a task.

    Args:
        table: The table.
        task: `binary`, `multiclass` or `regression`.
        train: Row numbers of the training split, by whose mean and standard deviation numbers are standardised.
        dtype: Type of the values, if they are not class codes.

    Raises:
        BadInput: The target does not fit the task; the message names the loss that does.

    Example:
        >>> table = Table(np.zeros((3, 1)), ("x",), np.array([20.0, 40.0, 90.0]), "age", None)
        >>> target = encode(table, "regression", train=np.array([0, 1]), dtype=torch.float32)
        >>> target.mean, target.scale, target.values.tolist()
        (30.0, 10.0, [[-1.0], [1.0], [6.0]])
    """
    if task == "regression":
        return _numbers(table, train, dtype)
    if task not in LOSS:
        raise BadInput(f"loss.task={task}: must be {', '.join(LOSS)}")
    if table.classes is None:
        raise BadInput(
            f"The target '{table.target_name}' is a number, but loss={LOSS[task]} needs classes; use loss=mse"
        )
    count = len(table.classes)
    if task == "binary":
        if count != 2:
            raise BadInput(
                f"The target '{table.target_name}' has {count} classes, but loss=bce needs 2; use loss=cross_entropy"
            )
        return Target(torch.from_numpy(table.target).to(dtype).unsqueeze(1), 1)
    return Target(torch.from_numpy(table.target), count)


def _numbers(table: Table, train: np.ndarray, dtype: torch.dtype) -> Target:
    values = table.target.astype(np.float64)
    if table.classes is not None:
        try:
            values = np.array([float(name) for name in table.classes])[table.target]
        except ValueError as error:
            loss = "bce" if len(table.classes) == 2 else "cross_entropy"
            raise BadInput(
                f"The target '{table.target_name}' has classes ({', '.join(table.classes[:3])}, …), "
                f"but loss=mse needs numbers; use loss={loss}"
            ) from error
    mean, scale = float(values[train].mean()), float(values[train].std())
    scale = scale if scale > 0 else 1.0
    return Target(torch.from_numpy((values - mean) / scale).to(dtype).unsqueeze(1), 1, mean, scale)
