"""The jobs of one sweep: check them, run those that the study does not know yet, and tell how all of them ended."""

import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig

from glassbox.config.execution import launcher_name
from glassbox.config.job import data_digest, open_record
from glassbox.config.place import ROOT, outputs
from glassbox.config.schema import show
from glassbox.config.spec import Composer, Spec, configs, plain
from glassbox.config.work import Done, build_all
from glassbox.errors import BadInput, GlassboxError, told
from glassbox.process import INTERRUPTED
from glassbox.sweep.border import Range, on_border
from glassbox.sweep.executor import Lost, leave
from glassbox.sweep.study import Run, Study, clashes, constant_and_varied
from glassbox.sweep.table import Tally, print_job, print_plan, print_tally
from glassbox.tracking.identity import determining, identity
from glassbox.tracking.record import Record, git_state
from glassbox.tracking.secret import mask, mask_command


@dataclass(frozen=True)
class Result:
    """How a job of a sweep ended.

    Attributes:
        status: `finished`, `pruned`, `diverged`, `failed` or `interrupted`.
        value: The monitored metric of its best checkpoint; None if there is none.
        folder: Its run folder.
        reason: Why it did not finish.
    """

    status: str
    value: float | None
    folder: Path | None
    reason: str | None


@dataclass
class Planned:
    """A job of a sweep before it runs.

    Attributes:
        spec: The job.
        identity: The hash of what determines its numbers.
        flat: What determines its numbers, flat.
    """

    spec: Spec
    identity: str
    flat: Mapping[str, Any]


