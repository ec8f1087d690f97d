"""What a comparison found: one of four grades, and why."""

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How far a claim was checked.

    Example:
        >>> Grade.EXACT == "EXACT"
        True
    """

    EXACT = "EXACT"  # computed again by hand: the same bits
    FD = "FD"  # no hand rule: agrees with a finite difference, with the error given
    NOT_CHECKED = "NOT CHECKED"  # neither; the reason says why
    DISAGREES = "DISAGREES"  # it should be equal and is not; the reason names the likely cause


@dataclass(frozen=True)
class Check:
    """One claim about a training step, checked.

    Attributes:
        grade: How far it was checked.
        reason: Why it was not checked, or what is the likely cause where it disagrees.
        error: The relative error of the finite difference (FD), or the largest absolute difference (DISAGREES).

    Example:
        >>> str(Check(Grade.FD, error=3e-9))
        'FD 3e-09'
    """

    grade: Grade
    reason: str = ""
    error: float | None = None

    def __str__(self) -> str:
        number = "" if self.error is None else f" {self.error:.0e}"
        return f"{self.grade}{number}" + (f": {self.reason}" if self.reason else "")
