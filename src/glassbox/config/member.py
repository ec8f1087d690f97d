"""What the processes of `launcher=vectorized` do for members: open their records, train them, write their folders."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glassbox.config.build import build
from glassbox.config.cohort import STOPPING, shared
from glassbox.config.execution import launcher_name
from glassbox.config.job import draws, open_record, start_trackers
from glassbox.config.part import build_datamodule, build_net, build_updates, hparams
from glassbox.config.place import ROOT
from glassbox.config.resolvers import register_resolvers
from glassbox.config.spec import Spec, configs, plain
from glassbox.config.work import Done
from glassbox.errors import GlassboxError, told
from glassbox.process import collect_as_usual
from glassbox.tracking.identity import with_choice
from glassbox.tracking.record import Record, now

if TYPE_CHECKING:
    import torch

    from glassbox.data.module import TableModule
    from glassbox.population.member import Cohort, Member, Trained
    from glassbox.population.plan import Chunk
    from glassbox.population.setting import Survey
    from glassbox.training.run import Outcome

PLACE = ("accelerator", "precision", "deterministic")  # what a Trainer of any population is told
Configs = tuple[Mapping[str, Any], Mapping[str, Any]]  # a config to compute with, and to write down
BEAT = 60.0  # seconds between two signs of life of a chunk
KEPT = 16  # programs: each batch of a search has the same cohorts again


@dataclass(frozen=True)
class Opening:
    """Records to open.

    Attributes:
        command: The command, word by word.
        specs: The jobs.
    """

    command: Sequence[str]
    specs: Sequence[Spec]


@dataclass(frozen=True)
class Members:
    """Members of one chunk to train.

    Attributes:
        specs: The jobs.
        values: The config of each, to compute with.
        chunk: The chunk.
    """

    specs: Sequence[Spec]
    values: Sequence[Mapping[str, Any]]
    chunk: "Chunk"


@dataclass(frozen=True)
class Finished:
    """What became of a member, on the way to its run folder.

    Attributes:
        folder: Its run folder.
        trained: Its curves and weights.
        times: When its chunk began to train, and when each epoch of it was over, in seconds of the Unix clock.
        device: Where it was trained.
    """

    folder: str
    trained: "Trained"
    times: Sequence[float]
    device: str


def open_records(opening: Opening) -> list[Configs]:
    """Write the records of jobs that will train together.

    Args:
        opening: The jobs.

    Returns:
        The config of each, to compute with and to write down.
    """
    register_resolvers()
    found: list[Configs] = []
    for spec in opening.specs:
        values, config = configs(spec)
        found.append((values, config))
        open_record(
            values,
            config,
            spec.identity,
            Path(spec.folder),
            root=ROOT,
            overrides=spec.overrides,
            hydra={"hydra": plain(spec)["hydra"]},
            command=opening.command,
            launcher=launcher_name(values["launcher"]),
            number=spec.number,
            sync=False,
            batched=True,
            pid=os.getppid(),  # this process outlives no sweep, and is not the one that trains
        )
    return found


def survey(spec: Spec) -> "Survey | str":
    """Look at a cohort before it trains.

    Args:
        spec: One of its jobs.

    Returns:
        What it needs; or why it cannot train as one.
    """
    from glassbox.population.batchable import refusal
    from glassbox.population.memory import memory
    from glassbox.population.setting import Survey

    register_resolvers()
    try:
        values, _ = configs(spec)
        cohort, datamodule = build_cohort(values)
        member = build_member(values, datamodule)
    except GlassboxError as error:
        return f"not to be built: {told(error)}"
    reason = refusal(cohort, member, datamodule)
    if reason is not None:
        return reason
    steps = cohort.max_epochs * len(datamodule.train_dataloader())
    return Survey(cohort.max_epochs, steps, *memory(cohort, datamodule, member))


def train(members: Members) -> "list[Finished | str]":
    """Train the members of one chunk.

    Args:
        members: They have their records.

    Returns:
        What came of each; or why it has to run alone.
    """
    from glassbox.population.progress import done

    collect_as_usual()
    register_resolvers()
    program, datamodule = _program(members.chunk, members.values[0])
    built: dict[int, Member] = {}
    answers: dict[int, Finished | str] = {}
    for index, values in enumerate(members.values):
        try:
            built[index] = build_member(values, datamodule)
        except GlassboxError as error:
            answers[index] = told(error)
    before, times = done.value, [time.time()]
    beat = _Heart([Path(spec.folder) for spec in members.specs])

    def progress(epochs: int) -> None:
        times.append(time.time())
        done.value = before + epochs
        beat()

    try:
        trained = program.train(list(built.values()), progress) if built else []
    except Exception as error:  # noqa: BLE001 (alone, each member tells its own)
        return [f"{type(error).__name__}: {error}"] * len(members.specs)
    for index, one in zip(built, trained, strict=True):
        answers[index] = Finished(members.specs[index].folder, one, times, str(program.device))
    return [answers[index] for index in range(len(members.specs))]


def write_runs(finished: Sequence[tuple[Finished, Configs]]) -> list[Done]:
    """Write the run folders of members.

    Args:
        finished: The members, with their configs.

    Returns:
        How each ended, as its job alone would have told it.
    """
    import torch

    from glassbox.training.run import finish

    register_resolvers()
    torch.set_num_threads(1)  # as many writers as cores
    written = [_write_run(one, *configs) for one, configs in finished]
    os.sync()  # once for all of them: what a record tells to be there outlives a loss of power
    answers = []
    for (one, _), (record, outcome, value) in zip(finished, written, strict=True):
        finish(record, outcome, one.trained.rows)
        error = GlassboxError(str(outcome.reason)) if outcome.status == "failed" else None
        answers.append(Done(value, error, str(record.folder), batched=True))
    return answers


def build_cohort(values: Mapping[str, Any]) -> "tuple[Cohort, TableModule]":
    """Build what all members of a cohort share.

    Args:
        values: The config of one of them.

    Raises:
        BadInput: A part of it refuses its arguments.
    """
    from glassbox.population.member import Cohort
    from glassbox.training.trainer import hush, seed_all

    hush()
    seed_all(values["seed"])
    datamodule: Any = build_datamodule(values)
    net = build_net(values, datamodule)
    optimizer, scheduler, interval, monitor = build_updates(values, net, datamodule)
    loss = dict(values["loss"])
    task = loss.pop("task")
    nodes = _callbacks(values)
    checkpoint = next((node for node in nodes if node.get("filename") == "best"), {})
    stopping = next((node for node in nodes if node["_target_"] == STOPPING), None)
    cohort = Cohort(
        net=net,
        loss=build("loss", loss),
        task=task,
        optimizer=optimizer.func,
        max_epochs=values["max_epochs"],
        batch_size=values["batch_size"],
        scheduler=None if scheduler is None else scheduler.func,
        interval=interval,
        scheduler_monitor=monitor,
        monitor=checkpoint.get("monitor"),
        mode=checkpoint.get("mode", "min"),
        stopping=None if stopping is None else {key: value for key, value in stopping.items() if key != "_target_"},
        clip_algorithm=values["trainer"].get("gradient_clip_algorithm") or "norm",
        target_scale=getattr(datamodule, "target_scale", 1.0),
        trainer={key: value for key, value in values["trainer"].items() if key in PLACE},
    )
    return cohort, datamodule


def build_member(values: Mapping[str, Any], datamodule: "TableModule") -> "Member":
    """Build what a member has of its own.

    Args:
        values: Its config.
        datamodule: What it trains on.

    Raises:
        BadInput: A part of it refuses its arguments.
    """
    from glassbox.population.member import Member

    net = _initial(json.dumps([values["seed"], values["model"], values["init"]]), datamodule)
    optimizer, scheduler, _, _ = build_updates(values, net, datamodule)
    return Member(
        seed=values["seed"],
        weights={name: p.detach() for name, p in net.named_parameters()},
        optimizer=optimizer.keywords,
        scheduler={} if scheduler is None else scheduler.keywords,
        clip=values["trainer"].get("gradient_clip_val"),
    )


class _Heart:
    """Show now and then that the members of a chunk are alive.

    Args:
        folders: Their run folders.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._beaten = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._beaten < BEAT:
            return
        self._beaten = time.monotonic()
        for folder in self._folders:
            Record(folder, Record.read(folder)).update(heartbeat=now())


