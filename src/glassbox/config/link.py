"""Interpolations that only name another key, `${key}`, followed without OmegaConf.

OmegaConf resolves everything, and takes longer for one config than all the rest of planning a job of a sweep.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from glassbox.config.plain import at, leaves, with_values

NAME = re.compile(r"[A-Za-z_]\w*")
LINK = re.compile(rf"\$\{{(?P<key>{NAME.pattern}(\.{NAME.pattern})*)\}}")  # no resolver, nothing relative


def links_of(config: Mapping[str, Any]) -> dict[str, str] | None:
    """Return which values of a config are those of other keys.

    Args:
        config: Plain containers with their interpolations.

    Returns:
        Dotted key → dotted key; None if something is missing or to be resolved in any other way.

    Example:
        >>> links_of({"lr": 0.1, "optimizer": {"lr": "${lr}"}})
        {'optimizer.lr': 'lr'}
        >>> links_of({"home": "${oc.env:HOME}"}), links_of({"lr": "???"}), links_of({"a": ["${b}"], "b": 1})
        (None, None, None)
    """
    links: dict[str, str] = {}
    for key, value in leaves(config):
        if waits(value):
            link = LINK.fullmatch(value) if isinstance(value, str) else None
            if link is None:
                return None
            links[key] = link["key"]
    for key in links:
        *_, target = _follow(key, links)
        try:
            at(config, key)
            found = at(config, target)
        except (KeyError, TypeError):  # one of them stands in a list, or is not there
            return None
        if target in links or isinstance(found, dict):
            return None
    return links


def followed(config: Mapping[str, Any], links: Mapping[str, str], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config with some values put in and every link followed, in containers that nobody shares.

    Args:
        config: Plain containers.
        links: What `links_of` has found in them.
        own: Dotted key → value, for which nothing waits; it takes the place of a leaf.

    Example:
        >>> config = {"lr": 0.1, "optimizer": {"lr": "${lr}"}}
        >>> followed(config, links_of(config), {"lr": 0.5})
        {'lr': 0.5, 'optimizer': {'lr': 0.5}}
    """
    values = dict(own)
    for key in links:
        if key not in own:
            target = next(name for name in _follow(key, links) if name not in links or name in own)
            values[key] = own[target] if target in own else at(config, target)
    return _copied(with_values(config, values))  # type: ignore[no-any-return]


def waits(tree: Any) -> bool:
    """Return whether anything in plain containers is to be resolved, or missing.

    Args:
        tree: Plain containers, or a leaf.

    Example:
        >>> waits({"a": ["${b}"]}), waits("???"), waits(0.1)
        (True, True, False)
    """
    shown = repr(tree)
    return "${" in shown or "???" in shown


def _follow(key: str, links: Mapping[str, str]) -> Iterator[str]:
    """Yield the keys that a key leads to, each once."""
    seen: set[str] = set()
    while key in links and key not in seen:
        seen.add(key)
        key = links[key]
        yield key


def _copied(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _copied(value) for key, value in tree.items()}
    return [_copied(value) for value in tree] if isinstance(tree, list) else tree
