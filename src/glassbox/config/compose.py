"""Compose a config as Hydra's main will, but first: so that a mistake is told before any folder exists."""

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from glassbox.config.grid import Grid, parse
from glassbox.config.plain import leaves, resolved
from glassbox.config.resolvers import SWEEP_DIR, SWEEP_SUBDIR
from glassbox.config.schema import DIALS, GROUPS
from glassbox.config.spec import Composer, live
from glassbox.errors import BadInput, did_you_mean

# What logging may be told to make: its own handlers, formatters and filters, and the streams of the terminal.
LOGGING_CLASS = re.compile(r"(logging(\.handlers)?|colorlog|rich\.logging)\.[A-Za-z]+")
# Hydra builds its launcher, sweeper and callbacks itself, so what it may name is narrower than what Glassbox builds.
HYDRA_TARGETS = ("hydra._internal.core_plugins.", "hydra.experimental.callbacks.", "hydra_plugins.")
# Where a run lives.
OURS = {
    "run.dir": f"{SWEEP_DIR}/{SWEEP_SUBDIR}",
    "sweep.dir": SWEEP_DIR,
    "sweep.subdir": SWEEP_SUBDIR,
}


def composed(conf: Path, name: str, overrides: list[str], *, extra: str | None = None) -> DictConfig:
    """Compose a primary config with overrides, with the `hydra` node, and tell every mistake in one or two lines.

    Args:
        conf: The folder of configs.
        name: The primary config, such as `train`.
        overrides: Hydra overrides, each of one value.
        extra: One more folder of configs, searched first.

    Raises:
        BadInput: Hydra cannot compose it; the message names the override, and the spelling that was probably meant.
    """
    parsed = [parse(text) for text in overrides]
    for override in parsed:
        if override.is_delete() and override.key_or_group in (*DIALS, *GROUPS):
            raise BadInput(
                f"{override.input_line}: a run needs '{override.key_or_group}'; choose another value or option"
            )
        if override.is_sweep_override():
            key, _, value = (override.input_line or "").partition("=")
            raise BadInput(
                f"{key}={value}: several values need a multirun, add -m; one value with a comma needs quotes"
            )
    if extra is not None:
        if not Path(extra).is_dir():
            raise BadInput(f"--config-dir={extra}: no such folder")
        overrides = [*overrides, f"hydra.searchpath=[file://{Path(extra).absolute()}]"]
    with _hydra(conf):
        try:
            return compose(name, overrides=overrides, return_hydra_config=True)
        except (HydraException, OmegaConfBaseException) as error:
            _diagnose(conf, name, parsed)
            raise BadInput(_one_line(f"{error} {error.__cause__ or ''}")) from error


def check_jobs(
    conf: Path, name: str, grid: Grid, look: Callable[[DictConfig], None], *, extra: str | None = None
) -> None:
    """Compose a job with each value of a grid and look at its config, and tell every mistake at once.

    Args:
        conf: The folder of configs.
        name: The primary config.
        grid: The values.
        look: Called with each config; raises BadInput.
        extra: One more folder of configs.

    Raises:
        BadInput: Some cannot be used; one line each.
    """
    wrong: dict[str, None] = {}
    more = [] if extra is None else [f"hydra.searchpath=[file://{Path(extra).absolute()}]"]
    with _hydra(conf):
        loader = GlobalHydra.instance().config_loader()
        composer = Composer(loader, loader.load_configuration(name, more, run_mode=RunMode.RUN))
        while True:
            before = len(wrong)
            for overrides in grid.samples():
                try:
                    with live(composer.spec(overrides, 0)) as found:
                        look(found.task)
                except BadInput as error:
                    wrong[str(error)] = None
                except (HydraException, OmegaConfBaseException):
                    try:
                        composed(conf, name, overrides, extra=extra)
                    except BadInput as error:
                        wrong[str(error)] = None
            if len(wrong) == before:
                break
            grid = grid.without(wrong)  # a mistake may hide another one
    if wrong:
        raise BadInput("\n".join(wrong))


def multirun(conf: Path, name: str, overrides: list[str], function: Callable[[DictConfig], Any]) -> None:
    """Let Hydra's own multirun do a task function in this process, without our checks and without a study.

    Args:
        conf: The folder of configs.
        name: The primary config.
        overrides: Hydra overrides, some of several values.
        function: The task function.
    """
    with _hydra(conf):
        hydra: Any = GlobalHydra.instance().hydra
        hydra.multirun(name, function, overrides, with_log_configuration=False)


def task_values(cfg: DictConfig) -> dict[str, Any]:
    """Return the resolved config without its `hydra` node, or say which value is missing or cannot be resolved.

    Args:
        cfg: A composed config.

    Raises:
        BadInput: A mandatory value (`???`) is missing or an interpolation cannot be resolved.
    """
    task = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    try:
        return resolved(task)
    except MissingMandatoryValue as error:
        raise BadInput(f"{error.full_key} is missing: add {error.full_key}=…") from error
    except OmegaConfBaseException as error:
        raise BadInput(_one_line(str(error))) from error