class Multirun:
    """One sweep of one study, from its first look at the run folders to its last line.

    Args:
        train: The call of scripts/train.py; it is told how the sweep ended.
        config: The config of the multirun.
        loader: Hydra's config loader.
        launcher: Hydra's launcher, ours or another one.
        axes: The keys that the sweep varies.
        space: Key → the numbers that are tried, or the range that they are drawn from.
        question: What the sweep asks.
    """

    def __init__(
        self,
        train: Any,
        config: DictConfig,
        loader: ConfigLoader,
        launcher: Any,
        *,
        axes: Sequence[str] = (),
        space: Mapping[str, Sequence[float] | Range] | None = None,
        question: str | None = None,
    ) -> None:
        self._train = train
        self._config = config
        self._launcher = launcher
        self._kind_of = getattr(launcher, "kind_of", None)
        self._composer = Composer(loader, config)
        self._axes = list(axes)
        self._space = dict(space or {})
        self._question = question
        self._planned: dict[str, Planned] = {}
        self._entry: dict[str, Any] = {}
        self._begun, self._asked = False, 0
        self._count: int | None = None
        self._checked: dict[tuple[str, ...], Planned | None] = {}
        self._digests: dict[tuple[str, int, int], str | None] = {}
        self.folder = outputs() / str(config.study)
        self.study = Study(self.folder)

    def __enter__(self) -> "Multirun":
        self._before = signal.signal(signal.SIGTERM, leave)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        """Tell how the sweep ended; errors of ours and signals become an exit code, whatever else goes on."""
        try:
            executor = vars(self._launcher).get("executor")  # not made for this
            if executor is not None:
                executor.close()
            if self._begun:
                self._end()
        finally:
            self.study.release()
            signal.signal(signal.SIGTERM, self._before)
        if isinstance(error, KeyboardInterrupt):
            self._train.exit_code = INTERRUPTED
        elif isinstance(error, SystemExit):
            self._train.exit_code = error.code if isinstance(error.code, int) else 1
        elif isinstance(error, GlassboxError):
            self._train.error = error
        return isinstance(error, KeyboardInterrupt | SystemExit | GlassboxError)

    def check(self, jobs: Sequence[Sequence[str]], count: int | None = None) -> None:
        """Take the study, and check jobs before the first one runs: do they belong to its question, can they be built.

        Each value is built once, not each combination; a seed changes nothing that could fail.

        Args:
            jobs: The overrides of each job; of a search, samples of what it may suggest.
            count: How many jobs a search will suggest, those of earlier calls among them.

        Raises:
            BadInput: Another sweep of the study runs; its earlier sweeps are of another kind or differ in a key; or
                values cannot be used, and each of them is named.
        """
        self._take()
        kind = "grid" if count is None else "search"
        for sweep in self.study.sweeps():
            before = sweep.get("kind", "grid")  # of a study from before there were searches
            if before != kind:  # a trial has the number of its job
                raise BadInput(
                    f"study={self.folder.name}: it has the jobs of a {before}, and a {kind} has numbers of its own; "
                    "choose another study=NAME"
                )
        planned = [self._plan(job) for job in jobs]
        self._checked = {tuple(job): plan for job, plan in zip(jobs, planned, strict=True)}
        constant, varied = constant_and_varied(plan.flat for plan in planned)
        axes = sorted({*self._axes, *varied})
        clash = clashes(constant, axes, self.study.sweeps())
        if clash and not self._config.force:
            key, (old, new) = next(iter(clash.items()))
            raise BadInput(
                f"study={self.folder.name}: its earlier sweeps have {key}={show(old)}, this one {key}={show(new)}, "
                "and none varies it; choose another study=NAME, or add force=true"
            )
        axes = sorted({*axes, *clash})
        known = self.study.by_identity()
        seen: set[str] = set()
        unseen = []
        for plan in planned:
            values = {text for text in plan.spec.overrides if not text.startswith("seed=")} or {""}
            if plan.identity not in known and not seen.issuperset(values):
                seen |= values
                unseen.append(plan.spec)
        wrong = dict.fromkeys(build_all(unseen, getattr(self._launcher, "executor", None)))
        if wrong:
            raise BadInput("\n".join(wrong))
        self._count = count
        self._entry = {
            "kind": kind,
            "command": mask_command(self._train.command),
            "question": self._question,
            "notes": self._config.notes,
            "jobs": len(jobs) if count is None else count,
            "git": git_state(ROOT),
            "axes": axes,
            "constant": mask(dict(constant)),
            "space": {key: vars(s) if isinstance(s, Range) else list(s) for key, s in self._space.items()},
        }

    def run(self, jobs: Sequence[Sequence[str]], numbers: Sequence[int] | None = None) -> list[Result]:
        """Run the jobs that the study has no result of.

        Args:
            jobs: The overrides of each job.
            numbers: The number of each job; by default those that run are numbered on.

        Returns:
            How each of the jobs ended, now or earlier.
        """
        if not self._begun:
            self._begun = True
            self.study.begin(self._entry)
        planned = [self._checked.pop(tuple(job), None) or self._plan(job) for job in jobs]
        known = self.study.by_identity()
        todo: dict[str, Planned] = {}
        for position, plan in enumerate(planned):
            self._planned.setdefault(plan.identity, plan)
            if plan.identity in todo or self._has_result(known.get(plan.identity)):
                continue
            number = self.study.next_number() + len(todo) if numbers is None else numbers[position]
            todo[plan.identity] = replace(plan, spec=replace(plan.spec, number=number))
        if self._count is None:
            print_plan(self.folder.name, len(jobs), len({plan.identity for plan in planned}), len(todo))
            self._launch(list(todo.values()), range(1, len(todo) + 1), len(todo))
        else:
            if not self._asked:
                self._tell_search(self._count, sum(self._has_result(known.get(plan.identity)) for plan in planned))
            first = self._asked + len(jobs) - len(todo) + 1
            self._asked += len(jobs)
            self._launch(list(todo.values()), range(first, self._asked + 1), self._count)
        self.study.refresh()
        known = self.study.by_identity()
        return [self._result(known.get(plan.identity)) for plan in planned]

    def _take(self) -> None:
        """Become the one sweep of the study, and see to what an earlier one has left."""
        executor: Any = getattr(self._launcher, "executor", None)  # first: if it cannot be had, no folder is made
        self.study.hold()
        if hasattr(executor, "cancel_waiting"):
            executor.cancel_waiting()
        self._look()
        for folder in self.study.mark_interrupted():
            print(f"{folder.name}: its process ended without a word; marked as interrupted", file=sys.stderr)
        for path in self.study.torn:
            print(f"Warning: {path} cannot be read; its run counts as interrupted", file=sys.stderr)

    def _look(self) -> None:
        """Read the records that are new; what a cluster still runs for an earlier sweep runs, whatever they say."""
        executor: Any = getattr(self._launcher, "executor", None)
        if hasattr(executor, "under_way"):
            self.study.elsewhere = {run.folder: run for run in executor.under_way()}
        self.study.refresh()

    def _plan(self, job: Sequence[str]) -> Planned:
        spec = self._composer.spec(job, 0)
        values, _ = configs(spec)
        kind = self._kind_of(spec, values) if self._kind_of is not None else None
        digest = self._digest(values)
        name = identity(values, digest)
        return Planned(replace(spec, identity=name, kind=kind), name, determining(values, digest))

    def _digest(self, values: Mapping[str, Any]) -> str | None:
        path = values["data"].get("path")
        if path is None or not Path(path).is_file():
            return None  # its reader will tell
        state = Path(path).stat()
        key = (str(path), state.st_mtime_ns, state.st_size)
        if key not in self._digests:
            self._digests[key] = data_digest(values)
        return self._digests[key]

    def _has_result(self, run: Run | None) -> bool:
        if run is None or (run.status == "diverged" and self._config.retry_diverged):
            return False
        return run.has_result or run.status == "running"

    def _tell_search(self, count: int, there: int) -> None:
        done = f"; {there} are there already; {max(0, count - there)} to run" if there else ""
        print(f"{self.folder.name}: a search of {count} trials{done}", flush=True)

    def _launch(self, planned: Sequence[Planned], places: Sequence[int], count: int) -> None:
        """Run jobs.

        Args:
            planned: The jobs.
            places: What their lines begin with, as in the 3 of `3/50`, in the order in which they end.
            count: What follows there.
        """
        if not planned:
            return
        answers = getattr(self._launcher, "answers", None)
        if answers is None:
            self._launch_elsewhere(planned)
            return
        jobs = answers([plan.spec for plan in planned])
        try:
            for done, (index, answer) in zip(places, jobs, strict=False):
                plan = planned[index]
                folder = self._settle(plan, answer)
                together = isinstance(answer, Done) and answer.batched and answer.error is None
                failed = not together and print_job(done, count, plan.spec.number, folder, self._config.monitor)
                if failed and self._config.fail_fast:
                    return
        finally:
            jobs.close()

    def _launch_elsewhere(self, planned: Sequence[Planned]) -> None:
        """Let a launcher that is not ours run the jobs; it knows overrides only."""
        first = planned[0].spec.number
        batches: list[list[Planned]] = [[]]
        for plan in planned:
            if self._config.fail_fast or plan.spec.number != first + len(batches[-1]):
                batches.append([])
                first = plan.spec.number
            batches[-1].append(plan)
        for batch in filter(None, batches):
            returns = self._launcher.launch(
                [list(plan.spec.overrides) for plan in batch], initial_job_idx=batch[0].spec.number
            )
            if self._config.fail_fast and any(r.status.name == "FAILED" for r in returns):
                return

    def _settle(self, plan: Planned, answer: Done | Lost) -> Path:
        """See to it that a job that did not return has a record that says why, and return its run folder."""
        if isinstance(answer, Lost):
            reason, folder = answer.reason, self._last_folder(plan)
        else:
            reason, folder = told(answer.error) if answer.error else "", Path(answer.folder or plan.spec.folder)
        if not reason:
            return folder
        status = "interrupted" if isinstance(answer, Lost) and reason.startswith("interrupted") else "failed"
        if not (folder / "run.json").exists():
            self._open(plan).finish(status, reason=reason, exit_code=1)
            return folder
        fields = Record.read(folder)
        if fields["status"] == "running":
            Record(folder, fields).finish(status, reason=reason, exit_code=1)
        return folder

    def _last_folder(self, plan: Planned) -> Path:
        """Return where a job ran that cannot tell: a cluster may have started it again, in another folder."""
        first = Path(plan.spec.folder)
        if not (first / "run.json").exists():
            return first
        self.study.refresh()
        folders = [run.folder for run in self.study.runs.values() if run.number == plan.spec.number]
        return max(folders, key=lambda folder: (folder / "run.json").stat().st_mtime_ns, default=first)

    def _open(self, plan: Planned) -> Record:
        """Write the record of a job that died before it could."""
        _, config = configs(plan.spec)
        return open_record(
            config,
            config,
            plan.identity,
            Path(plan.spec.folder),
            root=ROOT,
            overrides=plan.spec.overrides,
            hydra={"hydra": plain(plan.spec)["hydra"]},
            command=self._train.command,
            launcher=launcher_name(config["launcher"]),
            number=plan.spec.number,
        )

    def _result(self, run: Run | None) -> Result:
        if run is None:
            return Result("interrupted", None, None, "it was not run")
        value = (run.best or {}).get(self._config.monitor)
        value = float(value) if value is not None else None  # NaN and infinities are texts in a record
        return Result(run.status, value, run.folder, run.reason)

    def _end(self) -> None:
        self._look()
        self.study.mark_interrupted()
        known = self.study.by_identity()
        runs = [known.get(name) for name in self._planned]
        unasked = max(0, (self._count or 0) - self._asked)
        tally = Tally([run for run in runs if run is not None], missing=sum(run is None for run in runs) + unasked)
        best = tally.best(self._config.monitor, larger=self._config.mode == "max")
        border = on_border(self._numbers(best[0]), self._space) if best else []
        print_tally(tally, self.folder, best, self._config.monitor, border, command=self._again())
        self.study.end(counts=tally.counts())
        if tally.failed:
            self._train.exit_code = 1
        if self._config.report:
            from glassbox.config.report import report_sweep  # pandas takes a second

            report_sweep(self.folder)

    def _again(self) -> list[str]:
        """Return the command that runs what is missing: of a multirun without a study's name, with it."""
        command = list(self._train.command)
        named = any(word.startswith(("study=", "sweep=")) for word in command)
        return mask_command(command if named else [*command, f"study={self.folder.name}"])

    def _numbers(self, best: Run) -> dict[str, float]:
        """Return the searched numbers of the best run."""
        flat = self._planned[best.identity].flat
        keys = {key: flat.get(key, flat.get(f"optimizer.{key}")) for key in self._space}
        return {key: float(value) for key, value in keys.items() if isinstance(value, int | float)}
