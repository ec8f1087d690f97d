"""The decision surface of a net on two features: the grid of outputs from which every picture is drawn."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

RESOLUTION = 50
MARGIN = 0.08


def save_boundary(
    path: Path,
    predict: Callable[[Tensor], Tensor],
    points: np.ndarray,
    labels: np.ndarray,
    feature_names: Sequence[str],
    classes: Sequence[str] | None,
) -> None:
    """Write the outputs of a net on a 50 × 50 grid over the data, with the data.

    Args:
        path: The `.npz` file to write. It holds `x` [50] and `y` [50], the axes in the features' own units; `logits`
            [50, 50] or [50, 50, C], rows along y; `points` [N, 2]; `labels` [N]; `feature_names`; `classes`.
        predict: Raw features [M, 2] → outputs [M, 1] or [M, C].
        points: Raw features [N, 2].
        labels: Class codes or target values [N].
        feature_names: Two names.
        classes: Names of the classes; None for a numeric target.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "boundary.npz"
        >>> corners = np.array([[0.0, 0.0], [1.0, 2.0]])
        >>> save_boundary(file, lambda x: x.sum(1, keepdim=True), corners, np.array([0, 1]), ["a", "b"], ["no", "yes"])
        >>> np.load(file)["logits"].shape
        (50, 50)
    """
    low, high = points.min(axis=0), points.max(axis=0)
    margin = MARGIN * np.maximum(high - low, 1e-12)
    x = np.linspace(low[0] - margin[0], high[0] + margin[0], RESOLUTION)
    y = np.linspace(low[1] - margin[1], high[1] + margin[1], RESOLUTION)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    with torch.no_grad():
        output = predict(torch.from_numpy(grid)).cpu().double().numpy().reshape(RESOLUTION, RESOLUTION, -1)
    np.savez_compressed(
        path,
        x=x,
        y=y,
        logits=output[..., 0] if output.shape[-1] == 1 else output,
        points=points,
        labels=labels,
        feature_names=np.array(list(feature_names)),
        classes=np.array(list(classes or [])),
    )