def check_hydra(cfg: DictConfig) -> None:
    """Check the `hydra` node before Hydra sets up logging, callbacks and plugins from it.

    Args:
        cfg: A config composed with its `hydra` node.

    Raises:
        BadInput: The node names code outside the trusted packages, or moves the run folder.
    """
    for where, value in leaves(OmegaConf.to_container(cfg.hydra, resolve=False), "hydra"):
        last = where.rpartition(".")[2]
        in_logging = where.startswith(("hydra.job_logging.", "hydra.hydra_logging."))
        if last == "_target_" and not str(value).startswith(HYDRA_TARGETS):
            raise BadInput(f"{where}={value}: only {'*, '.join(HYDRA_TARGETS)}* may be named here")
        if in_logging and (last in ("()", "factory") or (last == "class" and not LOGGING_CLASS.fullmatch(str(value)))):
            raise BadInput(f"{where}={value}: only the classes of logging, colorlog and rich.logging may be named here")
        if in_logging and isinstance(value, str) and re.search(r"\bext://(?!sys\.std(out|err)$)", value):
            raise BadInput(f"{where}={value}: only ext://sys.stdout and ext://sys.stderr may be named here")
    hydra = OmegaConf.to_container(cfg.hydra, resolve=False)
    assert isinstance(hydra, dict)
    if hydra["sweeper"]["_target_"].startswith("hydra._internal."):
        raise BadInput("hydra/sweeper=basic: it forgets what has run; leave it out")
    for key, ours in OURS.items():
        group, _, name = key.partition(".")
        if hydra[group][name] != ours:
            raise BadInput(f"hydra.{key}={hydra[group][name]}: a run lives in outputs/<study>/<run>; choose study=NAME")
    if hydra["output_subdir"] is not None:
        where = f"hydra.output_subdir={hydra['output_subdir']}"
        raise BadInput(f"{where}: leave it out; a run keeps its config in .hydra/, with secrets masked")
    if hydra["job"]["chdir"]:
        raise BadInput("hydra.job.chdir=true: not used here; a run writes into its own folder anyway")
    if any(text.startswith("hydra.mode=") for text in hydra["overrides"]["hydra"]):  # a sweep file may set it
        raise BadInput(f"hydra.mode={cfg.hydra.mode.name}: add -m for several runs, leave it out for one")


def _hydra(conf: Path) -> AbstractContextManager[None]:
    GlobalHydra.instance().clear()
    return initialize_config_dir(str(conf), version_base="1.3", job_name="train")


def _diagnose(conf: Path, name: str, overrides: list[Override]) -> None:
    """Find the override that Hydra could not use, and say what was probably meant.

    Raises:
        BadInput: The override was found.
    """
    groups = {str(p.relative_to(conf)) for p in conf.rglob("*") if p.is_dir()}
    chosen = [override for override in overrides if override.key_or_group in groups]
    for override in chosen:
        group, value = override.key_or_group, override.value()
        if override.is_add() or override.package is not None or override.is_delete():
            raise BadInput(f"{override.input_line}: '{group}' is chosen already; write {group}=OPTION")
        options = sorted(p.stem for p in (conf / group).glob("*.yaml"))
        for option in value if isinstance(value, list) else [value]:
            if option is not None and str(option) not in options:
                near = did_you_mean(str(option), options)
                raise BadInput(f"{group}={option}: no such option{near} ({group} has {', '.join(options)})")
    with _hydra(conf):
        cfg = compose(name, overrides=[override.input_line or "" for override in chosen])
        base = OmegaConf.to_container(cfg, resolve=False)
    for override in overrides:
        key = override.key_or_group
        if key in groups or key.split(".")[0] == "hydra" or key.startswith("hydra/"):
            continue
        node: Any = base
        for depth, part in enumerate(key.split(".")):
            if not isinstance(node, Mapping) or part not in node:
                near = did_you_mean(part, [str(k) for k in node] if isinstance(node, Mapping) else [])
                place = "".join(f"{p}." for p in key.split(".")[:depth])
                near = near.replace("mean '", f"mean '{place}")
                if override.is_add():
                    break
                if place == "data.":
                    near = near or "; it belongs to another data set, choose data=NAME"
                raise BadInput(f"{override.input_line}: unknown key '{key}'{near}")
            node = node[part]


def _one_line(text: str) -> str:
    """Write a message of Hydra or OmegaConf in one line, without what only their developers need."""
    return " ".join(re.sub(r"full_key: .*|object_type=.*|Config search path:(.|\n)*", "", text).split())
