"""A function of the language: the record that each row of the function table fills in."""

import enum
import string
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

PAPER = 'Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023, https://arxiv.org/abs/2302.06675'


class Kind(enum.IntEnum):
    """How many numbers a value holds, in ascending order; an elementwise result has its arguments' largest kind."""

    SCALAR = 0  # one number
    PER_ARRAY = 1  # one number per weight array
    TENSOR = 2  # shaped like the weights

    def __str__(self) -> str:
        """Return the name as people write it."""
        return self.name.lower().replace("_", "-")


SCALAR, PER_ARRAY, TENSOR = Kind  # looking up members of an enum is slow


@dataclass(frozen=True)
class Function:
    """One function of the language.

    ``body(xp, *arguments)`` takes an array module (``numpy`` or ``jax.numpy``). For ``leafwise`` functions
    every argument is one array; for the others it is the tuple of all arrays of a value, and the body
    returns one number, or a tuple again if ``largest`` is ``TENSOR``.

    The kind of a result is the largest among its arguments' kinds, but at most ``largest``.

    The cost is per element of the arguments: ``multiply_adds`` counts + - * / sqrt, comparisons and other single
    instructions, ``transcendentals`` the calls of exp, log, sin and the like.
    """

    name: str
    parameters: tuple[str, ...]
    body: Callable[..., Any]
    text: str  # JAX expression on one array, the parameters in braces; {dtype} is the dtype of the result
    summary: str
    largest: Kind = TENSOR  # largest kind that a result can have
    scalars: frozenset[str] = frozenset()  # parameters that must be scalars
    leafwise: bool = True
    matrix: bool = False  # whether it treats each weight array as a matrix
    commutative: bool = False
    infix: str | None = None  # the operator that stands for it in program text
    multiply_adds: int = 1
    transcendentals: int = 0
    source: str = PAPER

    def __post_init__(self):
        """Check that the row is consistent.

        Raises:
            ValueError: If the text does not read every parameter, or a scalar is not a parameter.
        """
        read = {field for _, field, _, _ in string.Formatter().parse(self.text) if field}
        for name in (*self.parameters, *self.scalars, *(read - {"dtype"})):
            if name not in read or name not in self.parameters:
                raise ValueError(
                    f"the function '{self.name}' in programs/functions.py has the parameters "
                    f"({', '.join(self.parameters)}) and the text {self.text}, but '{name}' is not in both"
                )

    @cached_property
    def arity(self) -> int:
        """The number of arguments."""
        return len(self.parameters)

    @cached_property
    def form(self) -> str:
        """How a call is written."""
        return f"x {self.infix} y" if self.infix else f"{self.name}({', '.join(self.parameters)})"

    @cached_property
    def paper(self) -> bool:
        """Whether the function is part of the paper's language, rather than an extension."""
        return self.source == PAPER

    @cached_property
    def elementwise(self) -> bool:
        """Whether each element of the result depends only on the same element of the arguments."""
        return self.leafwise and not self.matrix and self.largest is TENSOR

    @cached_property
    def scalar_places(self) -> tuple[int, ...]:
        """The places, from 0, of the arguments that must be scalars."""
        return tuple(place for place, name in enumerate(self.parameters) if name in self.scalars)

    def kind(self, arguments: tuple[Kind, ...]) -> Kind:
        """Return the kind of the result for arguments of these kinds."""
        return min(max(arguments, default=SCALAR), self.largest)
