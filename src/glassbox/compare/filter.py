"""The filter of compare.py: `lr>0.01 and optimizer=="adam"`, a small part of Python, evaluated by hand.

Names are keys of the config (`lr`, `optimizer`, `optimizer.weight_decay`), fields of the record (`status`, `name`,
`study`, `device`) and metrics of the best checkpoint (`val/loss`).
"""

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from glassbox.compare.run import Run
from glassbox.errors import BadInput, did_you_mean

FIELDS = ("name", "study", "status", "device", "launcher", "batched", "number", "host", "tags")
COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda value, several: value in several,
    ast.NotIn: lambda value, several: value not in several,
}


def select(runs: Iterable[Run], text: str) -> list[Run]:
    """Return the runs that a filter lets through.

    A comparison with a key that a run does not have is false, but for `!=` and `not in`.

    Args:
        runs: The runs.
        text: The filter.

    Raises:
        BadInput: It is no such filter, and where; no run has a key; or values cannot be compared.

    Example:
        >>> from pathlib import Path
        >>> runs = [Run(Path(str(lr)), {"config": {"lr": lr, "optimizer": "adam"}}, "finished") for lr in (0.1, 1.0)]
        >>> [run.config["lr"] for run in select(runs, 'lr > 0.5 and optimizer == "adam"')]
        [1.0]
    """
    text = text.strip().replace("\n", " ")  # one line, for the mark below it
    if not text:
        raise BadInput("--filter: it is empty; as in 'lr>0.01'")
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError) as error:
        place = getattr(error, "offset", None)
        raise _wrong(text, place - 1 if place else len(text), getattr(error, "msg", str(error))) from error
    runs = list(runs)
    names = [_names(run) for run in runs]
    evaluate = _Filter(text, set().union(*names))
    return [run for run, known in zip(runs, names, strict=True) if evaluate(tree, known)]


def _names(run: Run) -> dict[str, Any]:
    fields = {key: run.fields[key] for key in FIELDS if key in run.fields}
    return {**run.values, **fields, **run.config, "status": run.status}


class _Filter:
    """Evaluate one filter.

    Args:
        text: The filter.
        known: Keys that a run has.
    """

    def __init__(self, text: str, known: set[str]) -> None:
        self._text = text
        self._known = known

    def __call__(self, node: ast.expr, names: Mapping[str, Any]) -> bool:
        """Return whether a node holds for a run with such names."""
        match node:
            case ast.BoolOp(op=op, values=parts):
                held = [self(part, names) for part in parts]  # all of them, so that a mistake in any is told
                return all(held) if isinstance(op, ast.And) else any(held)
            case ast.UnaryOp(op=ast.Not(), operand=part):
                return not self(part, names)
            case ast.Compare(left=first, ops=ops, comparators=rest):
                values = [self._value(part, names) for part in (first, *rest)]
                pairs = zip(ops, values, values[1:], strict=False)
                held = [self._compare(node, op, left, right) for op, left, right in pairs]
                return all(held)
        raise self._wrong(node, "here a comparison is needed, as in lr>0.01")

    def _compare(self, node: ast.expr, op: ast.cmpop, left: Any, right: Any) -> bool:
        if type(op) not in COMPARE:
            raise self._wrong(node, "compare with < <= > >= == != in not in")
        if left is _ABSENT or right is _ABSENT or (isinstance(right, list) and _ABSENT in right):
            return isinstance(op, ast.NotEq | ast.NotIn)
        try:
            return COMPARE[type(op)](left, right)
        except TypeError as error:
            raise self._wrong(node, f"{left!r} and {right!r} cannot be compared so") from error

    def _wrong(self, node: ast.expr, why: str) -> BadInput:
        before = self._text.encode()[: node.col_offset]  # it counts bytes
        return _wrong(self._text, len(before.decode()), why)

    def _value(self, node: ast.expr, names: Mapping[str, Any]) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return -value
            case ast.List(elts=parts) | ast.Tuple(elts=parts):
                return [self._value(part, names) for part in parts]
        key = _key(node)
        if key is None:
            raise self._wrong(node, "here a key, a number, a 'text' or a [list] is needed")
        if key not in self._known:
            near = did_you_mean(key, self._known) or "; a text needs quotes"
            raise self._wrong(node, f"no run has a '{key}'{near}")
        return names.get(key, _ABSENT)


def _key(node: ast.expr) -> str | None:
    """Return the key that an expression spells: lr, optimizer.lr, val/loss."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=inner, attr=name):
            return None if (key := _key(inner)) is None else f"{key}.{name}"
        case ast.BinOp(op=ast.Div(), left=left, right=right):
            keys = _key(left), _key(right)
            return None if None in keys else f"{keys[0]}/{keys[1]}"
    return None


_ABSENT = object()


def _wrong(text: str, place: int, why: str) -> BadInput:
    """Return the error of a filter, with a mark below the place."""
    return BadInput(f"--filter: {why}\n  {text}\n  {' ' * min(place, len(text))}^")
