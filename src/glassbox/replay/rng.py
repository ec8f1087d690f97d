"""The state of all random number generators: to draw the same numbers again, and to leave no trace of having drawn."""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


def capture() -> dict[str, Any]:
    """Return the state of the generators of torch (CPU, and CUDA where it is in use), Python and numpy.

    Returns:
        Generator → its state, for `restore`; numpy only where something has imported it.

    Example:
        >>> state = capture()
        >>> first = torch.rand(1)
        >>> restore(state)
        >>> bool(torch.rand(1) == first)
        True
    """
    state: dict[str, Any] = {"torch": torch.get_rng_state(), "python": random.getstate()}
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        state["cuda"] = torch.cuda.get_rng_state_all()
    if "numpy" in sys.modules:
        state["numpy"] = sys.modules["numpy"].random.get_state()
    return state


def restore(state: dict[str, Any]) -> None:
    """Set all generators to a state.

    Args:
        state: What `capture` returned.

    Example:
        >>> state = capture()
        >>> first = random.random()
        >>> restore(state)
        >>> random.random() == first
        True
    """
    torch.set_rng_state(state["torch"])
    random.setstate(state["python"])
    if "cuda" in state:
        torch.cuda.set_rng_state_all(state["cuda"])
    if "numpy" in state:
        sys.modules["numpy"].random.set_state(state["numpy"])


@contextmanager
def preserved() -> Iterator[None]:
    """Set all generators back at the end, whatever was drawn inside.

    Example:
        >>> before = torch.get_rng_state()
        >>> with preserved():
        ...     number = torch.rand(1)
        >>> torch.equal(torch.get_rng_state(), before)
        True
    """
    state = capture()
    try:
        yield
    finally:
        restore(state)
