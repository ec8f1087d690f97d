"""The main of scripts/explain.py: one training step of a config, recorded from the Trainer, done again and shown."""

import argparse
import json
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from glassbox.config.build import check_targets
from glassbox.config.compose import check_hydra, composed, task_values
from glassbox.config.entry import flags, keys, only_shows, parse
from glassbox.config.place import CONF, keep_caches_inside, outputs
from glassbox.config.plain import resolved, writable
from glassbox.config.resolvers import register_resolvers
from glassbox.config.schema import NATURAL, TEXT, Rule, check, show
from glassbox.config.terminal import exit_with
from glassbox.errors import BadInput

if TYPE_CHECKING:
    from glassbox.config.job import Job
    from glassbox.explain.explanation import Explanation
    from glassbox.replay.step import Step

SWITCH = Rule(lambda v: isinstance(v, bool), "true or false")
RULES = {"step": NATURAL, "sample": NATURAL, "checkpoint": TEXT, "json": TEXT, "quiz": SWITCH, "code": SWITCH}
LOGGERS = (None, "glassbox.tracking.wandb_run.WandbRun")


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Attributes:
        options: The keys of explain.py's own.
        values: The config of the run whose step is explained, with every interpolation resolved.
        config: The same as it may be written down.
    """

    options: Mapping[str, Any]
    values: Mapping[str, Any]
    config: Mapping[str, Any]


def main() -> None:
    """Run scripts/explain.py."""
    exit_with(lambda: explain(sys.argv[1:]))


def explain(argv: list[str]) -> int:
    """Explain one training step.

    Args:
        argv: The command line without the program's name.

    Returns:
        0; 1 if a row disagrees with torch.

    Raises:
        BadInput: The config does not fit, or the step cannot be explained.
    """
    keep_caches_inside()
    register_resolvers()
    args = parse(argv)
    if args.multirun:
        raise BadInput("explain.py explains one step: leave -m out")
    if only_shows(args):
        return _hydra_shows(args)
    request = _read(args)
    from glassbox.config.job import check_logger, prepare

    check_logger(request.values["logger"])
    job = prepare(request.values, request.config)
    step = record_step(job, request.options)
    from glassbox.explain.show import console, print_explanation, to_json
    from glassbox.replay.audit import audit

    audited = audit(step)
    if request.options["quiz"]:
        return _quiz(audited)
    from glassbox.explain.gather import gather

    explanation = gather(
        audited, title=_title(request, step), sample=request.options["sample"], code=request.options["code"]
    )
    print_explanation(explanation, console())
    if request.options["json"] is not None:
        _write(Path(request.options["json"]), json.dumps(to_json(explanation), indent=2, ensure_ascii=False) + "\n")
    if request.values["logger"]["_target_"] is not None:
        _log(request, explanation)
    return 0 if explanation.agrees else 1


def record_step(job: "Job", options: Mapping[str, Any]) -> "Step":
    """Train a job until the step that is asked for, and return that step as it happened.

    Args:
        job: The job; nothing is written for it.
        options: `step`, and `checkpoint`, the run folder to go on from or None.

    Raises:
        BadInput: The run has no such step, or it is one that cannot be explained.
    """
    from glassbox.training.recorder import Recorder
    from glassbox.training.run import best_checkpoint
    from glassbox.training.trainer import only_training, seed_all

    checkpoint, first, trainer = None, 0, job.trainer
    only_training(trainer)
    # What Lightning says of a run without checkpoints or validation; this is none.
    warnings.filterwarnings("ignore", "Be aware that when using `ckpt_path`")
    warnings.filterwarnings("ignore", "You passed in a `val_dataloader`")
    warnings.filterwarnings("ignore", "`training_step` returned `None`")
    if options["checkpoint"] is not None:
        from glassbox.training.checkpoint import load

        checkpoint = best_checkpoint(Path(options["checkpoint"]))
        if checkpoint is None:
            raise BadInput(f"checkpoint={options['checkpoint']}: it has no checkpoint (callbacks=none keeps none)")
        first = int(load(checkpoint)["global_step"])
        trainer.fit_loop.max_epochs = -1  # the run may have ended there
    found: list[Step] = []

    def keep(step: "Step") -> None:
        found[:] = [step]
        if step.stepped or step.loss is None:
            raise _Enough

    wanted = first + options["step"]
    trainer.callbacks.append(Recorder(keep, when=lambda trainer, _: trainer.global_step == wanted))  # type: ignore[attr-defined]
    seed_all(job.values["seed"])
    path = None if checkpoint is None else str(checkpoint)
    try:
        trainer.fit(job.module, datamodule=job.datamodule, ckpt_path=path, weights_only=True)
    except _Enough:
        pass
    except RuntimeError as error:
        if "multiple optimizers" not in str(error):
            raise
        name = type(job.module).__name__
        raise BadInput(f"{name} has several optimizers: a step with exactly one can be done again") from error
    if not found:
        raise BadInput(f"step={options['step']}: the run ends after {trainer.global_step - first} steps")
    (step,) = found
    if step.loss is None:
        raise BadInput(f"step={options['step']}: training_step returned nothing, so there is no step to explain")
    if not bool(step.loss.isfinite().all()):
        raise BadInput(
            f"step={options['step']}: training_step returned {float(step.loss)}, and nothing that follows can be "
            "compared; look at an earlier step, or take a smaller lr"
        )
    return step


class _Enough(Exception):
    """The step is recorded: leave the training at once, in the middle of its epoch."""


def _read(args: argparse.Namespace) -> Request:
    """Check the command line, and return what it asks for."""
    cfg = composed(CONF, "explain", args.overrides, extra=args.config_dir)
    check_hydra(cfg)
    values = task_values(cfg)
    options = {key: values.pop(key) for key in RULES}
    for key, rule in RULES.items():
        if not rule.holds(options[key]):
            raise BadInput(f"{key}={show(options[key])}: must be {rule.words}")
    if options["quiz"] and (options["code"] or options["json"] or values["logger"].get("_target_")):
        raise BadInput("quiz=true only asks: leave code, json and logger out")
    task = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key not in ("hydra", *RULES)])
    run = options["checkpoint"] or values["rerun"]
    if run is not None:
        task = _recorded(task, run, [key for key in keys(args.overrides) if key not in (*RULES, "rerun")])
        values = resolved(task)
    if values["logger"].get("_target_") not in LOGGERS:
        raise BadInput("logger: explain.py logs to W&B or not at all; use logger=wandb or leave it out")
    values["trainer"] |= {"devices": 1, "strategy": "auto", "profiler": None}
    check(values)
    check_targets(values)
    return Request(options, values, writable(task))


def _recorded(task: DictConfig, run: str, named: list[str]) -> DictConfig:
    """Return the config of a recorded run, on this machine's CPU and without its logger unless they are chosen."""
    from glassbox.config.rerun import rerun_config

    return rerun_config(Path(run), task, [*{"trainer.accelerator", "logger", *named}])


