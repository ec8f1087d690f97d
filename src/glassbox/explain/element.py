"""One number of a parameter: which one to show, and its name."""

from glassbox.replay.step import Named


def telling(gradients: Named) -> tuple[str, tuple[int, ...]]:
    """Return a parameter whose gradient is not 0 everywhere, and the place of its first number that is not 0.

    Args:
        gradients: Parameter name → gradient, at least one; where all are 0, the first number of the first.
    """
    name = next((name for name, g in gradients.items() if bool(g.count_nonzero())), next(iter(gradients)))
    nonzero = gradients[name].nonzero()
    return name, tuple(nonzero[0].tolist()) if len(nonzero) else (0,) * gradients[name].dim()


def element(name: str, place: tuple[int, ...], what: str = "") -> str:
    """Return the name of one number of a parameter, as in `net.fc1.weight.grad[0,1]`.

    Args:
        name: The parameter.
        place: The indices of the number.
        what: What of the parameter, as in `.grad`.
    """
    return f"{name}{what}[{','.join(map(str, place))}]" if place else f"{name}{what}"
