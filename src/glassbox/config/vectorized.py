"""`launcher=vectorized`: jobs that differ in numbers and seeds alone train together, all others one by one."""

import importlib
import os
import shutil
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from glassbox.config.member import Configs, Members, Opening, open_records, survey, train, write_runs
from glassbox.config.spec import Spec
from glassbox.config.work import Work
from glassbox.population.plan import Chunk, Plan
from glassbox.population.progress import Bar, done
from glassbox.population.setting import Setting, Survey, decide, words
from glassbox.process import TERMINATED
from glassbox.sweep.crew import Crew, Task, ended
from glassbox.sweep.executor import Lost
from glassbox.sweep.worker import Worker
from glassbox.tracking.record import Record

POLL = 0.25  # seconds between two looks at the progress
AHEAD = 2  # chunks that are prepared, or whose members wait to be written
BATCH = 16  # members that a writer gets at once


class Vectorized:
    """Train the jobs of a sweep as populations: one process trains, others write the run folders.

    A job goes three ways: a writer opens its record, the trainer trains it in a chunk of its cohort, and a writer
    writes what came of it, while the next chunk trains. Whatever cannot train with others runs one by one in the
    trainer's process, as `launcher=basic` would do it.

    Args:
        folder: The study's folder.
        max_members: Members that train at once; None: as many as fit into the free memory.
    """

    def __init__(self, folder: Path, max_members: int | None = None) -> None:
        self.folder = folder
        self.max_members = max_members
        self.plan = folder / "population.json"
        self.surveys: dict[str, Survey | str] = {}  # what is known of cohorts
        self.told = False
        self.writers = [Worker() for _ in range(min(8, len(os.sched_getaffinity(0))))]
        self._other = Worker()

    @cached_property
    def worker(self) -> Worker:
        """The process that trains; what all processes need is imported here, once, before they are forked."""
        for module in ("glassbox.population.artefact", "glassbox.population.memory", "sklearn.utils"):
            importlib.import_module(module)
        return Worker()

    def run(self, function: Work, payloads: Iterable[Spec]) -> Iterator[tuple[int, Any]]:
        """Yield (index of the job, `Done` or `Lost`) as jobs end."""
        if function.command is None:  # the task function of another program
            yield from self._other.run(function, payloads)
            return
        with closing(_Sweep(self, function, list(payloads), function.command)) as sweep:
            yield from sweep.answers()

    def close(self) -> None:
        """End the processes."""
        for worker in (self.worker, self._other, *self.writers) if "worker" in vars(self) else (self._other,):
            worker.close()


@dataclass
class _Group:
    """The members of one chunk that train now.

    Attributes:
        chunk: The chunk.
        indexes: The jobs.
        configs: Index of the job → its config, to compute with and to write down.
        unopened: Batches whose records are still to be opened.
    """

    chunk: Chunk
    indexes: list[int]
    configs: dict[int, Configs] = field(default_factory=dict)
    unopened: int = 0


