"""Where a run lives, and the resolvers that conf/hydra/run.yaml says it with."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from glassbox.config.place import outputs
from glassbox.tracking.name import run_name, with_new_tail

# `hydra.sweep.dir` and `hydra.sweep.subdir`, as `run_folder` computes them.
SWEEP_DIR, SWEEP_SUBDIR = "${glassbox.outputs:}/${study}", "${glassbox.run_name:${hydra.overrides.task}}"


def register_resolvers() -> None:
    """Register `glassbox.outputs` and `glassbox.run_name`; every process that resolves a config needs them."""
    OmegaConf.register_new_resolver("glassbox.outputs", lambda: str(outputs()), replace=True)
    OmegaConf.register_new_resolver("glassbox.run_name", _run_name, replace=True)


def run_folder(study: str, overrides: Iterable[str]) -> Path:
    """Return a new folder for a run, as `conf/hydra/run.yaml` says it; nothing is made.

    Args:
        study: The study.
        overrides: Hydra overrides.

    Example:
        >>> run_folder("demo", ["lr=0.1"]).parent == outputs() / "demo"
        True
    """
    return Path(f"{outputs()}/{study}/{_run_name(overrides)}").absolute()


def _run_name(overrides: Iterable[Any]) -> str:
    texts = [str(text) for text in overrides]
    for text in texts:
        key, _, value = text.partition("=")
        if key == "rerun" and value not in ("", "null"):
            return with_new_tail(Path(value).name)
    return run_name(texts)
