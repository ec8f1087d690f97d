"""Where things are: the project, its configs, its outputs; and the caches of libraries, kept below outputs/."""

import os
import tempfile
from pathlib import Path

from glassbox.errors import BadInput

ROOT = Path(__file__).resolve().parents[3]
CONF = ROOT / "conf"


def outputs() -> Path:
    """Return the folder that holds everything a run writes: `outputs/`, or what GLASSBOX_OUTPUTS names.

    Example:
        >>> outputs().name
        'outputs'
    """
    return Path(os.environ.get("GLASSBOX_OUTPUTS") or ROOT / "outputs").absolute()


def keep_caches_inside() -> None:
    """Point the caches and settings of libraries below outputs/.cache, unless the user has pointed them elsewhere."""
    cache = outputs() / ".cache"
    for variable, folder in {
        "MPLCONFIGDIR": "matplotlib",
        "WANDB_CACHE_DIR": "wandb",
        "WANDB_DATA_DIR": "wandb-data",
        "WANDB_CONFIG_DIR": "wandb-config",
        "WANDB_ARTIFACT_DIR": "wandb-artifacts",
        "TORCHINDUCTOR_CACHE_DIR": "torchinductor",
    }.items():
        os.environ.setdefault(variable, str(cache / folder))
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")


def check_writable() -> None:
    """Check that outputs/ can be written, by writing a file that goes away at once.

    Raises:
        BadInput: It cannot.
    """
    folder = outputs()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BadInput(
            f"Cannot write to {folder}: {error.strerror}; make it writable or set GLASSBOX_OUTPUTS to another folder"
        ) from error
