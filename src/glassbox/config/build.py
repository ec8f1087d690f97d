"""Build objects from a config: the `_target_` convention of Hydra, with a list of what each group accepts.

Three gates, in this order, so that a config from somebody else can be looked at without being run:

1. `check_targets` reads names only: is `_target_` where a group accepts one, and is its package trusted?
2. `find` imports the module and checks what the name stands for: a subclass, or a function of an exact module.
3. `build` binds the arguments to the signature, then calls.
"""

import importlib
import inspect
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from glassbox.config.schema import show
from glassbox.errors import BadInput, did_you_mean

TRUSTED = ("torch", "lightning", "torchmetrics", "glassbox")
DOTTED = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+")
ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Accept:
    """What one group accepts as `_target_`.

    Attributes:
        classes: Dotted names of classes; a subclass of any of them is accepted.
        modules: Modules whose own functions are accepted, with their submodules if they are ours.
        later: Whether the call comes later, with arguments that only the run knows (parameters of the net, a weight).

    Example:
        >>> Accept(classes=("torch.nn.Module",), modules=("glassbox.data",)).words
        'a subclass of torch.nn.Module or a function of glassbox.data'
    """

    classes: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    later: bool = False

    @property
    def words(self) -> str:
        """Say what is accepted."""
        parts = [f"a subclass of {name}" for name in self.classes]
        return " or ".join(parts + [f"a function of {name}" for name in self.modules])


ACCEPTS: dict[str, Accept] = {
    "data": Accept(classes=("lightning.pytorch.LightningDataModule",), modules=("glassbox.data",)),
    "model": Accept(classes=("torch.nn.Module",)),
    "init": Accept(modules=("torch.nn.init", "glassbox.init"), later=True),
    "loss": Accept(classes=("torch.nn.Module",)),
    "optimizer": Accept(classes=("torch.optim.Optimizer",), later=True),
    "scheduler": Accept(
        classes=("torch.optim.lr_scheduler.LRScheduler",), modules=("glassbox.training.schedule",), later=True
    ),
    "trainer": Accept(classes=("lightning.pytorch.Trainer",)),
    "logger": Accept(modules=("glassbox.tracking",), classes=("glassbox.tracking.metrics_csv.MetricsCsv",)),
    "callbacks": Accept(classes=("lightning.pytorch.callbacks.Callback",)),
}


