"""From an audited step to an explanation: which tables, in which order."""

from glassbox.explain.code import sources
from glassbox.explain.explanation import Explanation
from glassbox.explain.lesson import warnings_shown
from glassbox.explain.observation import observations
from glassbox.explain.order import order
from glassbox.explain.parameter import parameters
from glassbox.explain.step import step_table
from glassbox.explain.tensor import tensors
from glassbox.replay.audit import Audit


def gather(audit: Audit, *, title: str, sample: int = 0, code: bool = False) -> Explanation:
    """Return everything that there is to show about a step.

    Args:
        audit: The step, done again and compared.
        title: Which step of what.
        sample: The row of the batch whose numbers are shown.
        code: Whether the hand-written functions are shown, too.

    Raises:
        BadInput: The batch has no such row.
    """
    return Explanation(
        title=title,
        tables=(
            step_table(audit, sample),
            parameters(audit),
            warnings_shown(audit),
            tensors(audit),
            order(audit.step),
        ),
        observations=observations(audit),
        sources=sources(audit) if code else (),
    )
