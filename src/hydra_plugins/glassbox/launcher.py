"""Glassbox's launcher: it composes the jobs fast and hands them to an executor, which `launcher=NAME` chooses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


@dataclass
class GlassboxLauncherConf:
    """Hydra's node of the launcher; what there is to choose is in the config node `launcher`."""

    _target_: str = "hydra_plugins.glassbox.launcher.GlassboxLauncher"


ConfigStore.instance().store(group="hydra/launcher", name="glassbox", node=GlassboxLauncherConf, provider="glassbox")


class GlassboxLauncher(Launcher):
    """Run jobs in processes of an executor: one warm worker by default, a pool, a cluster."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives to every launcher."""
        from glassbox.config.entry import Train
        from glassbox.config.spec import Composer
        from glassbox.config.work import Work

        self.config = config
        train = getattr(task_function, "__self__", None)
        command = train.command if isinstance(train, Train) else None
        self.work = Work(task_function, str(config.hydra.job.name), hydra_context.callbacks, command)
        self.composer = Composer(hydra_context.config_loader, config)

    @cached_property
    def executor(self) -> Any:
        """Where the jobs run; made when it is first needed."""
        from glassbox.config.execution import make_executor

        node: Any = OmegaConf.to_container(self.config.launcher, resolve=True) if "launcher" in self.config else {}
        return make_executor(node, Path(str(self.config.hydra.sweep.dir)))

    @cached_property
    def kind_of(self) -> Any:
        """What tells with which others a job can train together; None where each trains alone."""
        node: Any = self.config.get("launcher") or {}
        return self.work.kind_of if node.get("name") == "vectorized" else None

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs and return what came of each, in their order."""
        from glassbox.config.work import Done, Returned
        from glassbox.errors import GlassboxError

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        specs = [self.composer.spec(list(overrides), initial_job_idx + i) for i, overrides in enumerate(job_overrides)]
        returns: dict[int, JobReturn] = {}
        for index, answer in self.answers(specs):
            done = answer if isinstance(answer, Done) else Done(error=GlassboxError(answer.reason))
            returns[index] = Returned(specs[index], done)
        self.executor.close()
        return [returns[index] for index in range(len(specs))]

    def answers(self, specs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Run composed jobs and yield (index, `Done` or `Lost`) as they end."""
        yield from self.executor.run(self.work, specs)
