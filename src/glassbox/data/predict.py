"""Predictions for raw rows, with nothing but what a checkpoint holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from glassbox.data.csv import read_features

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Preprocessing:
    """From raw columns to a net's input, and from its output to predictions.

    Attributes:
        task: `binary`, `multiclass` or `regression`.
        feature_names: The columns that the net reads, in its order.
        mean: Means [D].
        std: Standard deviations [D].
        classes: Names of the classes; None for a number.
        target_name: Name of the target.
        target_mean: What an output of 0 stands for, of a number.
        target_scale: What one unit of output stands for, of a number.
        out_features: Outputs C.

    Example:
        >>> import pandas as pd
        >>> mean, std = torch.tensor([10.0]), torch.tensor([2.0])
        >>> known = Preprocessing("binary", ["x"], mean, std, ["no", "yes"], "label", 0.0, 1.0, 1)
        >>> known.transform(Path("my.csv"), pd.DataFrame({"x": ["14", "9"]})).tolist()
        [[2.0], [-0.5]]
        >>> known.decode(torch.tensor([[2.0], [-0.5]]))["prediction"].tolist()
        ['yes', 'no']
    """

    task: str
    feature_names: list[str]
    mean: Tensor
    std: Tensor
    classes: list[str] | None
    target_name: str
    target_mean: float
    target_scale: float
    out_features: int

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Preprocessing":
        """Return the preprocessing that a checkpoint holds.

        Args:
            state: `TableModule.state_dict()`.
        """
        return cls(**state)

    @property
    def in_features(self) -> int:
        """Number of features D."""
        return len(self.feature_names)

    def transform(self, path: Path, frame: "pd.DataFrame") -> Tensor:
        """Return the standardised features [N, D] of a table, in float64.

        Args:
            path: The table's file, for messages.
            frame: The table, as text; it may have other columns, in any order.

        Raises:
            BadInput: A feature is missing, or a cell is not a finite number.
        """
        raw = torch.from_numpy(read_features(path, frame, self.feature_names))
        return (raw - self.mean) / self.std

    def decode(self, output: Tensor) -> "pd.DataFrame":
        """Return predictions for the outputs of the net.

        Args:
            output: [N, 1] or [N, C].

        Returns:
            `prediction`, and a column `probability_CLASS` for each class.
        """
        import pandas as pd

        if self.task == "regression":
            values = output.double().flatten() * self.target_scale + self.target_mean
            return pd.DataFrame({"prediction": values.numpy()})
        assert self.classes is not None
        output = output.double()
        if self.task == "binary":
            output = torch.cat([torch.zeros_like(output), output], dim=1)
        probability = torch.softmax(output, dim=1)
        chosen = [self.classes[code] for code in probability.argmax(dim=1).tolist()]
        columns = {f"probability_{name}": probability[:, code].numpy() for code, name in enumerate(self.classes)}
        return pd.DataFrame({"prediction": chosen, **columns})
