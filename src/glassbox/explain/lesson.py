"""The third table: what torch does without saying so, each claim tried out on a copy of the module."""

from glassbox.explain.accumulation import accumulation
from glassbox.explain.autograd import seed
from glassbox.explain.mode import modes
from glassbox.explain.registration import registration
from glassbox.explain.step import COLUMNS
from glassbox.explain.table import Table
from glassbox.replay.audit import Audit


def warnings_shown(audit: Audit) -> Table:
    """Return the table of what a framework does not say, tried out on copies; the step stays as it is.

    Args:
        audit: The audited step.
    """
    step = audit.step
    rows = [*accumulation(step), *modes(step), seed(step), *registration(step.module)]
    return Table("What the framework does not say, shown on this step", COLUMNS, rows)
