"""How the weights were before the step: rows that are equal, numbers that are 0."""

from collections.abc import Iterator

from torch import Tensor, nn

from glassbox.explain.grammar import listed
from glassbox.explain.unit import DENSE
from glassbox.explain.zero_gradient import all_zero
from glassbox.replay.audit import Audit


def initialisation(audit: Audit) -> Iterator[str]:
    """Tell the weights whose units all learn the same, and those that are 0.

    Args:
        audit: The audited step.
    """
    for look in (_symmetric, _zero_weights):
        yield from look(audit)


def equal_rows(tensor: Tensor) -> bool:
    """Return whether a tensor has two rows or more, all of them the same.

    Args:
        tensor: A weight or its gradient [H, ...], one row per unit.
    """
    return tensor.dim() > 1 and len(tensor) > 1 and bool((tensor == tensor[:1]).all())


def _symmetric(audit: Audit) -> Iterator[str]:
    step = audit.step
    for layer, weight in _weights(step.module):
        gradient = step.gradients.get(f"{layer}weight")
        if gradient is None or not equal_rows(weight) or not equal_rows(gradient):
            continue
        rows, zero = len(weight), " (0 everywhere)" if all_zero(gradient) else ""
        yield (
            f"All {rows} rows of {layer}weight receive the same gradient{zero} and were equal before: symmetry is not "
            f"broken, and {rows} units do the work of one."
        )


def _zero_weights(audit: Audit) -> Iterator[str]:
    names = [f"{layer}weight" for layer, weight in _weights(audit.step.module) if all_zero(weight)]
    if names:
        yield f"Every number of {listed(names)} is 0."


def _weights(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the dense layers, as in `net.fc1.`, and their weights [H, ...]."""
    for name, part in module.named_modules():
        if isinstance(part, DENSE):
            yield f"{name}.".lstrip("."), part.weight.detach()
