"""Run one job of a multirun, in whatever process: what Hydra's `run_job` does, without composing and copying again."""

import importlib
import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra._internal.logging_config import configure_logging
from hydra.core.utils import JobReturn, JobRuntime, JobStatus, configure_log, env_override, setup_globals
from omegaconf import DictConfig

from glassbox.config.cohort import Kind
from glassbox.config.plain import dump
from glassbox.config.resolvers import register_resolvers
from glassbox.config.search import prunes
from glassbox.config.spec import Live, Spec, configs, hydra_config, live, plain, task_config
from glassbox.errors import GlassboxError
from glassbox.sweep.worker import Worker
from glassbox.tracking.name import with_new_tail
from glassbox.tracking.record import Record
from glassbox.tracking.wandb_run import preload


@dataclass(frozen=True)
class Done:
    """How a job ended, as its process tells it.

    Attributes:
        value: What the task function returned; None if it failed.
        error: What it raised; None if it returned.
        folder: Its run folder.
        batched: Whether it was trained together with others.
    """

    value: Any = None
    error: BaseException | None = None
    folder: str = ""
    batched: bool = False


_ABOUT_ONE_RUN: dict[str, str | None] = {}  # template → what of its `hydra` node keeps a job from training with others


@dataclass(frozen=True)
class Work:
    """A task function on its way to another process.

    Args:
        function: What Hydra was given to run.
        task_name: The name of the program.
        callbacks: Hydra's callbacks.
        command: The command of scripts/train.py, word by word; None if another program's function is to run.
    """

    function: Any
    task_name: str = "train"
    callbacks: Any = None
    command: Sequence[str] | None = None

    def __call__(self, spec: Spec) -> Done:
        """Run a job in its folder and tell how it ended; nothing is raised but KeyboardInterrupt and SIGTERM's exit.

        Args:
            spec: The job.
        """
        setup_globals()
        register_resolvers()
        JobRuntime.instance().set("name", self.task_name)
        spec = in_new_folder(spec)
        with live(spec) as found, _in_folder(found, spec), env_override(dict(found.cfg.hydra.job.env_set)):
            if self.callbacks:
                self.callbacks.on_job_start(config=found.cfg, task_function=self.function)
            done = self._do(found.task)
            if self.callbacks:
                self.callbacks.on_job_end(config=found.cfg, job_return=Returned(spec, done))
        return replace(done, folder=spec.folder)

    def kind(self, spec: Spec) -> Kind:
        """Return with which other jobs a job can train together.

        Args:
            spec: The job.
        """
        return spec.kind or self.kind_of(spec, configs(spec)[0])

    def kind_of(self, spec: Spec, values: Mapping[str, Any]) -> Kind:
        """Return with which other jobs a job can train together, where its config is at hand.

        Args:
            spec: The job.
            values: Its config with every interpolation resolved.
        """
        if self.command is None:
            return Kind("it is a job of another program")
        key = spec.template.key
        if key not in _ABOUT_ONE_RUN:
            with live(spec, read_only=True) as found:
                _ABOUT_ONE_RUN[key] = self._about_one_run(found.cfg)
        return Kind.of(values, _ABOUT_ONE_RUN[key])

    def _about_one_run(self, cfg: DictConfig) -> str | None:
        job = cfg.hydra.job
        reasons = {
            "hydra.callbacks": bool(getattr(self.callbacks, "callbacks", ())),
            "hydra.job.env_set": bool(job.env_set),
            "hydra.job.chdir": bool(job.chdir),
            "hydra.sweeper.pruner": prunes(cfg.hydra.sweeper, cfg),
        }
        return next((f"{key} is about one run" for key, there in reasons.items() if there), None)

    def _do(self, cfg: DictConfig) -> Done:
        try:
            return _picklable(Done(self.function(cfg)))
        except SystemExit as stop:
            if stop.code in (130, 143):
                raise
            return Done(error=GlassboxError(f"sys.exit({stop.code!r}) was called"))
        except Exception as error:  # noqa: BLE001 (told by who reads the answer)
            return _picklable(Done(error=error))


