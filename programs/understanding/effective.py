"""The effective learning rate and weight decay of a program: as read from the program, and as measured."""

from dataclasses import dataclass

from programs.program import Program
from programs.understanding.behaviour import Measured, measure
from programs.understanding.recognition import Feature, recognise, roles_of
from programs.understanding.update_patterns import rate_factor

_DECAYS = {"decoupled weight decay", "weight growth", "L2 regularisation", "weight decay inside the momentum"}
_LEAST = 1e-9  # relative to the weights: less is rounding


@dataclass(frozen=True)
class Effective:
    """A program's effective learning rate and weight decay.

    Attributes:
        rate_factor: As read from the program, the number that multiplies the whole update together with ``lr``; None
            if ``lr`` enters in another way or not at all.
        decays: As read from the program, the features that shrink or grow the weights.
        measured: Measurements of both, from running the program.
    """

    rate_factor: float | None
    decays: tuple[Feature, ...]
    measured: Measured

    @property
    def unexplained(self) -> bool:
        """Whether steps without a gradient change the weights for no reason that was read from the program."""
        return not self.decays and abs(self.measured.shrinkage or 0.0) > _LEAST


def effective(program: Program) -> Effective:
    """Find a program's effective learning rate and weight decay, in the program and by measurement.

    Raises:
        ProgramError: If the program is not well formed.
    """
    decays = tuple(feature for feature in recognise(program) if feature.name in _DECAYS)
    return Effective(rate_factor(roles_of(program).anatomy), decays, measure(program))
