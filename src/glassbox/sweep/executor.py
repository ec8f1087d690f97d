"""Where the jobs of a sweep run: what every executor can do, and what is said of a job whose process died."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Lost:
    """A job whose process died before it could answer.

    Attributes:
        reason: What is known of its end.

    Example:
        >>> Lost("killed by SIGKILL, perhaps out of memory").reason
        'killed by SIGKILL, perhaps out of memory'
    """

    reason: str


class Executor(Protocol):
    """Run one function on many payloads, in processes of its own."""

    def run(self, function: Callable[[Any], Any], payloads: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Yield (index of the payload, what the function returned or `Lost`) as jobs end.

        Closing the iterator, or an exception that passes through it, cancels what has not started and ends what runs:
        SIGTERM first, so that a run can write down that it was interrupted.

        Args:
            function: It returns what went wrong instead of raising it; its process may die all the same.
            payloads: One per job.
        """

    def close(self) -> None:
        """End the processes."""
