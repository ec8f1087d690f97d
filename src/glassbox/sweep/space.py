"""The space of a search: what each searched key may be, and the overrides that a point of it stands for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glassbox.sweep.border import Range

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Choice:
    """A few values without an order.

    Attributes:
        values: What the search knows of them: numbers and words; the text of a list or dict.
        texts: Each as it is typed in an override.

    Example:
        >>> Choice(("a b", 3), ("'a b'", "3")).text("a b")
        "'a b'"
    """

    values: Sequence[Scalar]
    texts: Sequence[str]

    def text(self, value: Scalar) -> str:
        """Return a value as it is typed."""
        return self.texts[list(self.values).index(value)]


@dataclass(frozen=True)
class Parameter:
    """One searched key.

    Attributes:
        key: Its key or group.
        head: What stands before the `=` of its override, such as `+model.hidden`.
        domain: What it may be.

    Example:
        >>> Parameter("lr", "lr", Range(1e-4, 1e-1, log=True)).override(1e-3)
        'lr=0.001'
    """

    key: str
    head: str
    domain: Range | Choice

    def override(self, value: Scalar) -> str:
        """Return the override of one value."""
        return f"{self.head}={self.domain.text(value) if isinstance(self.domain, Choice) else repr(value)}"


@dataclass(frozen=True)
class Space:
    """All overrides of a search in their order, searched ones and those of one value.

    Attributes:
        items: An override of one value, or a searched key.

    Example:
        >>> space = Space(["seed=3", Parameter("lr", "lr", Range(1e-4, 1e-1, log=True))])
        >>> space.job({"lr": 0.05}), space.ranges()
        (['seed=3', 'lr=0.05'], {'lr': Range(low=0.0001, high=0.1, log=True, step=None)})
    """

    items: Sequence[str | Parameter]

    @property
    def parameters(self) -> list[Parameter]:
        """The searched keys."""
        return [item for item in self.items if isinstance(item, Parameter)]

    def job(self, params: Mapping[str, Scalar]) -> list[str]:
        """Return the overrides of a point.

        Args:
            params: Searched key → value.
        """
        return [item if isinstance(item, str) else item.override(params[item.key]) for item in self.items]

    def ranges(self) -> dict[str, Range | list[float]]:
        """Return key → what its numbers are drawn from, of keys that have an order; a seed has none."""
        found: dict[str, Range | list[float]] = {}
        for parameter in self.parameters:
            domain = parameter.domain
            if parameter.key.rpartition(".")[2] == "seed":
                continue
            if isinstance(domain, Range):
                found[parameter.key] = domain
            elif all(_is_number(value) for value in domain.values):
                found[parameter.key] = [float(value) for value in domain.values if value is not None]
        return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
