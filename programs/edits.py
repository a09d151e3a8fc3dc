"""Mechanical edits, from Program to Program: every result is well formed by construction, without retries.

The search decides which edit to make, and how often. Source of the edits: Chen et al., "Symbolic Discovery of
Optimization Algorithms", 2023, https://arxiv.org/abs/2302.06675.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from programs.checking import check
from programs.demands import kinds_before, scalar_demands
from programs.functions import FUNCTIONS, PAPER_FUNCTIONS
from programs.kinds import SCALAR, Kind
from programs.program import Argument, Program, Statement, fresh_name, variables, with_argument

_NEW_CONSTANT = 0.25  # probability that a new argument is a number rather than a variable
_REDRAWN = 0.1  # probability that a changed constant is drawn again rather than multiplied


@dataclass(frozen=True)
class Limits:
    """The limits that edits respect.

    Attributes:
        statements: The most statements of a program, including dead ones.
        state: The most state variables of a program, including dead ones.
        constant: The largest magnitude of a number that an edit writes.
        functions: The names of the functions that edits may insert, sorted.
    """

    statements: int = 40
    state: int = 4
    constant: float = 1e6
    functions: tuple[str, ...] = PAPER_FUNCTIONS

    def __post_init__(self):
        """Check the limits.

        Raises:
            ValueError: If no program can respect them, or a function is unknown.
        """
        unknown = sorted(set(self.functions) - FUNCTIONS.keys())
        if unknown or not self.functions:
            got = f"got {', '.join(map(repr, unknown))}" if unknown else "got none"
            raise ValueError(f"limits of functions: {got}; right would be names of the function table")
        if self.statements < 0 or self.state < 0 or not self.constant > 0:
            raise ValueError(f"{self}: right would be statements and state from 0, and a constant above 0")


@dataclass(frozen=True)
class Edit:
    """A row of the table of edits.

    Attributes:
        name: The edit's name in a config.
        places: Finds the places in a program at which the edit can be made; none if it cannot.
        make: Makes the edit at one of these places.
        summary: What the edit does, for people.
    """

    name: str
    places: Callable[[Program, Limits], Sequence[Any]]
    make: Callable[[Program, Any, np.random.Generator, Limits], Program]
    summary: str

    def applies(self, program: Program, limits: Limits) -> bool:
        """Return whether the edit can be made to a program at all."""
        return bool(self.places(program, limits))

    def apply(self, program: Program, rng: np.random.Generator, limits: Limits) -> Program:
        """Make the edit, which must apply, at a place drawn at random."""
        return self.make(program, pick(rng, self.places(program, limits)), rng, limits)

    def attempt(self, program: Program, rng: np.random.Generator, limits: Limits) -> Program | None:
        """Make the edit at a place drawn at random; None, with nothing drawn, if it does not apply."""
        places = self.places(program, limits)
        return self.make(program, pick(rng, places), rng, limits) if places else None


def pick(rng: np.random.Generator, choices: Sequence[Any]) -> Any:
    """Draw one of the choices, all equally likely."""
    return choices[int(rng.random() * len(choices))]


def draw_number(rng: np.random.Generator, limits: Limits) -> float:
    """Draw a number from N(0, 1), clipped to the limits."""
    return _bounded(rng.standard_normal(), limits)


def _bounded(number: float, limits: Limits) -> float:
    return float(min(max(number, -limits.constant), limits.constant))


def draw_argument(rng: np.random.Generator, names: Sequence[str], limits: Limits) -> Argument:
    """Draw one of the variables, or a number."""
    if not names or rng.random() < _NEW_CONSTANT:
        return draw_number(rng, limits)
    return pick(rng, names)


def draw_call(
    rng: np.random.Generator, known: dict[str, Kind], limits: Limits
) -> tuple[str, tuple[Argument, ...], Kind]:
    """Draw a function and its arguments from variables of these kinds; return the kind of the result, too."""
    row = FUNCTIONS[pick(rng, limits.functions)]
    names = list(known)
    scalars = [name for name in names if known[name] is SCALAR] if row.scalars else []
    arguments = tuple(
        [draw_argument(rng, scalars if place in row.scalar_places else names, limits) for place in range(row.arity)]
    )
    kind = row.kind(tuple([known.get(argument, SCALAR) for argument in arguments]))  # type: ignore[arg-type]
    return row.name, arguments, kind


def _insertion_points(program: Program, limits: Limits) -> Sequence[int]:
    return range(len(program.statements) + 1 if len(program.statements) < limits.statements else 0)


def insert(
    program: Program, index: int, rng: np.random.Generator, limits: Limits, target: str | None = None
) -> Program:
    """Insert a new call before the statement at ``index``; its target is drawn, or the new name ``target``."""
    known = kinds_before(program, index)
    function, arguments, kind = draw_call(rng, known, limits)
    fresh = fresh_name(variables(program))
    demanded = scalar_demands(program, (index, Statement(fresh, function, arguments)))[index]
    targets = [name for name in known if kind is SCALAR or name not in demanded]
    statement = Statement(target or pick(rng, [*targets, fresh]), function, arguments)
    return replace(program, statements=(*program.statements[:index], statement, *program.statements[index:]))


def _deletable(program: Program, limits: Limits) -> Sequence[int]:
    """Find the statements without which every name still has a value, and still a scalar if it must be one."""
    demands = scalar_demands(program)
    known = kinds_before(program, 0)
    earlier = []  # before each statement, the kind of the value that its target already has
    for statement, kind in zip(program.statements, check(program).kinds, strict=True):
        earlier.append(known.get(statement.target))
        known[statement.target] = kind
    found = []
    read_next: set[Argument] = {program.update}  # the names that are read later, before they are written
    for index in reversed(range(len(program.statements))):
        target, _, arguments = program.statements[index]
        if earlier[index] is None:
            keeps = target not in read_next
        else:
            keeps = earlier[index] is SCALAR or target not in demands[index + 1]
        if keeps:
            found.append(index)
        read_next.discard(target)
        read_next.update(arguments)
    return found


def _delete(program: Program, index: int, rng: np.random.Generator, limits: Limits) -> Program:
    return replace(program, statements=program.statements[:index] + program.statements[index + 1 :])


def _argument_places(program: Program, limits: Limits) -> Sequence[tuple[int, int]]:
    return [(i, j) for i, statement in enumerate(program.statements) for j in range(len(statement.arguments))]


def _modify(program: Program, where: tuple[int, int], rng: np.random.Generator, limits: Limits) -> Program:
    index, place = where
    target, function, arguments = program.statements[index]
    row = FUNCTIONS[function]
    demanded = row.largest is not SCALAR and target in scalar_demands(program)[index + 1]
    scalar = demanded or place in row.scalar_places
    known = kinds_before(program, index)
    names = [n for n, kind in known.items() if n != arguments[place] and (kind is SCALAR or not scalar)]
    return with_argument(program, where, draw_argument(rng, names, limits))


def _constant_places(program: Program, limits: Limits) -> Sequence[tuple[int, int]]:
    return [
        (i, j)
        for i, statement in enumerate(program.statements)
        for j, argument in enumerate(statement.arguments)
        if not isinstance(argument, str)
    ]


def _change_constant(program: Program, where: tuple[int, int], rng: np.random.Generator, limits: Limits) -> Program:
    constant = float(program.statements[where[0]].arguments[where[1]])
    drawn = float(rng.standard_normal())
    changed = drawn if rng.random() < _REDRAWN or constant == 0.0 else constant * 2.0**drawn
    return with_argument(program, where, _bounded(changed, limits))


def _free_state(program: Program, limits: Limits) -> Sequence[str]:
    return [fresh_name(variables(program))] if len(program.state) < limits.state else []


def _add_state(program: Program, name: str, rng: np.random.Generator, limits: Limits) -> Program:
    return replace(program, parameters=(*program.parameters, name))


def _removable_state(program: Program, limits: Limits) -> Sequence[str]:
    targets = {statement.target for statement in program.statements}
    return [name for name in program.state if name != program.update or name in targets]


def _remove_state(program: Program, name: str, rng: np.random.Generator, limits: Limits) -> Program:
    statements = []
    written = False
    for target, function, arguments in program.statements:
        read = arguments if written else tuple([0.0 if argument == name else argument for argument in arguments])
        statements.append(Statement(target, function, read))
        written = written or target == name
    return Program(tuple(other for other in program.parameters if other != name), tuple(statements), program.update)


_ROWS = (
    Edit("insert", _insertion_points, insert, "insert a new call anywhere, assigned to a known variable or a new one"),
    Edit("delete", _deletable, _delete, "remove a statement that can be left out"),
    Edit("modify", _argument_places, _modify, "replace one argument by another variable or a number from N(0, 1)"),
    Edit(
        "constants",
        _constant_places,
        _change_constant,
        "multiply one number by 2^N(0, 1), or (one time in ten, and for 0) draw it again from N(0, 1)",
    ),
    Edit("add_state", _free_state, _add_state, "add a state variable, for later edits to write and read"),
    Edit("remove_state", _removable_state, _remove_state, "remove a state variable: each step starts with zero for it"),
)

EDITS = MappingProxyType({row.name: row for row in _ROWS})
