"""Secrets are not written down: the value of a key that names one becomes `***`."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

MASK = "***"
WORD = re.compile(r"(?:^|[._-])(?:key|token|secret|password|credential)s?$", re.IGNORECASE)
ASSIGNED = re.compile(
    r"((?:\b|[._-])(?:key|token|secret|password|credential)s?=)(?!\$\{oc\.env:)[^\s,;&]+", re.IGNORECASE
)
# Hydra writes colons of an override as `\:`.
ADDRESS = re.compile(r"(\b[a-z][a-z0-9+.-]*\\?://)[^/\s:@]+:[^/\s@]+@", re.IGNORECASE)
UNRESOLVED = re.compile(r"\$\{oc\.env:[^}]*\}")


def mask(tree: Any) -> Any:
    """Return a tree of plain containers in which the values of secret keys are `***`.

    A key is secret if its last word is key, token, secret, password or credential. `${oc.env:…}` stays: it is a name,
    not the secret. The user and password of an address go, too.

    Args:
        tree: Dicts, lists, and leaves.

    Example:
        >>> mask({"api_key": "abc", "url": "https://me:pw@host/x", "lr": 0.1, "keys": None})
        {'api_key': '***', 'url': 'https://***@host/x', 'lr': 0.1, 'keys': None}
    """
    if isinstance(tree, dict):
        return {key: _value(value) if _is_secret(str(key)) else mask(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [mask(value) for value in tree]
    return _text(tree) if isinstance(tree, str) else tree


def mask_command(argv: Sequence[str]) -> list[str]:
    """Return a command whose `key=value` words have their secrets masked.

    Args:
        argv: The words of a command.

    Example:
        >>> mask_command(["train.py", "logger.api_key=abc", "lr=0.1"])
        ['train.py', 'logger.api_key=***', 'lr=0.1']
    """
    return [_text(word) for word in argv]


@lru_cache(maxsize=4096)  # the records of a sweep have most words in common
def _is_secret(key: str) -> bool:
    return WORD.search(key) is not None


@lru_cache(maxsize=4096)
def _text(text: str) -> str:
    """Mask the secrets in a text: an override, several of them, or an address."""
    key, equals, value = text.partition("=")
    if equals and _is_secret(key) and not re.search(r"[\s,]", key):
        return text if UNRESOLVED.fullmatch(value) else f"{key}={MASK}"
    return ADDRESS.sub(rf"\1{MASK}@", ASSIGNED.sub(rf"\1{MASK}", text))


def _value(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_value(item) for item in value]
    if value is None or (isinstance(value, str) and UNRESOLVED.fullmatch(value)):
        return value
    return MASK
