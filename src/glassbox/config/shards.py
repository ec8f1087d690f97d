"""`launcher=vectorized launcher.executor=slurm`: a study is cut into shards, and each trains on a node of its own."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hydra.core.utils import setup_globals

from glassbox.config.resolvers import register_resolvers
from glassbox.config.spec import Spec
from glassbox.config.vectorized import Vectorized
from glassbox.config.work import Done, Work, in_new_folder
from glassbox.errors import GlassboxError
from glassbox.sweep.executor import Lost
from glassbox.sweep.study import Run, Study
from glassbox.sweep.submitit_executor import SubmititExecutor

Answer = tuple[int, Any]  # index of a job, and `Done` or `Lost`
T = TypeVar("T")


class Shards:
    """Cut the jobs of a sweep into shards, each a job of a Slurm array that trains its share as `Vectorized` does.

    Args:
        folder: The study's folder.
        shards: How many.
        max_members: Members that train at once on a node; None: as many as fit into its free memory.
        **slurm: What `SubmititExecutor` takes.
    """

    def __init__(self, folder: Path, shards: int = 1, max_members: int | None = None, **slurm: Any) -> None:
        self._folder = folder
        self._shards = shards
        self._max_members = max_members
        self._cluster = SubmititExecutor(folder / ".submitit", "slurm", launcher="vectorized", **slurm)

    def cancel_waiting(self) -> None:
        """Cancel the shards of an earlier sweep that have not begun yet."""
        self._cluster.cancel_waiting()

    def under_way(self) -> list[Run]:
        """Return the jobs of the shards of an earlier sweep that still run."""
        payloads = self._cluster.running()
        specs = [spec for payload in payloads for spec in (payload if isinstance(payload, list) else [payload])]
        return [Run(Path(spec.folder), spec.identity, "running", number=spec.number) for spec in specs]

    def run(self, function: Work, payloads: Sequence[Spec]) -> Iterator[Answer]:
        """Yield (index of the job, `Done` or `Lost`) as shards end."""
        specs = list(payloads)
        shards = cut([kind.cohort if kind.alone is None else None for kind in map(function.kind, specs)], self._shards)
        shard = Shard(function, self._folder, self._max_members)
        print(f"{len(specs)} jobs in {len(shards)} shards", flush=True)
        jobs: Any = self._cluster.run(shard, [[specs[index] for index in indexes] for indexes in shards])
        with closing(jobs):
            for ended, (number, answers) in enumerate(jobs, 1):
                indexes = shards[number]
                if isinstance(answers, Lost):
                    answers = [(place, answers) for place in range(len(indexes))]
                print(f"{ended}/{len(shards)} shards: one of {len(indexes)} jobs has ended", flush=True)
                yield from ((indexes[place], answer) for place, answer in answers)

    def close(self) -> None:
        """No process waits for more jobs."""


@dataclass(frozen=True)
class Shard:
    """What a node does with its share of the jobs.

    Attributes:
        work: What Hydra was given to run.
        folder: The study's folder.
        max_members: As for `Vectorized`.
    """

    work: Work
    folder: Path
    max_members: int | None

    def __call__(self, specs: Sequence[Spec]) -> list[Answer]:
        """Train the jobs; one that Slurm starts again does what has not ended yet.

        Args:
            specs: The jobs.

        Returns:
            (Place of the job, `Done` or `Lost`) of each.
        """
        setup_globals()
        register_resolvers()
        again = os.environ.get("SLURM_RESTART_COUNT", "0") != "0"
        answers: list[Answer] = list(_ended(self.folder, specs)) if again else []
        todo = sorted(set(range(len(specs))) - {place for place, _ in answers})
        population = Vectorized(self.folder, self.max_members)
        # A file of its own for each shard: no other writes into it.
        population.plan = self.folder / f"population-{os.environ['SLURM_JOB_ID']}.json"
        del population.writers[int(os.environ.get("SLURM_CPUS_PER_TASK", 1)) :]
        try:
            ends: Any = population.run(self.work, [in_new_folder(specs[place]) for place in todo])
            with closing(ends):
                return answers + [(todo[index], answer) for index, answer in ends]
        finally:
            population.close()


def cut(kinds: Sequence[str | None], shards: int) -> list[list[int]]:
    """Cut jobs into shards of one size, so that jobs of one kind are on few of them.

    Args:
        kinds: What the jobs that can train together with a job have in common; None of one that runs alone.
        shards: How many.

    Returns:
        The indexes of each shard's jobs; as many shards as asked for, or as there are jobs.

    Example:
        >>> cut(["adam", "sgd", "adam", "sgd", None, None], 2)
        [[0, 2, 5], [1, 3, 4]]
    """
    groups: dict[str | None, list[int]] = {}
    for index, kind in enumerate(kinds):
        groups.setdefault(kind, []).append(index)
    many = [group for kind, group in groups.items() if kind is not None and len(group) > 1]
    together = [index for group in many for index in group]
    alone = sorted(set(range(len(kinds))) - set(together))
    # The first pieces of one are longer, and the last of the other.
    shares = zip(_pieces(together, shards), reversed(_pieces(alone, shards)), strict=True)
    return [[*members, *others] for members, others in shares if members or others]


def _pieces(items: Sequence[T], count: int) -> list[list[T]]:
    """Return so many pieces of a list, of one size or the first ones longer by one."""
    size, rest = divmod(len(items), count)
    ends = [number * size + min(number, rest) for number in range(count + 1)]
    return [list(items[ends[number] : ends[number + 1]]) for number in range(count)]


def _ended(folder: Path, specs: Sequence[Spec]) -> Iterator[Answer]:
    """Yield the answers of jobs that have ended by themselves before their shard was started again."""
    study = Study(folder)
    study.refresh()
    places = {spec.number: place for place, spec in enumerate(specs)}
    for run in study.runs.values():
        if run.number in places and (run.has_result or run.status == "failed"):
            yield places[run.number], _done(run)


def _done(run: Run) -> Done:
    error = GlassboxError(f"{run.folder}: {run.reason}") if run.status == "failed" else None
    return Done(error=error, folder=str(run.folder), batched=True)
