"""The main of scripts/train.py: check everything, then let Hydra run the job.

Nothing here imports torch, Lightning or W&B before a job is sure to run, so that `--help`, `--cfg job` and a mistyped
override answer at once.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from glassbox.config.build import check_targets
from glassbox.config.compose import check_hydra, check_jobs, composed, task_values
from glassbox.config.execution import check_launcher, launcher_name
from glassbox.config.grid import Grid
from glassbox.config.grid import parse as parse_override
from glassbox.config.place import CONF, ROOT, check_writable, keep_caches_inside
from glassbox.config.plain import resolved, writable
from glassbox.config.resolvers import register_resolvers
from glassbox.config.schema import check
from glassbox.config.search import check_search, pruning_of, searches
from glassbox.config.terminal import exit_with
from glassbox.errors import BadInput, GlassboxError
from glassbox.tracking.identity import identity
from glassbox.tracking.name import study_name
from glassbox.tracking.wandb_run import preload, under_agent

OURS = "hydra_plugins.glassbox.launcher.GlassboxLauncher"


class Train:
    """One call of scripts/train.py.

    Args:
        argv: The command line without the program's name.
    """

    def __init__(self, argv: list[str]) -> None:
        self.command = ["python", "scripts/train.py", *argv]
        self.args = parse(argv)
        self.overrides: list[str] = self.args.overrides
        self.job: Any = None
        self.error: GlassboxError | None = None
        self.exit_code = 0

    def main(self) -> int:
        """Do what the command line asks for and return the exit code."""
        keep_caches_inside()
        register_resolvers()
        if not only_shows(self.args):
            self._check()
        elif not self.args.multirun:
            composed(CONF, "train", self.overrides, extra=self.args.config_dir)
        sys.argv = [sys.argv[0], *flags(self.args), *self.overrides]
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")(self.task)()
        if self.error is not None:
            raise self.error
        return self.exit_code

    def task(self, cfg: DictConfig) -> float | None:
        """Do one job: the task function that Hydra calls, in this process or, in a multirun, in another one.

        Args:
            cfg: The composed config of the job.

        Returns:
            The monitored metric of the best checkpoint, for a sweeper.
        """
        if self.args.multirun:
            return self._one_of_many(cfg)
        try:
            return self._run(cfg)
        except GlassboxError as error:
            self.error = error
            return None

    def _run(self, cfg: DictConfig) -> float | None:
        """Do the one job of a single run."""
        from glassbox.config.job import execute, open_record, prepare, recorded
        from glassbox.training.summary import print_summary

        job, self.job = self.job, None
        if job is None:
            job = prepare(resolved(cfg), writable(cfg))
        folder = Path(HydraConfig.get().runtime.output_dir)
        try:
            record = open_record(job.values, job.config, job.identity, folder, command=self.command, **_from_hydra())
            with recorded(record):
                outcome = execute(job, record)
        except Exception:
            print(f"Failed: {folder} (run.json says why, train.log has the traceback)", file=sys.stderr)
            raise
        url = job.trainer.logger.experiment.url if job.values["logger"].get("mode") == "online" else None
        print_summary(outcome, folder, job.values, root=ROOT, url=url)
        self.exit_code = outcome.exit_code
        if outcome.status == "interrupted":
            raise SystemExit(outcome.exit_code)
        return outcome.best.get(job.values["monitor"])

    def _one_of_many(self, cfg: DictConfig) -> float | None:
        """Do one job of a multirun; its record is there before anything can fail, and says how it ended.

        Raises:
            Exception: Whatever the job raised.
            SystemExit: It was interrupted.
        """
        from glassbox.config.job import data_digest, execute, open_record, prepare, recorded

        values, config, hydra = resolved(cfg), writable(cfg), HydraConfig.get()
        folder = Path(hydra.runtime.output_dir)
        record = open_record(
            values,
            config,
            identity(values, data_digest(values)),
            folder,
            command=self.command,
            launcher=launcher_name(values["launcher"]),
            number=hydra.job.num,
            **_from_hydra(),
        )
        with recorded(record):
            job = prepare(values, config)
            outcome = execute(job, record, pruning_of(hydra.sweeper, values, hydra.job.num))
        if outcome.status == "interrupted":
            raise SystemExit(outcome.exit_code)
        if outcome.status == "failed":
            raise GlassboxError(f"{folder}: {outcome.reason}")
        return outcome.best.get(values["monitor"])

    def _check(self) -> None:
        """Check the whole command before any folder exists; a single run is built here, too."""
        if self.args.multirun or any(key == "sweep" for key in keys(self.overrides)):
            self._check_many()
            return
        cfg = composed(CONF, "train", self.overrides, extra=self.args.config_dir)
        if cfg.hydra.mode is RunMode.MULTIRUN:
            self._check_many()
            return
        check_hydra(cfg)
        values = task_values(cfg)
        cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
        if values.get("rerun") is not None:
            cfg, values = self._rerun(cfg)
        check(values)  # `prepare` checks the same, but only after torch has been imported
        check_targets(values)
        check_writable()
        preload(values["logger"])
        from glassbox.config.job import prepare

        self.job = prepare(values, writable(cfg))

    def _check_many(self) -> None:
        """Check every value of a multirun, as far as it can be without building; the sweep builds each one later."""
        self.args.multirun = True
        if under_agent():
            raise BadInput("a W&B agent's job is one run, and a multirun is several: leave -m and sweep= out")
        grid = Grid.of({}, self.overrides)
        for key in ("study", "launcher"):
            if key in grid.axes:
                raise BadInput(f"{key}: a multirun has one; give it one value")

        def look(cfg: DictConfig) -> None:
            values = task_values(cfg)
            check(values)
            check_targets(values)

        try:
            cfg = composed(CONF, "train", grid.samples()[0], extra=self.args.config_dir)
        except BadInput:
            check_jobs(CONF, "train", grid, look, extra=self.args.config_dir)  # it names every mistake
            raise
        check_hydra(cfg)
        if cfg.hydra.launcher._target_ == OURS:
            check_launcher(cfg.launcher)
        grid = Grid.of(cfg.hydra.sweeper.get("params") or {}, self.overrides)
        search = searches(cfg.hydra.sweeper)
        if not search:
            grid.check_listed()
        if cfg.rerun is not None:
            raise BadInput(f"rerun={cfg.rerun}: it repeats one run; leave -m out")
        if cfg.study == "runs" and "study" not in keys(self.overrides):
            self.overrides.append(f"study={study_name()}")
        check_jobs(CONF, "train", grid.ends(None if search else "seed"), look, extra=self.args.config_dir)
        if search:
            check_search(cfg.hydra.sweeper, cfg, grid)
        check_writable()

    def _rerun(self, cfg: DictConfig) -> tuple[DictConfig, dict[str, Any]]:
        from glassbox.config.rerun import rerun_config

        if not isinstance(cfg.rerun, str):
            raise BadInput(f"rerun={cfg.rerun}: must be a run folder, outputs/<study>/<run>")
        named = [key for key in keys(self.overrides) if key != "rerun"]
        cfg = rerun_config(Path(cfg.rerun), cfg, named)
        if "study" not in named:
            self.overrides.append(f"study={cfg.study}")
        return cfg, resolved(cfg)


def main() -> None:
    """Run scripts/train.py."""
    exit_with(lambda: Train(sys.argv[1:]).main())


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse Hydra's flags and overrides; flags may stand anywhere.

    Args:
        argv: The command line without the program's name.

    Example:
        >>> parse(["lr=0.1", "-m", "seed=0,1"]).overrides
        ['lr=0.1', 'seed=0,1']
    """
    parser = get_args_parser()
    args = parser.parse_intermixed_args(argv)
    for flag, instead in {
        "config_path": "put your files into conf/ or name their folder with --config-dir",
        "config_name": "the primary config is train; choose an experiment=NAME",
        "experimental_rerun": "use rerun=outputs/<study>/<run>",
    }.items():
        if getattr(args, flag) is not None:
            parser.exit(2, f"Error: --{flag.replace('_', '-')} is not used here: {instead}\n")
    return args


