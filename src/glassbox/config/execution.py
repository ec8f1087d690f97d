"""From the config node `launcher` to the executor that it names."""

import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from glassbox.config.schema import did_you_mean
from glassbox.errors import BadInput
from glassbox.sweep.executor import Executor

# Name → the module below glassbox.sweep, the class, and the package that it needs, which has an extra of its name.
EXECUTORS = {
    "basic": ("worker", "Worker", None),
    "joblib": ("joblib_executor", "JoblibExecutor", "joblib"),
    "submitit_local": ("submitit_executor", "SubmititExecutor", "submitit"),
    "submitit_slurm": ("submitit_executor", "SubmititExecutor", "submitit"),
    "ray": ("ray_executor", "RayExecutor", "ray"),
}


def check_launcher(node: Mapping[str, Any]) -> None:
    """Check that there is the executor that a `launcher` node names, and the library that it needs; nothing starts.

    Args:
        node: `executor`, and what its constructor takes; nothing means the warm worker.

    Raises:
        BadInput: There is no such executor, or its library is not installed.
    """
    name = str(node.get("executor", "basic"))
    if name not in EXECUTORS:
        near = did_you_mean(name, EXECUTORS)
        raise BadInput(f"launcher.executor={name}: no such executor{near} ({', '.join(EXECUTORS)})")
    package = EXECUTORS[name][2]
    if package is not None and importlib.util.find_spec(package) is None:
        raise BadInput(f"launcher={name} needs {package}: pip install 'glassbox[{package}]'")


def make_executor(node: Mapping[str, Any], folder: Path) -> Executor:
    """Return the executor that a `launcher` node describes.

    Args:
        node: `executor`, and what its constructor takes; nothing means the warm worker.
        folder: The study's folder.

    Raises:
        BadInput: There is no such executor, its library is not installed, or it does not take an option.
    """
    check_launcher(node)
    options = {key: value for key, value in node.items() if key != "executor"}
    name = str(node.get("executor", "basic"))
    if name.startswith("submitit_"):
        options = {"folder": folder / ".submitit", "cluster": name.removeprefix("submitit_"), **options}
    module, kind, _ = EXECUTORS[name]
    make = getattr(importlib.import_module(f"glassbox.sweep.{module}"), kind)
    try:
        return cast("Executor", make(**options))
    except TypeError as error:
        raise BadInput(f"launcher: {error}; conf/launcher/ has what there is") from error
