"""From the node `hydra.sweeper` of a search, and its overrides, to what `glassbox.sweep.search` takes."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from hydra.core.override_parser.types import QuotedString
from omegaconf import OmegaConf

from glassbox.config.grid import Axis, Grid
from glassbox.config.place import outputs
from glassbox.config.schema import SEED, show
from glassbox.errors import BadInput, did_you_mean
from glassbox.sweep.border import Range
from glassbox.sweep.search import Pruning, Settings, check_installed
from glassbox.sweep.space import Choice, Parameter, Scalar, Space
from glassbox.sweep.strategy import PRUNERS, SAMPLERS, Strategy, make_pruner, make_sampler

TARGET = "hydra_plugins.glassbox.search.SearchSweeper"
DIRECTIONS: dict[str, Literal["minimize", "maximize"]] = {"min": "minimize", "max": "maximize"}


def searches(sweeper: Any) -> bool:
    """Return whether a node `hydra.sweeper` is that of a search.

    Args:
        sweeper: The node.
    """
    return bool(sweeper.get("_target_") == TARGET)


def check_search(sweeper: Any, config: Mapping[str, Any], grid: Grid) -> None:
    """Check a search before any folder exists.

    Args:
        sweeper: The node `hydra.sweeper`.
        config: The config of the multirun; its values have been checked.
        grid: Its overrides.

    Raises:
        BadInput: optuna is not installed, a setting does not fit, or there is nothing to search.
    """
    check_installed()
    settings = settings_of(sweeper, config)
    space_of(grid)
    make_sampler(settings.sampler, 0)
    make_pruner(settings.pruner, settings.max_epochs)
    own_length = settings.pruner.name != "hyperband" or "max_resource" in settings.pruner.options
    if "max_epochs" in grid.axes and not own_length:
        raise BadInput("hydra.sweeper.pruner=hyperband: max_epochs is searched, so give pruner.max_resource")


def settings_of(sweeper: Any, config: Mapping[str, Any]) -> Settings:
    """Return what a search is told.

    Args:
        sweeper: The node `hydra.sweeper`.
        config: A config with `study`, `mode` and `max_epochs`.

    Raises:
        BadInput: A setting does not fit.
    """
    node: Any = OmegaConf.to_container(sweeper, resolve=True)
    for key in ("n_trials", "n_jobs"):
        if node[key] < 1:
            raise BadInput(f"hydra.sweeper.{key}={node[key]}: must be a whole number ≥ 1")
    mode, direction = str(config["mode"]), node["direction"]
    if direction is not None and direction != DIRECTIONS[mode]:
        told = f"hydra.sweeper.direction={direction}"
        if direction not in DIRECTIONS.values():
            raise BadInput(f"{told}: must be minimize or maximize; leave it out, mode={mode} says it")
        raise BadInput(f"{told} differs from mode={mode}: leave it out, or set mode and monitor instead")
    study = str(config["study"])
    return Settings(
        folder=outputs() / study,
        name=str(node["study_name"] or study),
        direction=DIRECTIONS[mode],
        sampler=_strategy("sampler", node["sampler"]),
        pruner=_strategy("pruner", node["pruner"]),
        max_epochs=int(config["max_epochs"]),
        n_trials=node["n_trials"],
        n_jobs=node["n_jobs"],
        storage=node["storage"],
    )


def space_of(grid: Grid) -> Space:
    """Return the space that the overrides of a search describe.

    Args:
        grid: The overrides.

    Returns:
        An interval is drawn from as it is, of whole numbers if both its ends are; a range is one of its values, in
        their order; a list or `choice` is one of its values, without an order.

    Raises:
        BadInput: An interval is empty, a log scale begins at 0 or below, or nothing is searched.

    Example:
        >>> space = space_of(Grid.of({}, ["lr=tag(log,interval(1e-4,1e-1))", "batch_size=16,32", "seed=3"]))
        >>> space.job({"lr": 0.01, "batch_size": 32})
        ['lr=0.01', 'batch_size=32', 'seed=3']
    """
    space = Space([_searched(axis) if len(axis.texts) > 1 else axis.texts[0] for axis in grid.overrides])
    if not space.parameters:
        raise BadInput(
            "hydra/sweeper=search: nothing to search; give a key an interval or values, as in "
            "'lr=tag(log,interval(1e-4,1e-1))' or optimizer=sgd,adam"
        )
    return space


def prunes(sweeper: Any, config: Mapping[str, Any]) -> bool:
    """Return whether hopeless runs are ended early.

    Args:
        sweeper: The node `hydra.sweeper`.
        config: A config with `study`, `mode` and `max_epochs`.
    """
    return searches(sweeper) and settings_of(sweeper, config).pruner.name != "none"


def pruning_of(sweeper: Any, config: Mapping[str, Any], number: int) -> Callable[[int, float], bool] | None:
    """Return what a job of a search reports its epochs to; None for every other job, for which nothing is imported.

    Args:
        sweeper: The node `hydra.sweeper`.
        config: The config of the job.
        number: Its number.
    """
    if not searches(sweeper):
        return None
    pruning = Pruning(settings_of(sweeper, config), number)
    return pruning if pruning.needed else None


def _strategy(kind: str, node: Any) -> Strategy:
    """Return a sampler or pruner that is given by its name, or by its name and options."""
    options = dict(node) if isinstance(node, Mapping) else {"name": node}
    name = show(options.pop("name", None))
    names = SAMPLERS if kind == "sampler" else PRUNERS
    if name not in names:
        near = did_you_mean(name, names)
        raise BadInput(f"hydra.sweeper.{kind}={name}: no such {kind}{near} ({', '.join(names)})")
    if not (options.get("seed") is None or SEED.holds(options["seed"])):
        raise BadInput(f"hydra.sweeper.{kind}.seed={show(options['seed'])}: must be {SEED.words}, or null")
    return Strategy(kind, name, options)


def _searched(axis: Axis) -> Parameter:
    override = axis.override
    line, sweep = override.input_line, override.value()
    tags = sorted(getattr(sweep, "tags", ()))
    for tag in tags:
        if tag != "log":
            raise BadInput(f"{line}: no such tag{did_you_mean(tag, ['log'])} (log)")
    if tags and not override.is_interval_sweep():
        raise BadInput(f"{line}: only an interval has a log scale, as in {axis.key}=tag(log,interval(1e-4,1e-1))")
    domain: Range | Choice
    if override.is_interval_sweep():
        domain = _interval(line, sweep, log=bool(tags))
    elif override.is_range_sweep():
        values = sorted(axis.values)
        domain = Range(values[0], values[-1], step=abs(sweep.step))  # type: ignore[union-attr]
    else:
        texts = [text.partition("=")[2] for text in axis.texts]
        domain = Choice([_scalar(value, text) for value, text in zip(axis.values, texts, strict=True)], texts)
    return Parameter(axis.key, override.get_key_element(), domain)


def _interval(line: str | None, sweep: Any, *, log: bool) -> Range:
    low, high = sweep.start, sweep.end
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise BadInput(f"{line}: must be two finite numbers, the smaller one first")
    if log and low <= 0:
        raise BadInput(f"{line}: a log scale needs numbers > 0")
    return Range(low, high, log=log)


def _scalar(value: Any, text: str) -> Scalar:
    """Return what optuna can keep of a value: a number or a word, else its text."""
    if isinstance(value, QuotedString):
        return value.text
    return value if value is None or isinstance(value, str | int | float) else text