def only_shows(args: argparse.Namespace) -> bool:
    """Return whether the flags ask Hydra to show something instead of running."""
    return bool(args.help or args.hydra_help or args.cfg or args.info or args.shell_completion)


def keys(overrides: list[str]) -> list[str]:
    """Return the keys and groups that overrides name, but those of Hydra's own tree.

    Example:
        >>> keys(["lr=0.1", "+model.hidden=3", "optimizer=adam", "hydra.job.name=a"])
        ['lr', 'model.hidden', 'optimizer']
    """
    named = [parse_override(text).key_or_group for text in overrides]
    return [key for key in named if key.partition(".")[0].partition("/")[0] != "hydra"]


def flags(args: argparse.Namespace) -> list[str]:
    """Write parsed flags as a command line again, in the place where Hydra wants them: before the overrides."""
    switches = ("help", "hydra_help", "resolve", "run", "multirun", "shell_completion")
    words = ["--" + name.replace("_", "-") for name in switches if getattr(args, name)]
    for name in ("cfg", "package", "config_dir", "info"):
        if getattr(args, name) is not None:
            words += ["--" + name.replace("_", "-"), getattr(args, name)]
    return words


def _from_hydra() -> dict[str, Any]:
    """Return what a record takes from Hydra: the overrides and Hydra's own config, both unresolved."""
    # An override may name an environment variable.
    node: Any = OmegaConf.to_container(HydraConfig.get(), resolve=False, enum_to_str=True)
    return {"root": ROOT, "overrides": node["overrides"]["task"], "hydra": {"hydra": node}}
