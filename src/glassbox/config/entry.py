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
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from glassbox.config.build import check_targets
from glassbox.config.compose import check_hydra, composed, jobs_to_check, task_values
from glassbox.config.place import CONF, ROOT, check_writable, keep_caches_inside, outputs
from glassbox.config.plain import resolved, writable
from glassbox.config.schema import check
from glassbox.config.terminal import exit_with
from glassbox.errors import BadInput, GlassboxError
from glassbox.tracking.name import run_name, study_name, with_new_tail


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
        if self.args.multirun and not any(text.startswith("study=") for text in self.overrides):
            self.overrides.append(f"study={study_name()}")
        if not only_shows(self.args):
            self._check()
        elif not self.args.multirun:
            composed(CONF, "train", self.overrides, extra=self.args.config_dir)
        sys.argv = [sys.argv[0], *flags(self.args), *self.overrides]
        try:
            hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")(self.task)()
        finally:
            self._forget_multirun()
        if self.error is not None:
            raise self.error
        return self.exit_code

    def task(self, cfg: DictConfig) -> float | None:
        """Do one job: the task function that Hydra calls.

        Args:
            cfg: The composed config of the job.

        Returns:
            The monitored metric of the best checkpoint, for a sweeper.
        """
        try:
            return self._run(cfg)
        except GlassboxError as error:
            if not self.args.multirun:
                self.error = error
                return None
            print(f"Error: {error}", file=sys.stderr)  # one job of several: the others go on
            self.exit_code = 1
            return None

    def _run(self, cfg: DictConfig) -> float | None:
        from glassbox.config.job import execute, prepare
        from glassbox.training.summary import print_summary

        job, self.job = self.job, None
        if job is None:
            job = prepare(resolved(cfg), writable(cfg))
        settings = HydraConfig.get()
        folder = Path(settings.runtime.output_dir)
        # Unresolved: an override may name an environment variable.
        hydra_node: Any = OmegaConf.to_container(settings, resolve=False, enum_to_str=True)
        try:
            outcome = execute(
                job,
                folder,
                root=ROOT,
                overrides=hydra_node["overrides"]["task"],
                hydra={"hydra": hydra_node},
                command=self.command,
            )
        except Exception:
            print(f"Failed: {folder} (run.json says why, train.log has the traceback)", file=sys.stderr)
            raise
        print_summary(outcome, folder, job.values, root=ROOT, one_of_many=self.args.multirun)
        if not self.args.multirun or outcome.status == "interrupted":
            self.exit_code = outcome.exit_code
        if outcome.status == "interrupted":
            raise SystemExit(outcome.exit_code)
        return outcome.best.get(job.values["monitor"])

    def _check(self) -> None:
        """Check the whole command before any folder exists; a single run is built here, too."""
        for overrides in jobs_to_check(self.overrides) if self.args.multirun else [self.overrides]:
            cfg = composed(CONF, "train", overrides, extra=self.args.config_dir)
            check_hydra(cfg)
            values = task_values(cfg)
            cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
            if values.get("rerun") is not None:
                cfg, values = self._rerun(cfg)
            check(values)  # `prepare` checks the same, but only after torch has been imported
            check_targets(values)
            check_writable()
            from glassbox.config.job import prepare

            self.job = prepare(values, writable(cfg))
        if self.args.multirun:
            self.job = None  # built again by each job

    def _forget_multirun(self) -> None:
        """Remove Hydra's own copy of the config of a multirun: each run has its own, and this one shows secrets."""
        for study in (text.partition("=")[2] for text in self.overrides if text.startswith("study=")):
            if self.args.multirun:
                (outputs() / study / "multirun.yaml").unlink(missing_ok=True)

    def _rerun(self, cfg: DictConfig) -> tuple[DictConfig, dict[str, Any]]:
        from glassbox.config.rerun import rerun_config

        if self.args.multirun:
            raise BadInput(f"rerun={cfg.rerun}: it repeats one run; leave -m out")
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
    parser = OverridesParser.create()
    named = [parser.parse_override(text).key_or_group for text in overrides]
    return [key for key in named if key.partition(".")[0].partition("/")[0] != "hydra"]


def flags(args: argparse.Namespace) -> list[str]:
    """Write parsed flags as a command line again, in the place where Hydra wants them: before the overrides."""
    switches = ("help", "hydra_help", "resolve", "run", "multirun", "shell_completion")
    words = ["--" + name.replace("_", "-") for name in switches if getattr(args, name)]
    for name in ("cfg", "package", "config_dir", "info"):
        if getattr(args, name) is not None:
            words += ["--" + name.replace("_", "-"), getattr(args, name)]
    return words


def register_resolvers() -> None:
    """Register the resolvers that conf/hydra/run.yaml uses for the run folder."""
    OmegaConf.register_new_resolver("glassbox.outputs", lambda: str(outputs()), replace=True)
    OmegaConf.register_new_resolver("glassbox.run_name", _run_name, replace=True)


def _run_name(overrides: Any) -> str:
    texts = [str(text) for text in overrides]
    for text in texts:
        key, _, value = text.partition("=")
        if key == "rerun" and value not in ("", "null"):
            return with_new_tail(Path(value).name)
    return run_name(texts)
