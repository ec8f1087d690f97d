"""Glassbox's sweeper that searches: optuna suggests the jobs, from what came of those before."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore

from hydra_plugins.glassbox.sweeper import StudySweeper


@dataclass
class SearchSweeperConf:
    """Hydra's node of the sweeper, with the keys of hydra-optuna-sweeper where it has them.

    Attributes:
        params: Key → what is searched, as on the command line, which wins: `interval(1e-4,1e-1)`,
            `tag(log,interval(1e-4,1e-1))`, `range(1,9)`, a list or `choice(a,b)`; or one value.
        n_trials: How many trials with a result the study has in the end, those of earlier calls among them.
        n_jobs: How many trials are suggested, and given to the launcher, at once.
        direction: `minimize` or `maximize`; by default as `mode` says.
        storage: The URL of optuna's storage; by default an SQLite file in the study's folder.
        study_name: Its name in the storage; by default that of the study.
        sampler: `tpe`, `random` or `qmc`; with options of optuna's class: `{name: tpe, seed: 0, …}`.
        pruner: `none`, `median` or `hyperband`; with options: `{name: median, n_warmup_steps: 3}`.
        question: What the search asks; it is kept with the study.
    """

    _target_: str = "hydra_plugins.glassbox.search.SearchSweeper"
    params: dict[str, Any] = field(default_factory=dict)
    n_trials: int = 20
    n_jobs: int = 1
    direction: str | None = None
    storage: str | None = None
    study_name: str | None = None
    sampler: Any = field(default_factory=lambda: {"name": "tpe", "seed": 0})
    pruner: Any = field(default_factory=lambda: {"name": "none"})
    question: str | None = None


ConfigStore.instance().store(group="hydra/sweeper", name="search", node=SearchSweeperConf, provider="glassbox")


class SearchSweeper(StudySweeper):
    """Run the trials that optuna suggests."""

    def sweep(self, arguments: list[str]) -> Any:
        """Search until the study has its number of trials with a result."""
        from glassbox.config.entry import Train
        from glassbox.config.grid import Grid
        from glassbox.config.multirun import Multirun
        from glassbox.config.search import settings_of, space_of
        from glassbox.errors import BadInput
        from glassbox.sweep.search import Search

        train = getattr(self.task_function, "__self__", None)
        if not isinstance(train, Train):
            raise BadInput("hydra/sweeper=search: it searches with scripts/train.py only; use hydra/sweeper=grid")
        grid = Grid.of(dict(self.params), arguments)
        settings, space = settings_of(self.config.hydra.sweeper, self.config), space_of(grid)
        with Multirun(
            train,
            self.config,
            self.loader,
            self.launcher,
            axes=[item.key for item in space.parameters],
            space=space.ranges(),
            question=self.question,
        ) as multirun:
            multirun.check(grid.ends().samples(), count=settings.n_trials)
            search = Search(settings, space)
            for batch in search.batches():
                jobs: Sequence[Sequence[str]] = [space.job(trial.params) for trial in batch]
                results = multirun.run(jobs, [trial.number for trial in batch])
                for trial, result in zip(batch, results, strict=True):
                    search.tell(trial, result.status, result.value)
                if self.config.fail_fast and any(result.status == "failed" for result in results):
                    break
