"""How a raw program became a simple one: the recorded steps, each with what shows that it may be taken."""

from dataclasses import dataclass
from enum import StrEnum

from programs.program import Program


class Proof(StrEnum):
    """What shows that a step may be taken."""

    EXACT = "exact"  # both sides are equal in real arithmetic, under the protected semantics
    NEARLY = "nearly"  # up to the 1e-8 that division adds, or the rounding of a 32-bit float
    MEASURED = "measured"  # trained with both, and the score stayed within its noise


@dataclass(frozen=True)
class Step:
    """One step of a derivation.

    Attributes:
        reason: the rule that was used, what was left out, or what was replaced.
        proof: what shows that the step may be taken.
        program: what the step leads to.
    """

    reason: str
    proof: Proof
    program: Program

    @property
    def exact(self) -> bool:
        """Whether it is exact in real arithmetic."""
        return self.proof is Proof.EXACT


@dataclass(frozen=True)
class Derivation:
    """The recorded steps from a raw program to a simple one."""

    start: Program
    steps: tuple[Step, ...]

    @property
    def program(self) -> Program:
        """The last program."""
        return self.steps[-1].program if self.steps else self.start
