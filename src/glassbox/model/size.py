"""The check that every size of a net passes."""

from glassbox.errors import BadInput


def check_sizes(**sizes: int) -> None:
    """Check that layers have whole, positive widths; torch would build an empty layer and only warn.

    Args:
        **sizes: Name of the argument → width.

    Raises:
        BadInput: A width is not a whole number ≥ 1.

    Example:
        >>> check_sizes(in_features=2, hidden=0)
        Traceback (most recent call last):
        glassbox.errors.BadInput: model.hidden=0: must be a whole number ≥ 1
    """
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise BadInput(f"model.{name}={size}: must be a whole number ≥ 1")
