"""From the config node `launcher` to the executor that it names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glassbox.config.schema import did_you_mean
from glassbox.errors import BadInput
from glassbox.sweep.executor import Executor

EXECUTORS = ("basic", "joblib", "submitit", "ray")


def make_executor(node: Mapping[str, Any], folder: Path) -> Executor:
    """Return the executor that a `launcher` node describes.

    Args:
        node: `executor`, and what its constructor takes; nothing means the warm worker.
        folder: The study's folder.

    Raises:
        BadInput: There is no such executor, its library is not installed, or it does not take an option.
    """
    options = {key: value for key, value in node.items() if key != "executor"}
    name = str(node.get("executor", "basic"))
    try:
        if name == "basic":
            from glassbox.sweep.worker import Worker

            return Worker(**options)
        if name == "joblib":
            from glassbox.sweep.joblib_executor import JoblibExecutor

            return JoblibExecutor(**options)
        if name == "submitit":
            from glassbox.sweep.submitit_executor import SubmititExecutor

            return SubmititExecutor(folder=folder / ".submitit", **options)
        if name == "ray":
            from glassbox.sweep.ray_executor import RayExecutor

            return RayExecutor(**options)
    except TypeError as error:
        raise BadInput(f"launcher: {error}; conf/launcher/ has what there is") from error
    near = did_you_mean(name, EXECUTORS)
    raise BadInput(f"launcher.executor={name}: no such executor{near} ({', '.join(EXECUTORS)})")
