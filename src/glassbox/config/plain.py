"""A config as plain containers: once with every value, once in the form that may be written down."""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import get_omega_conf_dumper
from omegaconf.resolvers import oc

from glassbox.tracking.secret import mask


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """Return a config as plain dicts and lists with every interpolation resolved: for computing, never for writing.

    Args:
        cfg: A composed config.

    Raises:
        omegaconf.errors.OmegaConfBaseException: An interpolation cannot be resolved or a mandatory value is missing.

    Example:
        >>> resolved(OmegaConf.create({"lr": 0.1, "optimizer": {"lr": "${lr}"}}))
        {'lr': 0.1, 'optimizer': {'lr': 0.1}}
    """
    return cast("dict[str, Any]", OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))


def writable(cfg: DictConfig) -> dict[str, Any]:
    """Return a config as plain dicts and lists for writing down: `${oc.env:…}` stays as it was typed.

    Every other interpolation is resolved, also one that leads to an environment variable by way of another key.

    Args:
        cfg: A composed config.

    Example:
        >>> writable(OmegaConf.create({"lr": 0.1, "a": "${lr}", "b": "${oc.env:HOME}/x", "c": "${b}"}))
        {'lr': 0.1, 'a': 0.1, 'b': '${oc.env:HOME}/x', 'c': '${oc.env:HOME}/x'}
    """
    untyped = OmegaConf.create(OmegaConf.to_container(cfg, resolve=False))
    OmegaConf.register_new_resolver("oc.env", _unresolved, replace=True)
    try:
        return cast("dict[str, Any]", OmegaConf.to_container(untyped, resolve=True))
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)


def both(cfg: DictConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return `resolved(cfg)` and `writable(cfg)`; without an environment variable they are the same.

    Args:
        cfg: A composed config.

    Example:
        >>> both(OmegaConf.create({"a": "${oc.env:HOME}"}))[1], both(OmegaConf.create({"a": 1, "b": "${a}"}))[1]
        ({'a': '${oc.env:HOME}'}, {'a': 1, 'b': 1})
    """
    values = resolved(cfg)
    typed = repr(OmegaConf.to_container(cfg, resolve=False))
    return values, writable(cfg) if "oc.env" in typed else values


def leaves(tree: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each leaf of plain containers with its dotted key; a place in a list is a number in it.

    Args:
        tree: Dicts, lists and leaves.
        where: The dotted key of the whole.

    Example:
        >>> list(leaves({"lr": 0.1, "optimizer": {"betas": [0.9, 0.99]}}))
        [('lr', 0.1), ('optimizer.betas.0', 0.9), ('optimizer.betas.1', 0.99)]
    """
    if isinstance(tree, dict | list):
        for name, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from leaves(value, f"{where}.{name}" if where else str(name))
    else:
        yield where, tree


def at(config: Mapping[str, Any], key: str) -> Any:
    """Return the value of a dotted key.

    Args:
        config: Plain containers.
        key: The key.

    Raises:
        KeyError: There is no such key.
        TypeError: A part of the key leads into a list or a leaf.

    Example:
        >>> at({"optimizer": {"lr": 0.1}}, "optimizer.lr")
        0.1
    """
    node: Any = config
    for part in key.split("."):
        node = node[part]
    return node


def with_values(config: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain containers with values put in; what is above none of them is shared.

    Args:
        config: Plain containers.
        values: Dotted key → value.

    Example:
        >>> with_values({"lr": 0.1, "optimizer": {"eps": 1}}, {"optimizer.eps": 2})
        {'lr': 0.1, 'optimizer': {'eps': 2}}
    """
    result = dict(config)
    for key, value in values.items():
        node, (*path, last) = result, key.split(".")
        for part in path:
            node[part] = dict(node[part])
            node = node[part]
        node[last] = value
    return result


def to_yaml(content: Mapping[str, Any] | Sequence[Any]) -> str:
    """Write plain containers as YAML that OmegaConf reads back as they were, with secrets masked.

    PyYAML's own writer would not do: it leaves the text `1e-3` bare, which OmegaConf reads as a number.

    Args:
        content: Dicts, lists and leaves.

    Example:
        >>> print(to_yaml({"lr": 0.001, "notes": "1e-3", "api_key": "abc"}), end="")
        lr: 0.001
        notes: '1e-3'
        api_key: '***'
    """
    return dump(mask(content))


def dump(content: Mapping[str, Any] | Sequence[Any]) -> str:
    """Write plain containers as YAML, as OmegaConf.to_yaml writes them, with libyaml where it is at hand.

    What the dict before had in the same place is not written anew.

    Args:
        content: Dicts, lists and leaves.

    Example:
        >>> print(dump({"lr": 0.001, "name": "1e-3", "tags": []}), end="")
        lr: 0.001
        name: '1e-3'
        tags: []
    """
    return _entries(content) if isinstance(content, dict) and content else _yaml(content)


_WRITTEN: dict[str, tuple[str, str]] = {}


def _entries(content: Mapping[str, Any], place: str = "", depth: int = 0) -> str:
    """Write a dict that lies so deep; the text of a value that is that of the last dict is used again.

    The jobs of a sweep differ in few values. `repr` tells 1 from 1.0 and True, which are equal, and looks at the order.
    """
    parts = []
    for key, value in content.items():
        where, shown = f"{place}.{key!r}", repr(value)
        if where not in _WRITTEN or _WRITTEN[where][0] != shown:
            if isinstance(value, dict) and value:
                head = _deep({key: None}, depth).removesuffix(" null\n")
                text = f"{head}\n{_entries(value, where, depth + 1)}"
            else:
                text = _deep({key: value}, depth)
            _WRITTEN[where] = shown, text
        parts.append(_WRITTEN[where][1])
    return "".join(parts)


def _deep(content: Any, depth: int) -> str:
    """Write what lies so deep: indented, and broken where lines of that indent are full."""
    for _ in range(depth):
        content = {"_": content}
    return _yaml(content).split("\n", depth)[depth]


def _yaml(content: Any) -> str:
    text: str = yaml.dump(
        content, Dumper=_dumper(), default_flow_style=False, allow_unicode=True, sort_keys=False, indent=2
    )
    return text


@cache
def _dumper() -> Any:
    """Return a dumper with OmegaConf's rule for which texts need quotes."""
    theirs = get_omega_conf_dumper()

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        """OmegaConf's dumper, in C."""

        def ignore_aliases(self, data: Any) -> bool:
            """Write everything out: two equal lists are two lists."""
            return True

    Dumper.add_representer(str, lambda self, text: theirs.str_representer(self, text))
    Dumper.add_multi_representer(Enum, lambda self, item: self.represent_data(item.name))
    return Dumper


def _unresolved(*arguments: Any) -> str:
    """Stand in for `oc.env`: write the interpolation down instead of what it means."""
    return "${oc.env:" + ",".join("null" if a is None else str(a) for a in arguments) + "}"
