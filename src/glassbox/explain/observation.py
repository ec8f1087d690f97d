"""What one training step shows, in words: each sentence has its evidence, the most important comes first."""

from glassbox.explain.guess import guess
from glassbox.explain.initialisation import initialisation
from glassbox.explain.movement import first_adam, movement
from glassbox.explain.unit import stuck_units
from glassbox.explain.wiring import frozen, wiring
from glassbox.explain.zero_gradient import zero_gradients
from glassbox.replay.audit import Audit


def observations(audit: Audit) -> list[str]:
    """Return what a step shows: wiring first, then initialisation, then how it moved, then what is as it should be.

    Args:
        audit: The audited step; no sentence is made up that its tensors do not show.
    """
    looks = (wiring, initialisation, zero_gradients, stuck_units, movement, frozen, guess, first_adam)
    return [sentence for look in looks for sentence in look(audit)]
