"""What is decided at the end of an epoch, for each member as Lightning's callbacks decide for one."""

import math

import torch
from torch import Tensor

BETTER = {"min": torch.lt, "max": torch.gt}
WORST = {"min": math.inf, "max": -math.inf}


class Best:
    """The best epoch, as ModelCheckpoint with `save_top_k=1` finds it.

    Args:
        mode: Whether a `min` or `max` is best.

    Example:
        >>> best = Best("min")
        >>> [best.better(torch.tensor([value])).item() for value in (math.nan, 3.0, 3.0, 2.0, math.nan)]
        [True, True, False, True, False]
    """

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.score: Tensor | None = None

    def better(self, metric: Tensor) -> Tensor:
        """Return which members are better than ever before; the first epoch always is.

        Args:
            metric: The monitored metric [K].
        """
        if self.score is None:
            better = torch.ones_like(metric, dtype=torch.bool)
            self.score = torch.full_like(metric, WORST[self.mode])
        else:
            better = BETTER[self.mode](metric, self.score)
        self.score = torch.where(better & ~metric.isnan(), metric, self.score)
        return better


class Stopping:
    """EarlyStopping; its arguments, of which `strict` and `verbose` say nothing here.

    Example:
        >>> stopping = Stopping(monitor="val/loss", patience=2)
        >>> [stopping.stops(torch.tensor([value])).item() for value in (3.0, 2.0, 2.0, 1.0, 1.0, 1.0)]
        [False, False, False, False, False, True]
    """

    def __init__(
        self,
        monitor: str,
        min_delta: float = 0.0,
        patience: int = 3,
        verbose: bool = False,
        mode: str = "min",
        strict: bool = True,
        check_finite: bool = True,
        stopping_threshold: float | None = None,
        divergence_threshold: float | None = None,
    ) -> None:
        self.monitor = monitor
        self.min_delta = min_delta if mode == "max" else -min_delta
        self.patience = patience
        self.check_finite = check_finite
        self.stopping_threshold = stopping_threshold
        self.divergence_threshold = divergence_threshold
        self._better = BETTER[mode]
        self._best = torch.tensor(WORST[mode])
        self._wait = torch.tensor(0)

    def stops(self, metric: Tensor) -> Tensor:
        """Return which members stop now.

        Args:
            metric: The monitored metric [K].
        """
        at_once = torch.zeros_like(metric, dtype=torch.bool)
        if self.check_finite:
            at_once |= ~metric.isfinite()
        if self.stopping_threshold is not None:
            at_once |= self._better(metric, self.stopping_threshold)
        if self.divergence_threshold is not None:
            at_once |= self._better(-metric, -self.divergence_threshold)
        improves = ~at_once & self._better(metric - self.min_delta, self._best)
        self._best = torch.where(improves, metric, self._best)
        self._wait = torch.where(improves, 0, self._wait + 1)
        return at_once | (~improves & (self._wait >= self.patience))


def divergence(train: Tensor, val: Tensor) -> dict[int, str]:
    """Return which members diverged, and by which loss, as the curves of a run tell it.

    Args:
        train: Training losses [K].
        val: Validation losses [K].

    Returns:
        Member → what is said of it.

    Example:
        >>> divergence(torch.tensor([0.5, math.inf]), torch.tensor([math.nan, math.nan]))
        {0: 'val/loss is nan', 1: 'train/loss is inf'}
    """
    found: dict[int, str] = {}
    for key, loss in (("train/loss", train), ("val/loss", val)):
        for member in torch.nonzero(~loss.isfinite()).flatten().tolist():
            found.setdefault(member, f"{key} is {float(loss[member])}")
    return dict(sorted(found.items()))
