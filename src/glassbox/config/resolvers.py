"""The resolvers that conf/hydra/run.yaml uses for the run folder."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from glassbox.config.place import outputs
from glassbox.tracking.name import run_name, with_new_tail


def register_resolvers() -> None:
    """Register `glassbox.outputs` and `glassbox.run_name`; every process that resolves a config needs them."""
    OmegaConf.register_new_resolver("glassbox.outputs", lambda: str(outputs()), replace=True)
    OmegaConf.register_new_resolver("glassbox.run_name", _run_name, replace=True)


def _run_name(overrides: Any) -> str:
    texts = [str(text) for text in overrides]
    for text in texts:
        key, _, value = text.partition("=")
        if key == "rerun" and value not in ("", "null"):
            return with_new_tail(Path(value).name)
    return run_name(texts)
