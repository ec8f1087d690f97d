"""A search: optuna says which point to try next, from what is known of those that were tried.

Its storage says what was suggested; what came of it, the run folders say. So a search that was killed goes on where it
was: each trial that was under way is looked up among the runs or run again, under its own number.
"""

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from glassbox.errors import BadInput
from glassbox.sweep.border import Range
from glassbox.sweep.space import Choice, Scalar, Space
from glassbox.sweep.strategy import Strategy, make_pruner, make_sampler
from glassbox.tracking.secret import mask

DATABASE = "search.db"
HOPELESS = "hopeless after epochs"  # what a trial keeps of the pruner's answer
WAIT = 60  # seconds for another process to write into an SQLite file


@dataclass(frozen=True)
class Settings:
    """What a search is told, beside its space.

    Attributes:
        folder: The study's folder.
        name: The name of the study in the storage.
        direction: `minimize` or `maximize`.
        sampler: What suggests.
        pruner: What ends hopeless trials.
        max_epochs: The length of a whole run.
        n_trials: How many trials with a result there are in the end, those of earlier calls among them.
        n_jobs: How many are suggested, and given to the launcher, at once.
        storage: The URL of optuna's storage; None is a file in the study's folder.

    Example:
        >>> settings = Settings(Path("outputs/mine"), "mine", "minimize", Strategy("sampler", "tpe"))
        >>> settings.url
        'sqlite:///outputs/mine/search.db'
    """

    folder: Path
    name: str
    direction: Literal["minimize", "maximize"]
    sampler: Strategy
    pruner: Strategy = Strategy("pruner", "none")  # noqa: RUF009 (it cannot change)
    max_epochs: int = 1
    n_trials: int = 20
    n_jobs: int = 1
    storage: str | None = None

    @property
    def url(self) -> str:
        """The URL of the storage."""
        return self.storage or f"sqlite:///{self.folder / DATABASE}"


@dataclass(frozen=True)
class Trial:
    """One suggested point.

    Attributes:
        number: Its number, which is that of its job.
        params: Searched key → value.
        told: Whether the storage knows already what came of it.

    Example:
        >>> Trial(0, {"lr": 0.1}).params["lr"]
        0.1
    """

    number: int
    params: Mapping[str, Scalar]
    told: bool = False


