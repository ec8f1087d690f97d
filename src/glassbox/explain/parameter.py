"""The second table: how large each parameter is, its gradient and its update."""

from glassbox.explain.movement import norm, relative_update
from glassbox.explain.table import Row, Table
from glassbox.replay.audit import Audit
from glassbox.replay.check import Check, Grade


def parameters(audit: Audit) -> Table:
    """Return the table of the parameters: |p|, |grad|, |update|, update/p, and how far the update was checked.

    |·| is the L2 norm of a parameter before the update, of the gradient that the update was given, and of the
    difference that the update made.

    Args:
        audit: The audited step.
    """
    step = audit.step
    rows = []
    for name, before in step.before_update.items():
        gradient = step.clipped.get(name, step.gradients.get(name))
        after = step.after[name]
        ratio = relative_update(before, after)
        rows.append(
            Row(
                (
                    name,
                    " × ".join(map(str, before.shape)) or "1",
                    f"{norm(before):.4g}",
                    "none" if gradient is None else f"{norm(gradient):.4g}",
                    f"{norm(after - before):.4g}",
                    "–" if ratio is None else f"{ratio:.2e}",
                ),
                audit.updates.get(name, Check(Grade.NOT_CHECKED, f"no optimizer has {name}")),
            )
        )
    return Table(
        "How far each parameter moved",
        ("parameter", "shape", "|p|", "|grad|", "|update|", "update/p", "by hand vs torch"),
        rows,
        note="|·| is the L2 norm. An update/p of about 1e-3 is healthy; after the first steps 1e-1 is too much.",
    )
