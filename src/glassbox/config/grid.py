"""The grid of a sweep: the values of each override, and every combination of them."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, Transformer
from hydra.errors import HydraException

from glassbox.errors import BadInput

SYNTAX = "write key=value, and quote a value that holds spaces, commas or brackets: 'key=\"a, b\"'"


@dataclass(frozen=True)
class Axis:
    """One override of a sweep, with all its values.

    Attributes:
        key: Its key or group.
        texts: One override per value.
        values: The values.
        override: The override as Hydra reads it.

    Example:
        >>> axis("lr=1e-2,1e-1").texts
        ['lr=0.01', 'lr=0.1']
    """

    key: str
    texts: list[str]
    values: list[Any]
    override: Override

    @property
    def interval(self) -> str | None:
        """The override as typed, where its values are the ends of an interval."""
        return self.override.input_line if self.override.is_interval_sweep() else None


@dataclass(frozen=True)
class Grid:
    """All combinations of the values of some overrides.

    Attributes:
        overrides: The overrides in their order.

    Example:
        >>> grid = Grid.of({"lr": "0.1,0.2"}, ["optimizer=sgd,adam", "seed=3"])
        >>> len(grid.jobs()), grid.jobs()[0], grid.axes
        (4, ['lr=0.1', 'optimizer=sgd', 'seed=3'], ['lr', 'optimizer'])
    """

    overrides: list[Axis]

    @classmethod
    def of(cls, params: Mapping[str, Any], arguments: Sequence[str]) -> "Grid":
        """Return the grid of a sweep file and a command line, which wins.

        Args:
            params: Key → its values, as text.
            arguments: Overrides, each of one or several values.

        Raises:
            BadInput: An override cannot be read, has no value, or its values cannot be listed.
        """
        found = [axis(text) for text in with_params(params, arguments)]
        last = {item.key: item for item in found if not item.texts[0].startswith(("+", "~"))}
        return cls([item for item in found if last.get(item.key, item) is item])

    @property
    def axes(self) -> list[str]:
        """The keys of several values."""
        return [item.key for item in self.overrides if len(item.texts) > 1]

    def numbers(self) -> dict[str, list[float]]:
        """Return key → the numbers that are tried, of keys that have an order; a seed has none."""
        return {
            item.key: [float(value) for value in item.values]
            for item in self.overrides
            if len(item.texts) > 1 and item.key.rpartition(".")[2] != "seed" and all(map(_is_number, item.values))
        }

    def jobs(self) -> list[list[str]]:
        """Return the overrides of each combination; the last key changes fastest.

        Raises:
            BadInput: The values of an override cannot be listed.
        """
        self.check_listed()
        return [list(texts) for texts in itertools.product(*(item.texts for item in self.overrides))]

    def check_listed(self) -> None:
        """Check that every override has values that can be listed.

        Raises:
            BadInput: One is an interval.
        """
        for item in self.overrides:
            if item.interval is not None:
                raise BadInput(f"{item.interval}: this sweeper needs values; list them, as in {item.key}=0.1,0.2")

    def without(self, mistakes: Iterable[str]) -> "Grid":
        """Return the grid without the values that messages of the form `override: what is wrong` name."""
        bad = {message.partition(": ")[0] for message in mistakes}
        kept = [replace(item, texts=[text for text in item.texts if text not in bad]) for item in self.overrides]
        return Grid([item for item in kept if item.texts])

    def ends(self, key: str | None = None) -> "Grid":
        """Return the grid with the ends of intervals and ranges, and every choice.

        Args:
            key: The only key that is shortened; None: all are.

        Example:
            >>> [axis.texts for axis in Grid.of({}, ["seed=range(0,100)", "lr=0.1,0.2,0.3"]).ends().overrides]
            [['seed=0', 'seed=99'], ['lr=0.1', 'lr=0.2', 'lr=0.3']]
        """
        return Grid(
            [
                replace(item, texts=[item.texts[0], item.texts[-1]])
                if item.override.is_range_sweep() and len(item.texts) > 1 and key in (None, item.key)
                else item
                for item in self.overrides
            ]
        )

    def samples(self) -> list[list[str]]:
        """Return jobs in which every value stands once: not the product of the values, but their sum.

        Example:
            >>> Grid.of({}, ["lr=1,2", "seed=0,1", "model=mlp"]).samples()
            [['lr=1', 'seed=0', 'model=mlp'], ['lr=2', 'seed=0', 'model=mlp'], ['lr=1', 'seed=1', 'model=mlp']]
        """
        first = [item.texts[0] for item in self.overrides]
        return [first] + [
            [*first[:place], text, *first[place + 1 :]]
            for place, item in enumerate(self.overrides)
            for text in item.texts[1:]
        ]


def with_params(params: Mapping[str, Any], arguments: Sequence[str]) -> list[str]:
    """Return the overrides of a sweep file, without those that the command line sets, and those of the command line.

    Args:
        params: Key → its values, as text.
        arguments: Overrides.

    Example:
        >>> with_params({"lr": "0.1,0.2", "seed": 0}, ["lr=0.5"])
        ['seed=0', 'lr=0.5']
    """
    given = {parse(text).key_or_group for text in arguments}
    return [f"{key}={_typed(value)}" for key, value in params.items() if key.lstrip("+") not in given] + list(arguments)


def axis(text: str) -> Axis:
    """Return an override with all its values.

    Args:
        text: An override.

    Raises:
        BadInput: It cannot be read, has no value, or its values cannot be listed.
    """
    override = parse(text)
    key = override.key_or_group
    if not override.is_sweep_override():
        return Axis(key, [text], [override.value()], override)
    if override.is_interval_sweep():
        ends: Any = override.value()
        return Axis(key, [f"{override.get_key_element()}={end}" for end in (ends.start, ends.end)], [], override)
    if isinstance(override.value(), Glob):
        raise BadInput(f"{text}: name the options, as in optimizer=sgd,adam")
    texts = [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
    if not texts:
        raise BadInput(f"{text}: an empty sweep: there is no value in it")
    return Axis(key, texts, list(override.sweep_iterator(Transformer.identity)), override)


def parse(text: str) -> Override:
    """Return an override as Hydra reads it.

    Args:
        text: An override.

    Raises:
        BadInput: It cannot be read.
    """
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise BadInput(f"Cannot read the override '{text}': {SYNTAX}") from error
    if not isinstance(override.key_or_group, str) or text.startswith("="):
        raise BadInput(f"Cannot read the override '{text}': {SYNTAX}")
    return override


def _typed(value: Any) -> str:
    """Write a value of a YAML file as it is typed on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(_typed(item) for item in value)
    return str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
