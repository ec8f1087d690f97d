"""The decision surface of a net on two features: the grid of outputs from which every picture is drawn."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

RESOLUTION = 50
MARGIN = 0.08


def axes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 50 values of each axis: the range of the data, and a little more.

    Args:
        points: Raw features [N, 2].
    """
    low, high = points.min(axis=0), points.max(axis=0)
    margin = MARGIN * np.maximum(high - low, 1e-12)
    x, y = (np.linspace(low[i] - margin[i], high[i] + margin[i], RESOLUTION) for i in (0, 1))
    return x, y


def grid(points: np.ndarray) -> Tensor:
    """Return the raw features of the grid [2500, 2], rows of the picture one after another.

    Args:
        points: Raw features [N, 2].
    """
    return torch.from_numpy(np.stack(np.meshgrid(*axes(points)), axis=-1).reshape(-1, 2))


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
            [50, 50] or [50, 50, C], rows along y, in the precision of the net, at least single; `points` [N, 2];
            `labels` [N]; `feature_names`; `classes`.
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
    x, y = axes(points)
    with torch.no_grad():
        found = predict(grid(points)).cpu()
    output = found.to(torch.promote_types(found.dtype, torch.float32)).numpy().reshape(RESOLUTION, RESOLUTION, -1)
    np.savez(  # compressed, it takes seven times as long and is a quarter smaller
        path,
        x=x,
        y=y,
        logits=output[..., 0] if output.shape[-1] == 1 else output,
        points=points,
        labels=labels,
        feature_names=np.array(list(feature_names)),
        classes=np.array(list(classes or [])),
    )
