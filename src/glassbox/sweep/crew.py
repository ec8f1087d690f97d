"""Several workers with tasks that wait for them, and one place that hears of all their answers."""

from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from typing import Any, NamedTuple

from glassbox.sweep.worker import Worker


class Task(NamedTuple):
    """Something to do for one worker.

    Attributes:
        function: What to do.
        payload: With what.
        tag: Whatever tells its answer from others.

    Example:
        >>> Task(abs, -2, "minus two").tag
        'minus two'
    """

    function: Callable[[Any], Any]
    payload: Any
    tag: Any


class Crew:
    """Workers that take tasks from one queue, in order.

    Args:
        workers: The workers; all idle.

    Attributes:
        waiting: The tasks that no worker has begun.

    Example:
        >>> crew = Crew([Worker(), Worker()])
        >>> crew.waiting.extend(Task(abs, number, number) for number in (-1, -2, -3))
        >>> ends = []
        >>> while crew.begin():
        ...     ends += ended([crew])
        >>> sorted(ends)
        [(-3, 3), (-2, 2), (-1, 1)]
        >>> crew.end()
    """

    def __init__(self, workers: Sequence[Worker]) -> None:
        self.workers = workers
        self.waiting: deque[Task] = deque()
        self._tags: dict[Worker, Any] = {}

    def begin(self) -> bool:
        """Give waiting tasks to idle workers; whether any works now."""
        for worker in self.workers:
            if worker not in self._tags and self.waiting:
                task = self.waiting.popleft()
                self._tags[worker] = task.tag
                worker.begin(task.function, task.payload)
        return bool(self._tags)

    def end(self) -> None:
        """End what runs, in order, and forget what waits."""
        self.waiting.clear()
        for worker in self._tags:
            worker.terminate()
        for worker in self._tags:
            worker.close()
        self._tags.clear()


def ended(crews: Sequence[Crew], timeout: float | None = None) -> list[tuple[Any, Any]]:
    """Wait until a task of some crews has ended and return (its tag, what the function returned or `Lost`).

    Args:
        crews: The crews; one of them works.
        timeout: Seconds to wait at most.

    Returns:
        All that have ended; none if the time was over first.

    Example:
        >>> crew = Crew([Worker()])
        >>> crew.waiting.append(Task(abs, -2, "minus two"))
        >>> crew.begin(), ended([crew]), crew.begin()
        (True, [('minus two', 2)], False)
        >>> crew.workers[0].close()
    """
    busy = {worker.pipe: (crew, worker) for crew in crews for worker in crew._tags}
    return [(crew._tags.pop(worker), worker.answer()) for crew, worker in map(busy.get, wait(busy, timeout))]  # type: ignore[misc,arg-type]
