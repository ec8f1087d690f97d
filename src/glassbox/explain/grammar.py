"""Words that bend to a number, and lists of names."""

from collections.abc import Sequence


def listed(names: Sequence[str]) -> str:
    """Return names as a list in words, of four names at most.

    Args:
        names: One name or more.
    """
    shown = [*names[:4], f"{len(names) - 4} more"] if len(names) > 5 else list(names)
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def be(count: int) -> str:
    """Return the verb for so many things.

    Args:
        count: How many.
    """
    return "is" if count == 1 else "are"


def it(count: int) -> str:
    """Return the pronoun for so many things.

    Args:
        count: How many.
    """
    return "it" if count == 1 else "them"
