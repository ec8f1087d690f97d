"""Glassbox's sweeper of grids: every combination of the values, of which a study runs those that it does not know."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


@dataclass
class GridSweeperConf:
    """Hydra's node of the sweeper.

    Attributes:
        params: Key → its values, as on the command line; the command line wins.
        question: What the sweep asks; it is kept with the study.
    """

    _target_: str = "hydra_plugins.glassbox.sweeper.GridSweeper"
    params: dict[str, Any] = field(default_factory=dict)
    question: str | None = None


ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=GridSweeperConf, provider="glassbox")


class StudySweeper(Sweeper):
    """What the sweepers of a study share: they keep what Hydra gives them.

    Args:
        **node: Hydra's node of the sweeper.
    """

    def __init__(self, **node: Any) -> None:
        self.params, self.question = node["params"], node["question"]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives to every sweeper, and make the launcher."""
        from hydra.core.plugins import Plugins

        self.config: Any = config
        self.task_function, self.loader = task_function, hydra_context.config_loader
        self.launcher: Any = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )


class GridSweeper(StudySweeper):
    """Run every combination of the values of all overrides."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run the combinations; in a multirun of scripts/train.py, those that its study has no result of."""
        from glassbox.config.entry import Train
        from glassbox.config.grid import Grid

        grid = Grid.of(dict(self.params), arguments)
        train = getattr(self.task_function, "__self__", None)
        if not isinstance(train, Train):  # the task function of another program: no study, Hydra's own record
            folder = Path(str(self.config.hydra.sweep.dir))
            folder.mkdir(parents=True, exist_ok=True)
            OmegaConf.save(self.config, folder / "multirun.yaml")
            return [self.launcher.launch(grid.jobs(), initial_job_idx=0)]
        from glassbox.config.multirun import Multirun

        with Multirun(
            train,
            self.config,
            self.loader,
            self.launcher,
            axes=grid.axes,
            space=grid.numbers(),
            question=self.question,
        ) as multirun:
            jobs: Sequence[Sequence[str]] = grid.jobs()
            multirun.check(jobs)
            return multirun.run(jobs)
        return []