class _Sweep:
    """One call of `run`: what waits, and who does what.

    Args:
        executor: It has the processes.
        work: What Hydra was given to run.
        specs: The jobs.
        command: The command, word by word.
    """

    def __init__(self, executor: Vectorized, work: Work, specs: Sequence[Spec], command: Sequence[str]) -> None:
        self._executor = executor
        self._command = command
        self._work = work
        self._specs = specs
        self._trainer, self._writers = Crew([executor.worker]), Crew(executor.writers)
        self._alone: deque[int] = deque()
        self._groups: deque[_Group] = deque()
        self._ahead = 0  # chunks that are being opened or trained
        self._unwritten = 0  # members that wait to be written
        self._ended = 0
        self._open: set[int] = set()  # jobs that have a record that says `running`

    def answers(self) -> Iterator[tuple[int, Any]]:
        """Yield (index of the job, `Done` or `Lost`) as jobs end."""
        epochs = self._sort()
        crews = self._trainer, self._writers
        with Bar(epochs, len(self._specs)) as bar:
            while self._go_on():
                for (handle, *about), answer in ended(crews, POLL):
                    for index, end in handle(answer, *about):
                        self._open.discard(index)
                        self._ended += 1
                        yield index, end
                bar.show(done.value, self._ended)

    def close(self) -> None:
        """End what runs, and write into open records that they were interrupted."""
        self._trainer.end()
        self._writers.end()
        for index in self._open:
            folder = Path(self._specs[index].folder)
            fields = Record.read(folder) if (folder / "run.json").exists() else {"status": "none"}
            if fields["status"] == "running":
                Record(folder, fields).finish("interrupted", reason="SIGTERM", exit_code=TERMINATED)

    def _sort(self) -> int:
        """Find the cohorts and their chunks, and tell; the epochs that all members have together."""
        cohorts: dict[str, list[int]] = {}
        own: dict[str, dict[str, set[str]]] = {}
        alone: Counter[str] = Counter()
        for index, kind in enumerate(map(self._work.kind, self._specs)):
            if kind.alone is not None:
                alone[kind.alone] += 1
                self._alone.append(index)
                continue
            cohorts.setdefault(kind.cohort, []).append(index)
            for name, value in kind.numbers.items():
                own.setdefault(kind.cohort, {}).setdefault(name, set()).add(repr(value))
        plan, epochs = Plan(self._executor.plan), 0
        together: dict[Setting, tuple[int, int]] = {}
        for cohort, indexes in cohorts.items():
            lone = len(indexes) == 1 and not plan.knows(cohort, self._specs[indexes[0]].identity)
            surveyed = "no other is of its kind" if lone else self._survey(cohort, indexes)
            if not isinstance(surveyed, Survey):
                alone[surveyed] += len(indexes)
                self._alone.extend(indexes)
                continue
            epochs += surveyed.epochs * len(indexes)
            names = {self._specs[index].identity: index for index in indexes}
            varied = tuple(name for name, found in own[cohort].items() if len(found) > 1)
            decision = partial(decide, len(names), surveyed, varied, self._executor.max_members)
            for chunk, here in plan.place(cohort, list(names), decision):
                self._groups.append(_Group(chunk, [names[name] for name in here]))
                setting = replace(chunk.setting, varied=())
                members, steps = together.get(setting, (0, 0))
                together[setting] = members + len(here), steps + surveyed.steps * len(here)
        if len(self._specs) > 1 and not self._executor.told:  # once, not for each batch of a search
            self._executor.told = True
            _tell(together, alone)
        return epochs

    def _survey(self, cohort: str, indexes: Sequence[int]) -> Survey | str:
        """Return what a cohort needs, or why its members cannot train together."""
        known = self._executor.surveys
        if cohort not in known:
            ((_, answer),) = self._executor.worker.run(survey, [self._specs[indexes[0]]])
            known[cohort] = answer.reason if isinstance(answer, Lost) else answer
        return known[cohort]

    def _go_on(self) -> bool:
        """Prepare the next chunk when it is time, and give idle workers something to do; whether any works."""
        while self._groups and self._ahead < AHEAD and self._unwritten <= AHEAD * self._groups[0].chunk.setting.width:
            group = self._groups.popleft()
            self._ahead += 1
            indexes = group.indexes
            batches = [indexes[first : first + BATCH] for first in range(0, len(indexes), BATCH)]
            group.unopened = len(batches)
            for batch in batches:
                task = Opening(self._command, [self._specs[index] for index in batch])
                self._open.update(batch)
                self._writers.waiting.appendleft(Task(open_records, task, (self._opened, group, batch)))
        if not (self._groups or self._ahead):
            while self._alone:
                index = self._alone.popleft()
                self._trainer.waiting.append(Task(self._work, self._specs[index], (self._end, index)))
        return any([self._trainer.begin(), self._writers.begin()])

    def _opened(self, answer: Any, group: _Group, batch: Sequence[int]) -> Iterator[tuple[int, Any]]:
        """Train a chunk when all its records are open; those that could not be opened have ended."""
        group.unopened -= 1
        if isinstance(answer, Lost):
            group.indexes = [index for index in group.indexes if index not in batch]
            yield from ((index, answer) for index in batch)
        else:
            group.configs.update(zip(batch, answer, strict=True))
        if group.unopened == 0 and not group.indexes:
            self._ahead -= 1
        elif group.unopened == 0:
            specs = [self._specs[index] for index in group.indexes]
            members = Members(specs, [group.configs[index][0] for index in group.indexes], group.chunk)
            self._trainer.waiting.append(Task(train, members, (self._trained, group)))

    def _trained(self, answer: Any, group: _Group) -> Iterator[tuple[int, Any]]:
        """Let writers write what came of the members of a chunk; a member that only ran into trouble runs alone."""
        self._ahead -= 1
        if isinstance(answer, Lost):
            yield from ((index, answer) for index in group.indexes)
            return
        trained = []
        for index, one in zip(group.indexes, answer, strict=True):
            if isinstance(one, str):
                print(f"#{self._specs[index].number} runs alone: {one}", flush=True)
                shutil.rmtree(self._specs[index].folder)
                self._open.discard(index)
                self._alone.append(index)
            else:
                trained.append((index, one))
        self._unwritten += len(trained)
        for first in range(0, len(trained), BATCH):
            batch = trained[first : first + BATCH]
            task = [(one, group.configs[index]) for index, one in batch]
            self._writers.waiting.append(Task(write_runs, task, (self._written, [index for index, _ in batch])))

    def _written(self, answer: Any, batch: Sequence[int]) -> Iterator[tuple[int, Any]]:
        self._unwritten -= len(batch)
        answers = [answer] * len(batch) if isinstance(answer, Lost) else answer
        yield from zip(batch, answers, strict=True)

    def _end(self, answer: Any, index: int) -> Iterator[tuple[int, Any]]:
        yield index, answer


def _tell(together: Mapping[Setting, tuple[int, int]], alone: Mapping[str, int]) -> None:
    """Say how the jobs train, and why some of them train alone.

    Args:
        together: Setting → members, and their optimizer steps together.
        alone: Reason → jobs.
    """
    for setting, (members, steps) in together.items():
        print(f"{members} train together, up to {setting.width} at once; {words(setting, steps)}")
    for reason, count in alone.items():
        print(f"{count} one by one: {reason}")
    sys.stdout.flush()