def _hydra_shows(args: argparse.Namespace) -> int:
    """Let Hydra answer --help, --cfg and the like."""
    import hydra

    composed(CONF, "explain", args.overrides, extra=args.config_dir)
    sys.argv = [sys.argv[0], *flags(args), *args.overrides]

    def nothing(cfg: DictConfig) -> None:
        """Hydra only shows."""

    hydra.main(version_base="1.3", config_path=str(CONF), config_name="explain")(nothing)()
    return 0


def _title(request: Request, step: "Step") -> str:
    """Say which step of what is explained."""
    after = f" after the checkpoint of {request.options['checkpoint']}" if request.options["checkpoint"] else ""
    data, model = (str(request.values[group]["_target_"]).rpartition(".")[2] for group in ("data", "model"))
    groups = {f"lr={group['lr']:g}": None for group in step.groups if isinstance(group.get("lr"), int | float)}
    return f"Step {request.options['step']}{after}: {model} on {data}, {step.optimizer.__name__} {' '.join(groups)}"


def _quiz(audited: Any) -> int:
    from rich.prompt import Prompt

    from glassbox.explain.quiz import ask, questions
    from glassbox.explain.show import console

    to = console()
    answer = (lambda text: Prompt.ask(text, console=to, choices=["a", "b", "c"])) if sys.stdin.isatty() else None
    ask(questions(audited), to, answer)
    return 0


def _write(path: Path, text: str) -> None:
    from glassbox.tracking.record import write_atomic

    try:
        write_atomic(path, text)
    except OSError as error:
        raise BadInput(f"json={path}: cannot be written: {error.strerror}") from error


def _log(request: Request, explanation: "Explanation") -> None:
    """Log every table to a W&B run of the group `explain`."""
    from glassbox.config.build import build
    from glassbox.explain.show import as_cells
    from glassbox.tracking.name import tail

    folder = outputs() / "explain" / f"explain-step{request.options['step']}-{tail()}"
    run = build("logger", request.values["logger"] | {"writer": "client"}, folder=folder)  # it has tables
    run.start(
        name=folder.name,
        study="explain",
        config=request.config,
        tags=request.config["tags"],
        notes=explanation.title,
    )
    for table in explanation.tables:
        run.table(table.title, *as_cells(table))
    run.close(0 if explanation.agrees else 1)
