"""How a raw program became a simple one: the recorded steps, each with the proof that it is valid."""

from dataclasses import dataclass
from enum import StrEnum

from programs.program import Program


class Proof(StrEnum):
    """The proof that a step of a derivation is valid."""

    EXACT = "exact"  # both sides are equal in real arithmetic, under the protected semantics
    NEARLY = "nearly"  # equal up to the 1e-8 that division adds, or the rounding of a 32-bit float
    MEASURED = "measured"  # both programs were trained, and the score stayed within its noise


@dataclass(frozen=True)
class Step:
    """One step of a derivation.

    Attributes:
        reason: The rule that was applied, or what was left out or replaced.
        proof: What shows that the step is valid.
        program: The program after the step.
    """

    reason: str
    proof: Proof
    program: Program

    @property
    def exact(self) -> bool:
        """Whether the step is exact in real arithmetic."""
        return self.proof is Proof.EXACT


@dataclass(frozen=True)
class Derivation:
    """The recorded steps from a raw program to a simple one."""

    start: Program
    steps: tuple[Step, ...]

    @property
    def program(self) -> Program:
        """The simple program: the last step's, or the start if there are no steps."""
        return self.steps[-1].program if self.steps else self.start
