"""How a raw program became a simple one: the recorded steps, each with the proof that it is valid."""

from dataclasses import dataclass
from enum import StrEnum

from programs.program import Program


class Proof(StrEnum):
    """The proof that a step of a derivation is valid."""

    EXACT = "exact"  # equal in 32-bit floats everywhere, up to rounding and the sign of zero
    REAL = "real"  # equal in real arithmetic, under the protected semantics; 32-bit floats differ in places
    NEARLY = "nearly"  # equal up to the 1e-8 that division adds, or the rounding of a 32-bit float
    MEASURED = "measured"  # both programs were trained, and the score stayed within its noise


class Gap(StrEnum):
    """Why the floats of two programs that are equal in real arithmetic differ."""

    OVERFLOW = "overflow"  # one side is infinite, the other is not
    UNDERFLOW = "underflow"  # one side is zero, the other is not
    NAN = "NaN"  # one side is NaN, the other is not
    ROUNDING = "rounding"  # both are finite; a number is lost next to a much larger one


@dataclass(frozen=True)
class Step:
    """One step of a derivation.

    Attributes:
        reason: The rule that was applied, or what was left out or replaced.
        proof: What shows that the step is valid.
        program: The program after the step.
        gaps: Why the step changes a value in 32-bit floats; empty if it is exact.
    """

    reason: str
    proof: Proof
    program: Program
    gaps: tuple[Gap, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether the step changes nothing in 32-bit floats, up to rounding and the sign of zero."""
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