class Search:
    """One search of a study, from what is known of it to its last trial.

    Args:
        settings: What it is told.
        space: What is searched.

    Raises:
        BadInput: The storage cannot be used, or an earlier search of the study had another space or direction.

    Example:
        >>> import tempfile
        >>> from glassbox.sweep.space import Parameter
        >>> space = Space([Parameter("lr", "lr", Range(0.0, 1.0))])
        >>> settings = Settings(Path(tempfile.mkdtemp()), "mine", "minimize", Strategy("sampler", "random"), n_trials=3)
        >>> search = Search(settings, space)
        >>> for batch in search.batches():
        ...     for trial in batch:
        ...         search.tell(trial, "finished", trial.params["lr"])
        >>> [trial.number for trial in next(Search(settings, space).batches())]
        [0, 1, 2]
    """

    def __init__(self, settings: Settings, space: Space) -> None:
        self._settings = settings
        self._distributions = {item.key: _distribution(item.domain) for item in space.parameters}
        self._study = _open(settings)
        self._check()

    def batches(self) -> Iterator[list[Trial]]:
        """Yield trials whose results are to be told before the next batch is asked for.

        The first batch begins with every trial of earlier calls that did not fail. A batch ends at a multiple of
        `n_jobs`, so that a search that was killed in the middle of one goes on as if it had not been.
        """
        from optuna.trial import TrialState

        size = self._settings.n_jobs
        trials = self._study.get_trials(deepcopy=False)
        batch = [self._whole(trial) for trial in trials if trial.state != TrialState.FAIL]
        number, end = len(trials), len(trials) + self._settings.n_trials - len(batch)
        # Where a batch was under way, its rest is asked for before any of it is told.
        begin = next((trial.number for trial in trials if trial.state == TrialState.RUNNING), number)
        while batch or number < end:
            stop = min(begin - begin % size + size, end)
            batch += [self._ask(new) for new in range(number, stop)]
            yield batch
            begin = number = max(number, stop)
            batch = []

    def tell(self, trial: Trial, status: str, value: float | None) -> None:
        """Tell what came of a trial; of one that was told before, or has no end yet, nothing is.

        A finished trial is complete. One that was pruned or that diverged is pruned for optuna: it counts, and the
        sampler keeps away from it. One that failed counts for nothing; the next call tries another point in its place.

        Args:
            trial: The trial.
            status: The status of its run.
            value: What is searched for, of a finished run.
        """
        from optuna.trial import TrialState

        if trial.told or status in ("interrupted", "running"):
            return
        if status == "failed":
            self._study.tell(trial.number, state=TrialState.FAIL)
        elif status == "finished" and value is not None and math.isfinite(value):
            self._study.tell(trial.number, value)
        else:
            self._study.tell(trial.number, state=TrialState.PRUNED)

    def _ask(self, number: int) -> Trial:
        self._study.sampler = make_sampler(self._settings.sampler, number)
        return self._suggested(self._study.ask())

    def _whole(self, trial: Any) -> Trial:
        """Return a trial of an earlier call; the kill may have met it before all its values were written."""
        import optuna

        if trial.params.keys() >= self._distributions.keys():
            return Trial(trial.number, trial.params, told=trial.state.is_finished())
        self._study.sampler = make_sampler(self._settings.sampler, trial.number)
        return self._suggested(optuna.Trial(self._study, trial._trial_id))

    def _suggested(self, trial: Any) -> Trial:
        for key, distribution in self._distributions.items():
            trial._suggest(key, distribution)
        return Trial(trial.number, trial.params)

    def _check(self) -> None:
        """Check that what the storage knows belongs to this search.

        Raises:
            BadInput: It does not.
        """
        from optuna.distributions import check_distribution_compatibility

        where = f"study={self._settings.folder.name}"
        other = "choose another study=NAME"
        before = self._study.direction.name.lower()
        if before != self._settings.direction:
            raise BadInput(f"{where}: its search was to {before}, this one is to {self._settings.direction}; {other}")
        for trial in self._study.get_trials(deepcopy=False):
            keys = sorted(trial.distributions)
            unknown = set(keys) - self._distributions.keys()
            if unknown or (trial.state.is_finished() and len(keys) < len(self._distributions)):
                now = ", ".join(sorted(self._distributions))
                raise BadInput(f"{where}: its trials search {', '.join(keys)}, this search {now}; {other}")
            for key, distribution in trial.distributions.items():
                try:
                    check_distribution_compatibility(distribution, self._distributions[key])
                except ValueError as error:
                    raise BadInput(
                        f"{where}: {key} was searched in {_shown(distribution)} and is now in "
                        f"{_shown(self._distributions[key])}; {other}"
                    ) from error


