"""A transformation of programs: the record that each row of the table of transformations fills in."""

import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from programs.program import Program, ProgramError

_LONGEST_SHOWN = 40  # characters of a wrong value


@dataclass(frozen=True)
class Range:
    """The numbers that a parameter may have.

    Attributes:
        text: The range in words.
        holds: Returns whether a number is in the range; NaN and infinity never are.
    """

    text: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True)
class Parameter:
    """A number that a transformation takes."""

    name: str
    default: float
    range: Range

    def check(self, value: object) -> float:
        """Return a value as a float.

        Raises:
            ProgramError: If the value is not a number, or not in the range.
        """
        if not isinstance(value, numbers.Real) or isinstance(value, bool) or not self.range.holds(value):
            raise ProgramError(f"{self.name} is {value!r:.{_LONGEST_SHOWN}}; right would be {self.range.text}")
        return float(value)


@dataclass(frozen=True)
class Transformation:
    """One way to make a program from another.

    Attributes:
        name: The name of the transformation.
        function: Takes a program, and the parameters by name.
        parameters: The numbers that it takes, with their defaults and ranges.
        summary: What it does, in one line.
        source: Authors, title, year and link.
    """

    name: str
    function: Callable[..., Program]
    parameters: tuple[Parameter, ...]
    summary: str
    source: str
