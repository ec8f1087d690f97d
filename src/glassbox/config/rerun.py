"""`rerun=<run folder>`: the recorded config once more, exactly, whatever conf/ says today."""

from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from glassbox.config.job import data_digest
from glassbox.config.place import CONF
from glassbox.config.plain import resolved
from glassbox.config.schema import show
from glassbox.errors import BadInput
from glassbox.tracking.identity import determining, identity
from glassbox.tracking.record import Record


def recorded_config(folder: Path) -> DictConfig:
    """Return the config that a run folder holds.

    Args:
        folder: A run folder.

    Raises:
        BadInput: It is no run folder.
    """
    Record.read(folder)
    cfg = OmegaConf.load(folder / ".hydra" / "config.yaml")
    assert isinstance(cfg, DictConfig)
    return cfg


def rerun_config(folder: Path, cfg: DictConfig, keys: list[str]) -> DictConfig:
    """Return the recorded config with what the command line changes beside it: a logger, a device, a note.

    Args:
        folder: The run folder to repeat.
        cfg: The config that the command line composes.
        keys: The keys and groups that the command line names.

    Raises:
        BadInput: The folder is no run, a key would change the numbers, or the data file is no longer the same.
    """
    recorded = recorded_config(folder)
    merged = recorded.copy()
    for key in keys:
        if (CONF / key).is_dir():
            merged[key] = cfg[key]
        else:
            OmegaConf.update(merged, key, OmegaConf.select(cfg, key), force_add=True)
    merged.rerun = cfg.rerun
    values = resolved(merged)
    digest = data_digest(values)
    if identity(values, digest) != Record.read(folder)["identity"]:
        raise BadInput(_difference(folder, resolved(recorded), values, digest))
    return merged


def _difference(folder: Path, recorded: Mapping[str, object], values: Mapping[str, object], digest: str | None) -> str:
    old, new = determining(recorded, digest), determining(values, digest)
    for key in sorted(set(old) | set(new)):
        if old.get(key) != new.get(key):
            return (
                f"{key}={show(new.get(key))} would change the numbers of {folder} ({key}={show(old.get(key))}): "
                "a rerun repeats a run; for another one leave rerun= out"
            )
    return f"rerun={folder}: its data file has changed since; bring the old file back or start a new run"