class Pruning:
    """What a run reports its epochs to, in whatever process: it says when the run is hopeless.

    Args:
        settings: What the search is told.
        number: The number of the trial.

    Example:
        >>> import tempfile
        >>> from glassbox.sweep.space import Parameter
        >>> space = Space([Parameter("lr", "lr", Range(0.0, 1.0))])
        >>> random, median = Strategy("sampler", "random"), Strategy("pruner", "median")
        >>> settings = Settings(Path(tempfile.mkdtemp()), "mine", "minimize", random, median)
        >>> (trial,) = next(Search(settings, space).batches())
        >>> Pruning(settings, trial.number)(1, 0.5)  # there is nothing to compare it with yet
        False
    """

    def __init__(self, settings: Settings, number: int) -> None:
        self.settings = settings
        self.number = number

    @cached_property
    def _study(self) -> Any:
        return _open(self.settings)

    @property
    def _trial(self) -> Any:
        """What the storage knows of the trial now."""
        study = self._study
        return study._storage.get_trial(_trial_id(study, self.number))

    @property
    def needed(self) -> bool:
        """Whether hopeless runs are ended at all, and this trial has no result yet."""
        return self.settings.pruner.name != "none" and not self._trial.state.is_finished()

    def __call__(self, epochs: int, value: float) -> bool:
        """Report an epoch.

        Args:
            epochs: The number of epochs done.
            value: The monitored value.

        Returns:
            Whether the run is hopeless.
        """
        trial, storage = self._trial, self._study._storage
        said = trial.user_attrs.get(HOPELESS)
        if epochs < (trial.last_step or 0) or epochs == said:
            return bool(epochs == said)  # the run repeats one that was killed: the answer is the same
        storage.set_trial_intermediate_value(trial._trial_id, epochs, value)
        trial.intermediate_values[epochs] = value
        answer = bool(self._study.pruner.prune(self._study, trial))
        if answer:
            storage.set_trial_user_attr(trial._trial_id, HOPELESS, epochs)
        return answer

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open storage behind when copied to another process."""
        return {"settings": self.settings, "number": self.number}


def check_installed() -> None:
    """Check that optuna is there.

    Raises:
        BadInput: It is not installed.

    Example:
        >>> check_installed()
    """
    try:
        import optuna  # noqa: F401
    except ModuleNotFoundError as error:
        raise BadInput("hydra/sweeper=search needs optuna: pip install 'glassbox[search]'") from error


def _open(settings: Settings) -> Any:
    """Return optuna's study, made if it is not there.

    Raises:
        BadInput: The storage cannot be used.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = settings.folder / DATABASE
    try:
        if settings.storage is None and not path.exists():
            _make_database(path)
        return optuna.create_study(
            storage=_storage(settings.url),
            study_name=settings.name,
            direction=settings.direction,
            sampler=make_sampler(settings.sampler, 0),
            pruner=make_pruner(settings.pruner, settings.max_epochs),
            load_if_exists=True,
        )
    except (SQLAlchemyError, optuna.exceptions.OptunaError, ImportError, RuntimeError, ValueError) as error:
        told = " ".join(str(getattr(error, "orig", None) or error).split())
        if settings.storage is None:
            raise BadInput(f"{path} cannot be read: {told}; move it away: what has run is not run again") from error
        raise BadInput(f"hydra.sweeper.storage={mask(settings.storage)}: {told}") from error


def _make_database(path: Path) -> None:
    """Make an empty SQLite storage, so that a kill leaves the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for stale in path.parent.glob(f".{path.name}.*"):
        stale.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    _connect(f"sqlite:///{temporary}")
    temporary.replace(path)


@cache
def _storage(url: str) -> Any:
    return _connect(url)


def _connect(url: str) -> Any:
    from optuna.storages import RDBStorage
    from sqlalchemy.event import listen
    from sqlalchemy.pool import NullPool

    if not url.startswith("sqlite"):
        return RDBStorage(url)
    # No connection stays open, so none is there in a process that is forked.
    storage = RDBStorage(url, engine_kwargs={"poolclass": NullPool, "connect_args": {"timeout": WAIT}})
    # A kill loses nothing either way. After a power cut the run folders, which are on the disk, tell it all again.
    listen(storage.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
    return storage


def _trial_id(study: Any, number: int) -> int:
    return int(study._storage.get_trial_id_from_study_id_trial_number(study._study_id, number))


def _distribution(domain: Range | Choice) -> Any:
    """Return what optuna draws from."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(domain, Choice):
        return CategoricalDistribution(tuple(domain.values))
    if domain.whole:
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log, step=int(domain.step or 1))
    return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)


def _shown(distribution: Any) -> str:
    """Write a distribution in a few words."""
    if hasattr(distribution, "choices"):
        return f"({', '.join(map(str, distribution.choices))})"
    scale = " on a log scale" if distribution.log else ""
    return f"{distribution.low:g} to {distribution.high:g}{scale}"
