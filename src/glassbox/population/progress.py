"""How far the populations of a sweep are: a count that processes share, and one bar over it."""

import ctypes
import multiprocessing
import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

done: Any = multiprocessing.get_context("fork").Value(ctypes.c_int64, 0)
"""Epochs of members that have been trained; shared by this process and those that it forks."""

EVERY = 10.0  # seconds between two lines where there is no terminal


class Bar:
    """One bar over members × epochs with the time left; where there is no terminal, a line now and then.

    It draws when it is told a number, so that no thread of it is there when a process is forked.

    Args:
        epochs: The epochs that all members have together.
        jobs: The jobs, those among them that run alone.

    Example:
        >>> with Bar(100, jobs=2) as bar:
        ...     bar.show(40, ended=0)
    """

    def __init__(self, epochs: int, jobs: int) -> None:
        console = Console()
        self._epochs, self._jobs = epochs, jobs
        self._progress: Progress | None = None
        self._told = time.monotonic()
        if epochs and console.is_terminal:
            columns = (
                TextColumn("epochs of all members"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[shown]}"),
                TimeRemainingColumn(),
            )
            self._progress = Progress(*columns, console=console, transient=True, auto_refresh=False)
            self._task = self._progress.add_task("", total=epochs, shown="")

    def __enter__(self) -> "Bar":
        done.value = 0
        if self._progress is not None:
            self._progress.start()
        return self

    def show(self, epochs: int, ended: int) -> None:
        """Move the bar.

        Args:
            epochs: Epochs that have been trained.
            ended: Jobs that have ended.
        """
        if self._progress is not None:
            shown = f"{ended}/{self._jobs} written"
            self._progress.update(self._task, completed=epochs, shown=shown, refresh=True)
        elif time.monotonic() - self._told >= EVERY:
            self._told = time.monotonic()
            part = f"{epochs / self._epochs:.0%} trained, " if self._epochs else ""
            print(f"{part}{ended}/{self._jobs} written", flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()
