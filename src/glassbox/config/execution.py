"""From the config node `launcher` to the executor that it names."""

import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from glassbox.errors import BadInput, did_you_mean
from glassbox.sweep.executor import Executor

# Name → the module, the class, and the package that it needs, which has an extra of its name.
EXECUTORS = {
    "vectorized": ("glassbox.config.vectorized", "Vectorized", None),
    "vectorized_slurm": ("glassbox.config.shards", "Shards", "submitit"),
    "basic": ("glassbox.sweep.worker", "Worker", None),
    "joblib": ("glassbox.sweep.joblib_executor", "JoblibExecutor", "joblib"),
    "submitit_local": ("glassbox.sweep.submitit_executor", "SubmititExecutor", "submitit"),
    "submitit_slurm": ("glassbox.sweep.submitit_executor", "SubmititExecutor", "submitit"),
    "ray": ("glassbox.sweep.ray_executor", "RayExecutor", "ray"),
}
# Where populations train, and what only shards on a cluster have.
PLACES = ("local", "slurm")
SHARDS = ("shards", "timeout_min", "cpus_per_task", "mem_gb")


def launcher_name(node: Mapping[str, Any]) -> str:
    """Return what records call a launcher: its executor, or `vectorized` with the place of its executor.

    Args:
        node: The config node `launcher`.

    Example:
        >>> launcher_name({"executor": "joblib"}), launcher_name({"name": "vectorized", "executor": "local"})
        ('joblib', 'vectorized')
        >>> launcher_name({"name": "vectorized", "executor": "slurm"})
        'vectorized_slurm'
    """
    name, executor = node.get("name"), str(node.get("executor", "vectorized"))
    if name is None:
        return executor
    return str(name) if executor == "local" else f"{name}_{executor}"


def check_launcher(node: Mapping[str, Any]) -> None:
    """Check that there is the executor that a `launcher` node names, and the library that it needs; nothing starts.

    Args:
        node: `executor`, and what its constructor takes; nothing means populations on this machine.

    Raises:
        BadInput: There is no such executor, or its library is not installed.
    """
    name, executor = launcher_name(node), str(node.get("executor", "vectorized"))
    if name not in EXECUTORS:
        names = EXECUTORS if node.get("name") is None else PLACES
        near = did_you_mean(executor, names)
        raise BadInput(f"launcher.executor={executor}: no such executor{near} ({', '.join(names)})")
    if name == "vectorized" and node.get("shards", 1) != 1:
        raise BadInput(f"launcher.shards={node['shards']}: shards are for a cluster, add launcher.executor=slurm")
    package = EXECUTORS[name][2]
    if package is not None and importlib.util.find_spec(package) is None:
        what = f"launcher={name}" if node.get("name") is None else f"launcher.executor={executor}"
        raise BadInput(f"{what} needs {package}: pip install 'glassbox[{package}]'")


def make_executor(node: Mapping[str, Any], folder: Path) -> Executor:
    """Return the executor that a `launcher` node describes.

    Args:
        node: `executor`, and what its constructor takes; nothing means populations on this machine.
        folder: The study's folder.

    Raises:
        BadInput: There is no such executor, its library is not installed, or it does not take an option.
    """
    check_launcher(node)
    name = launcher_name(node)
    unused = ("name", "executor", *(SHARDS if name == "vectorized" else ()))
    options = {key: value for key, value in node.items() if key not in unused}
    if name.startswith("vectorized"):
        options = {"folder": folder, **options}
    if name.startswith("submitit_"):
        options = {"folder": folder / ".submitit", "cluster": name.removeprefix("submitit_"), **options}
    module, kind, _ = EXECUTORS[name]
    make = getattr(importlib.import_module(module), kind)
    try:
        return cast("Executor", make(**options))
    except TypeError as error:
        raise BadInput(f"launcher: {error}; conf/launcher/ has what there is") from error
