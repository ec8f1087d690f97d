"""How a search chooses: optuna's samplers, which say what to try next, and its pruners, which end what is hopeless."""

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from glassbox.errors import BadInput

SAMPLERS = {"tpe": "TPESampler", "random": "RandomSampler", "qmc": "QMCSampler"}
PRUNERS = {"none": "NopPruner", "median": "MedianPruner", "hyperband": "HyperbandPruner"}


@dataclass(frozen=True)
class Strategy:
    """A sampler or a pruner by its short name.

    Attributes:
        kind: `sampler` or `pruner`.
        name: One of SAMPLERS or PRUNERS.
        options: Arguments of optuna's class.

    Example:
        >>> Strategy("pruner", "median", {"n_warmup_steps": 3}).name
        'median'
    """

    kind: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


def make_sampler(strategy: Strategy, number: int) -> Any:
    """Return the optuna sampler of one trial.

    Its random numbers are a function of the seed and the number of the trial, not of what this process has drawn
    before: a search that was killed goes on as if it had not been.

    Args:
        strategy: Which sampler; its option `seed` may be None.
        number: The number of the trial.

    Raises:
        BadInput: It does not take an option.

    Example:
        >>> type(make_sampler(Strategy("sampler", "random", {"seed": 0}), 3)).__name__
        'RandomSampler'
    """
    from optuna import samplers

    options = dict(strategy.options)
    seed = options.pop("seed", 0)
    own = None if seed is None else seed_of(seed, number)
    if strategy.name == "qmc":
        # One sequence for all trials, whose place in it is kept in the storage; only its first point is random.
        options = {"scramble": True, "independent_sampler": samplers.RandomSampler(own)} | options
        own = seed
    elif strategy.name == "tpe":
        options = {"constant_liar": True} | options  # a batch is spread out
    return _make(getattr(samplers, SAMPLERS[strategy.name]), strategy, {"seed": own} | options)


def make_pruner(strategy: Strategy, max_epochs: int) -> Any:
    """Return an optuna pruner; what it counts are epochs.

    Args:
        strategy: Which pruner.
        max_epochs: The length of a whole run.

    Raises:
        BadInput: It does not take an option.

    Example:
        >>> type(make_pruner(Strategy("pruner", "median", {"n_warmup_steps": 3}), 10)).__name__
        'MedianPruner'
    """
    from optuna import pruners

    options = dict(strategy.options)
    if strategy.name == "hyperband":
        options = {"max_resource": max_epochs} | options
    return _make(getattr(pruners, PRUNERS[strategy.name]), strategy, options)


def seed_of(seed: int, number: int) -> int:
    """Return the seed of one trial: 32 bits of a hash of the search's seed and the trial's number.

    Args:
        seed: The seed of the search.
        number: The number of the trial.

    Example:
        >>> seed_of(0, 1) == seed_of(0, 1), seed_of(0, 1) == seed_of(1, 0)
        (True, False)
    """
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4], "big")


def _make(kind: Any, strategy: Strategy, options: Mapping[str, Any]) -> Any:
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        try:
            return kind(**options)
        except (TypeError, ValueError) as error:
            raise BadInput(f"hydra.sweeper.{strategy.kind}={strategy.name}: {error}") from error