@lru_cache(maxsize=4096)
def _initial(determining: str, datamodule: "TableModule") -> "torch.nn.Module":
    """Return the net of a seed, a model and an initialiser, as the run alone begins with it."""
    from glassbox.training.trainer import seed_all

    seed, model, init = json.loads(determining)
    seed_all(seed)
    return build_net({"seed": seed, "model": model, "init": init}, datamodule)


_PROGRAMS: dict[tuple[str, Any], Any] = {}


def _program(chunk: "Chunk", values: Mapping[str, Any]) -> tuple[Any, "TableModule"]:
    """Return the program of a cohort and its data; what was compiled for one chunk serves the next."""
    from glassbox.population.train import Program

    key = chunk.cohort, chunk.setting
    if key not in _PROGRAMS:
        if len(_PROGRAMS) == KEPT:
            del _PROGRAMS[next(iter(_PROGRAMS))]
        cohort, datamodule = build_cohort(values)
        _PROGRAMS[key] = Program(cohort, datamodule, chunk.setting), datamodule
    found: tuple[Any, TableModule] = _PROGRAMS[key]
    return found


def _write_run(
    finished: Finished, values: Mapping[str, Any], config: Mapping[str, Any]
) -> "tuple[Record, Outcome, float | None]":
    """Write the run folder of a member, but not its end into its record; the monitored value of its best epoch."""
    from glassbox.population.artefact import write_run
    from glassbox.training.run import Outcome

    folder = Path(finished.folder)
    record = Record(folder, Record.read(folder) | {"device": finished.device}, sync=False)
    began, *times = finished.times
    outcome, trackers = Outcome("failed", 1), []
    try:
        cohort, datamodule = _cohort(values)
        trackers = start_trackers(values, with_choice(config, record.fields["config"]), folder, began)
        outcome = write_run(
            record.folder,
            finished.trained,
            cohort,
            build_member(values, datamodule),
            datamodule,
            trackers,
            hparams=hparams(values),
            began=began,
            times=times,
            kept=[node["filename"] for node in _callbacks(values) if "filename" in node],
            picture=draws(values, record),
        )
    except Exception as error:  # noqa: BLE001 (told by who reads the answer)
        outcome = Outcome("failed", 1, told(error))
    for tracker in trackers:
        tracker.close(outcome.exit_code)
    return record, outcome, outcome.best.get(values["monitor"])


_COHORTS: dict[str, Any] = {}


def _cohort(values: Mapping[str, Any]) -> "tuple[Cohort, TableModule]":
    """Return what a member shares with others; that of the last one is kept for the next."""
    key = shared(values)
    if key not in _COHORTS:
        _COHORTS.clear()
        _COHORTS[key] = build_cohort(values)
    found: tuple[Cohort, TableModule] = _COHORTS[key]
    return found


def _callbacks(values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the callbacks that there are."""
    return [node for node in (values["callbacks"] or {}).values() if node and node.get("_target_")]