class Returned(JobReturn):
    """A JobReturn whose configs are made when somebody asks for them."""

    def __init__(self, spec: Spec, done: Done) -> None:
        self._spec = spec
        self.overrides: Sequence[str] = list(spec.overrides)
        self.working_dir = spec.folder
        self.status = JobStatus.COMPLETED if done.error is None else JobStatus.FAILED
        self._return_value = done.value if done.error is None else done.error

    @property
    def cfg(self) -> DictConfig:  # type: ignore[override]
        """The config of the job."""
        with live(self._spec) as found:
            return task_config(found.cfg)

    @property
    def hydra_cfg(self) -> DictConfig:  # type: ignore[override]
        """The `hydra` node of its config."""
        with live(self._spec) as found:
            return hydra_config(found.cfg)

    @property
    def task_name(self) -> str:  # type: ignore[override]
        """The name of the program."""
        return str(self.hydra_cfg.hydra.job.name)


def in_new_folder(spec: Spec) -> Spec:
    """Return the job with a run folder that nobody has used: a cluster may start a job again.

    Args:
        spec: The job.
    """
    folder = Path(spec.folder)
    if not (folder / "run.json").exists():
        return spec
    fields = Record.read(folder)
    if fields["status"] == "running":
        Record(folder, fields).mark_dead()
    return replace(spec, folder=str(folder.with_name(with_new_tail(folder.name))))


@contextmanager
def _in_folder(found: Live, spec: Spec) -> Iterator[None]:
    """Make the run folder, lead logging into it, write `.hydra/` where Hydra is to write it; and find the way back."""
    cfg, folder = found.cfg, Path(spec.folder)
    folder.mkdir(parents=True, exist_ok=True)
    if cfg.hydra.verbose is False and cfg.hydra.job_logging is not None:
        settings = found.logging(spec.folder)
        if settings["root"] is not None:
            configure_logging(settings)
    else:
        configure_log(cfg.hydra.job_logging, cfg.hydra.verbose)
    if cfg.hydra.output_subdir is not None:
        config = plain(spec)
        hydra = config.pop("hydra")
        into = folder / str(cfg.hydra.output_subdir)
        into.mkdir(exist_ok=True)
        (into / "config.yaml").write_text(dump(config), encoding="utf-8")
        (into / "hydra.yaml").write_text(dump({"hydra": hydra}), encoding="utf-8")
        (into / "overrides.yaml").write_text(dump(hydra["overrides"]["task"]), encoding="utf-8")
    before = Path.cwd()
    if cfg.hydra.job.chdir:
        os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _picklable(done: Done) -> Done:
    """Return an answer that can cross to another process: what cannot is told in words."""
    try:
        pickle.dumps(done)
    except Exception as error:  # noqa: BLE001 (whatever an object of somebody else raises)
        if done.error is not None:
            return Done(error=RuntimeError(f"{type(done.error).__name__}: {done.error}"))
        return Done(error=TypeError(f"the job's result cannot be sent to another process: {error}"))
    return done


def build_all(specs: Sequence[Spec], executor: Any) -> Iterator[str]:
    """Build what each of some jobs names, in the process that will run them if it is forked from this one.

    What such processes need is imported here, once, so that the next one has it when one has died.

    Args:
        specs: The jobs.
        executor: What will run them; None: this process itself.

    Yields:
        What is wrong with the config of a job.
    """
    if not specs:
        return
    of_workers = isinstance(executor, Worker) or hasattr(type(executor), "worker")
    if of_workers or executor is None:
        preload(configs(specs[0])[0]["logger"])
        importlib.import_module("glassbox.training.run")
    warm = getattr(executor, "worker", executor) if of_workers else Worker()
    try:
        yield from (answer for _, answer in warm.run(build_only, specs) if isinstance(answer, str))
    finally:
        if not of_workers:
            warm.close()


def build_only(spec: Spec) -> str | None:
    """Build what a job names, to see whether it can be built, and throw it away.

    Args:
        spec: The job.

    Returns:
        What is wrong with its config; None if it can be built, or fails in another way, which the job itself will tell.
    """
    from glassbox.config.job import prepare
    from glassbox.errors import BadInput

    setup_globals()
    register_resolvers()
    try:
        prepare(*configs(spec))
    except BadInput as error:
        return str(error)
    except Exception:  # noqa: BLE001, S110 (the job fails in the same way, and its record says so)
        pass
    return None
