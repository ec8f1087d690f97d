"""Names of runs and studies: readable, and never twice the same."""

import re
import secrets
from pathlib import Path

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
TAIL = 6
LONGEST = 80

# Decisions whose option says enough by itself; other keys are named, as in lr0.1.
GROUPS = ("data", "model", "init", "loss", "optimizer", "scheduler", "callbacks", "experiment", "debug")
# What changes no number is no part of a name.
SILENT = re.compile(
    r"(study|tags|notes|pictures|report|rerun|fail_fast|force|retry_diverged|launcher|sweep|logger|hydra"
    r"|trainer\.(accelerator|devices|strategy|num_nodes)|trainer$|local)\b.*"
)


def run_name(overrides: list[str]) -> str:
    """Return a name for a run: what its overrides choose, then a short unique tail.

    Args:
        overrides: Hydra overrides.

    Returns:
        At most 80 characters, all of them safe in a file name and in a W&B id.

    Example:
        >>> run_name(["optimizer=adam", "lr=1e-3", "data=moons", "logger=none"])[:-6]
        'adam-lr0.001-moons-'
        >>> run_name([])[:-6]
        'default-'
    """
    words = [word for word in map(_word, overrides) if word]
    stem = "-".join(words) or "default"
    return f"{stem[: LONGEST - TAIL - 1].rstrip('-._')}-{tail()}"


def with_new_tail(name: str) -> str:
    """Return a run's name with another tail.

    Args:
        name: The name of a run.

    Example:
        >>> with_new_tail("adam-lr0.001-k3x9qd")[:-6]
        'adam-lr0.001-'
    """
    return f"{name[: -TAIL - 1]}-{tail()}"


def study_name() -> str:
    """Return a name for a multirun that was given none.

    Example:
        >>> study_name().startswith("sweep-")
        True
    """
    from datetime import date

    return f"sweep-{date.today().isoformat()}-{tail()}"


def tail() -> str:
    """Return six characters from the system's source of randomness, which no seed touches.

    Example:
        >>> len(tail())
        6
    """
    return "".join(secrets.choice(ALPHABET) for _ in range(TAIL))


def shown_path(folder: Path) -> Path:
    """Return a path relative to the working directory where it lies below it, else as it is.

    Example:
        >>> shown_path(Path.cwd() / "outputs" / "demo").as_posix(), shown_path(Path("/elsewhere")).as_posix()
        ('outputs/demo', '/elsewhere')
    """
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def _word(override: str) -> str:
    """Return the part of a name that one override gives, or nothing."""
    key, _, value = override.lstrip("+~").partition("=")
    if SILENT.fullmatch(key) or not value:
        return ""
    key = key.split("@")[0]
    value = value.strip("'\"")
    if key.endswith("path"):
        value = Path(value).stem
    value = _number(value)
    short = value if key in GROUPS else key.rpartition(".")[2] + value
    return re.sub(r"[^A-Za-z0-9._-]+", "_", short).strip("_.-")[:30]


def _number(value: str) -> str:
    try:
        number = float(value)
    except ValueError:
        return value
    return f"{number:g}".replace("e+", "e") if value.lower() not in ("nan", "inf") else value
