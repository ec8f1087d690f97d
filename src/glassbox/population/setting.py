"""How a cohort is cut into chunks, and whether it pays to compile its program."""

import os
import shutil
from dataclasses import dataclass

LANES = 32
WIDTH = 512  # more members at once are no faster, and the first of them would be written later
SHARE = 0.25  # of the free memory: what tensors take is not all, and others need some
COMPILING = 20.0  # seconds for one cohort, at most
GAIN = 2e-6  # seconds that a compiled step of one member takes less


@dataclass(frozen=True)
class Setting:
    """What decides the last bits of a result beside the member itself; written down with a study.

    Attributes:
        width: Places of a chunk, a multiple of 32; those that have no member repeat one.
        varied: Hyper-parameters that differ between members, so that all have them as tensors; see `varied`.
        compiled: Whether a step goes through torch.compile.
        threads: Threads of torch.

    Example:
        >>> Setting(width=100)
        Traceback (most recent call last):
        ValueError: width=100 must be a multiple of 32
    """

    width: int
    varied: tuple[str, ...] = ()
    compiled: bool = False
    threads: int = 1

    def __post_init__(self) -> None:
        # A vector of the processor then holds members only, and none of them is computed in a rest of its own.
        if self.width % LANES or self.width < LANES:
            raise ValueError(f"width={self.width} must be a multiple of {LANES}")


@dataclass(frozen=True)
class Survey:
    """What is known of a cohort before it trains.

    Attributes:
        epochs: Epochs of each member.
        steps: Optimizer steps of each member.
        bytes: Memory that each member takes.
        free: Memory that is free, in bytes.
    """

    epochs: int
    steps: int
    bytes: int
    free: int


def decide(members: int, survey: Survey, varied: tuple[str, ...], max_members: int | None = None) -> Setting:
    """Return how a cohort trains.

    Args:
        members: How many members it has.
        survey: What is known of it.
        varied: The hyper-parameters in which they differ.
        max_members: Members that train at once, at most; None: as many as fit into the free memory.

    Example:
        >>> decide(1000, Survey(epochs=100, steps=1900, bytes=100_000, free=2**33), ("lr",))
        Setting(width=512, varied=('lr',), compiled=False, threads=1)
        >>> decide(1000, Survey(epochs=100, steps=1900, bytes=100_000, free=2**25), ("lr",)).width
        64
    """
    most = max_members or min(WIDTH, int(SHARE * survey.free) // survey.bytes)
    most = max(LANES, most // LANES * LANES)
    each = -(-members // -(-members // most))  # chunks of one size
    width = -(-each // LANES) * LANES
    return Setting(width, varied, pays(members * survey.steps) and has_compiler())


def pays(steps: int) -> bool:
    """Return whether a compiled program saves more time than its compiler takes.

    Args:
        steps: Optimizer steps of all members of a cohort together.

    Example:
        >>> pays(256 * 1_900), pays(4096 * 100_000)
        (False, True)
    """
    return steps * GAIN > COMPILING


def words(setting: Setting, steps: int) -> str:
    """Say whether programs are compiled, and why.

    Args:
        setting: How the cohorts train.
        steps: Optimizer steps of all their members together.

    Example:
        >>> words(Setting(width=256), steps=1_945_600)
        'not compiled: 1.9e+06 steps of a member are too few for it to pay'
    """
    if setting.compiled:
        return f"compiled first, which pays for {steps:.2g} steps of a member"
    if pays(steps) and not has_compiler():
        return "not compiled: there is no C++ compiler; with one such as g++ it would be faster"
    return f"not compiled: {steps:.2g} steps of a member are too few for it to pay"


def has_compiler() -> bool:
    """Return whether torch can compile: for a CPU it needs one of C++, for a GPU one of C, which comes with it."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++"))