@cache
def trusted_packages() -> tuple[str, ...]:
    """Return the packages that a `_target_` may name: ours, and those of `[tool.glassbox]` in pyproject.toml.

    Example:
        >>> "torch" in trusted_packages(), "os" in trusted_packages()
        (True, False)
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return TRUSTED + tuple(project.get("tool", {}).get("glassbox", {}).get("trusted_packages", ()))


def check_targets(config: Mapping[str, Any]) -> None:
    """Check every `_target_` of a config by its name alone: nothing is imported.

    Args:
        config: The config as plain containers.

    Raises:
        BadInput: A `_target_` stands where none is accepted, is no dotted name, or its package is not trusted.

    Example:
        >>> check_targets({"model": {"_target_": "glassbox.model.TinyNet"}})
    """
    for path, key, value in _special_keys(config, ()):
        where = ".".join([*path, key])
        if not path or path[0] not in ACCEPTS:
            raise BadInput(f"{where}={show(value)}: nothing is built here; `_target_` belongs to {', '.join(ACCEPTS)}")
        if key == "_partial_" and ACCEPTS[path[0]].later and value is True:
            continue
        if key != "_target_":
            raise BadInput(f"{where}={show(value)}: of Hydra's special keys only `_target_` is used here")
        if value is None and len(path) == 1:
            continue
        if not isinstance(value, str) or not DOTTED.fullmatch(value):
            raise BadInput(f"{where}={show(value)}: must be a dotted name such as torch.optim.Adam")
        package = value.split(".")[0]
        if package not in trusted_packages():
            raise BadInput(
                f"{where}={value}: package '{package}' is not trusted; trusted are {', '.join(trusted_packages())}. "
                f"If it is yours, add it to trusted_packages under [tool.glassbox] in pyproject.toml"
            )


def find(group: str, target: str) -> Callable[..., Any]:
    """Import what a `_target_` names and check that its group accepts it.

    Args:
        group: The config group, a key of `ACCEPTS`.
        target: A dotted name that has passed `check_targets`.

    Returns:
        The class or function.

    Raises:
        BadInput: There is no such name, or it is not what the group accepts.

    Example:
        >>> find("optimizer", "torch.optim.SGD").__name__
        'SGD'
    """
    module_name, _, name = target.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise BadInput(f"{group}._target_={target}: there is no module {error.name!r}") from error
    found = getattr(module, name, None)
    if found is None:
        raise BadInput(f"{group}._target_={target}: no such name{did_you_mean(name, dir(module))}")
    accept = ACCEPTS[group]
    if inspect.isclass(found):
        if any(issubclass(found, _class(base)) for base in accept.classes) or _is_from(found, accept.modules):
            return found
    elif inspect.isfunction(found) and accept.modules:
        mine = tuple(p for p in trusted_packages() if p not in TRUSTED)
        if _is_from(found, accept.modules) or _is_from(found, mine):
            return found
    raise BadInput(f"{group}._target_={target}: must be {accept.words}")


def build(group: str, node: Mapping[str, Any] | None, *arguments: Any, where: str = "", **extra: Any) -> Any:
    """Build what a group's config names.

    Args:
        group: The config group, a key of `ACCEPTS`.
        node: The group's config: `_target_` and keyword arguments; without `_target_` nothing is built.
        *arguments: Positional arguments that only the run knows.
        where: The name of the node in messages, if it is not the group's.
        **extra: Keyword arguments that only the run knows, passed where the signature has their name.

    Returns:
        The object; for a group whose call comes later, a `functools.partial`; None without a `_target_`.

    Raises:
        BadInput: The target is not accepted, or refuses its arguments.

    Example:
        >>> build("model", {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 1})
        Linear(in_features=2, out_features=1, bias=True)
    """
    if not node or node.get("_target_") is None:
        return None
    where = where or group
    target = find(group, node["_target_"])
    given = {key: _nested(group, f"{where}.{key}", value) for key, value in node.items() if key[0] != "_"}
    signature = inspect.signature(target)
    names = signature.parameters
    extra = {key: value for key, value in extra.items() if key in names and key not in given}
    if not any(p.kind is p.VAR_KEYWORD for p in names.values()):
        for key in given:
            if key not in names:
                raise BadInput(f"{where}.{key}: {node['_target_']} has no argument '{key}'{did_you_mean(key, names)}")
    if ACCEPTS[group].later:
        return partial(target, **given, **extra)
    return call(where, partial(target, *arguments, **given, **extra))


def call(where: str, function: Callable[..., Any], *arguments: Any, **extra: Any) -> Any:
    """Call what a config names; what it says against its arguments becomes one line.

    Args:
        where: The name of the node in messages.
        function: The class, function or partial to call.
        *arguments: Positional arguments.
        **extra: Keyword arguments.

    Raises:
        BadInput: The call raised a TypeError, a ValueError or Lightning's MisconfigurationException.

    Example:
        >>> import torch
        >>> call("optimizer", torch.optim.SGD, [torch.zeros(1)], lr=-1)
        Traceback (most recent call last):
        glassbox.errors.BadInput: optimizer: SGD refuses its arguments: Invalid learning rate: -1
    """
    from glassbox.training.trainer import REFUSALS

    try:
        return function(*arguments, **extra)
    except REFUSALS as error:
        target = function.func if isinstance(function, partial) else function
        name = getattr(target, "__qualname__", str(target))
        raise BadInput(f"{where}: {name} refuses its arguments: {' '.join(str(error).split())}") from error


def _special_keys(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    """Yield (path, key, value) of every key that begins and ends with an underscore."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if str(key).startswith("_") and str(key).endswith("_"):
                yield path, str(key), value
            else:
                yield from _special_keys(value, (*path, str(key)))
    elif isinstance(node, list):
        for position, value in enumerate(node):
            yield from _special_keys(value, (*path, str(position)))


def _nested(group: str, where: str, value: Any) -> Any:
    """Build nodes inside a node, such as a backbone inside a model; they answer to the same group's rule."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            return build(group, value, where=where)
        return {key: _nested(group, f"{where}.{key}", item) for key, item in value.items()}
    if isinstance(value, list):
        return [_nested(group, where, item) for item in value]
    return value


def _class(name: str) -> type:
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    assert isinstance(found, type)
    return found


def _is_from(found: Any, modules: tuple[str, ...]) -> bool:
    return any(found.__module__ == name or found.__module__.startswith(name + ".") for name in modules)
