"""How a raw program became a simple one: the recorded steps, each with the proof that it is valid."""

from dataclasses import dataclass
from enum import StrEnum

from programs.program import Program


class Proof(StrEnum):
    """The proof that a step of a derivation is valid."""

    EXACT = "exact"  # 32-bit floats give the same everywhere, up to rounding and the sign of zero
    REAL = "real"  # equal in real arithmetic, under the protected semantics; 32-bit floats differ in places
    NEARLY = "nearly"  # up to the 1e-8 that division adds, or the rounding of a 32-bit float
    MEASURED = "measured"  # trained with both, and the score stayed within its noise


class Gap(StrEnum):
    """What makes floats differ that are equal in real arithmetic."""

    OVERFLOW = "overflow"  # one side is infinite, the other is not
    UNDERFLOW = "underflow"  # one side is zero, the other is not
    NAN = "NaN"  # one side is no number, the other is
    ROUNDING = "rounding"  # both are finite; what is small beside another number is lost


@dataclass(frozen=True)
class Step:
    """One step of a derivation.

    Attributes:
        reason: The rule that was used, what was left out, or what was replaced.
        proof: What shows that the step may be taken.
        program: What the step leads to.
        gaps: What makes the step change a value in 32-bit floats; none if it is exact.
    """

    reason: str
    proof: Proof
    program: Program
    gaps: tuple[Gap, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether 32-bit floats give the same everywhere."""
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
