"""Abstract execution: kinds, live statements across steps, state slots and cost, without running anything."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from programs.functions import FUNCTIONS, SCALAR_PLACES
from programs.kinds import SCALAR, TENSOR, Function, Kind
from programs.program import Program, ProgramError, Statement, name_problem

_ROWS, _SCALAR_PLACES = dict(FUNCTIONS), dict(SCALAR_PLACES)  # quicker to look up
INPUT_KINDS = {"w": TENSOR, "g": TENSOR, "lr": SCALAR, "t": SCALAR}


@dataclass(frozen=True)
class Facts:
    """What abstract execution finds out about a program."""

    kinds: tuple[Kind, ...]  # of each statement's value
    live: tuple[bool, ...]  # whether each statement can ever change an update, this step or later
    state_kinds: Mapping[str, Kind]  # of every state variable, live or not
    live_state: tuple[str, ...]  # the state variables that can ever change an update
    update_kind: Kind
    inputs: frozenset[str]  # the reserved names that live statements, or the return, read
    multiply_adds: int  # + - * / sqrt and comparisons of live statements, per weight and step
    transcendentals: int  # calls of exp, log, sin and the like by live statements, per weight and step

    @property
    def statements(self) -> int:
        """The number of live statements."""
        return sum(self.live)

    @property
    def state_slots(self) -> int:
        """Numbers of state per weight (state with at most one number per array does not count)."""
        return sum(self.state_kinds[name] is TENSOR for name in self.live_state)

    @property
    def cost(self) -> int:
        """Operations per weight and step, of either sort."""
        return self.multiply_adds + self.transcendentals

    @property
    def unread_rate(self) -> str:
        """What to say of the program if it does not read ``lr``; else empty."""
        return "" if "lr" in self.inputs else "does not read lr: a learning rate or schedule has no effect"


def check(program: Program) -> Facts:
    """Find a program's facts; they are stored with the program, so that checking it again costs nothing.

    Raises:
        ProgramError: If a name has no value, a function is unknown or called with the wrong number of arguments, or
            an argument that must be a scalar is not one.
    """
    facts = program.__dict__.get("facts")
    if facts is None:
        facts = program.__dict__["facts"] = _examine(program)  # as cached_property does on a frozen record
    return facts


def _examine(program: Program) -> Facts:
    walk = _fixed_point(program)
    for index, place, kind in _misplaced(program, walk):
        raise _StatementError(
            f"{walk.rows[index].name}'s argument '{walk.rows[index].parameters[place]}' must be a scalar, but "
            f"'{program.statements[index].arguments[place]}' is {kind}; global_norm, dot and cosine_sim return scalars",
            program,
            index,
        )
    live, live_state, needed = _live_across_steps(program)
    working = [r for r, width, alive in zip(walk.rows, walk.widths, live, strict=True) if alive and width is TENSOR]
    return Facts(
        kinds=tuple(walk.kinds),
        live=tuple(live),
        state_kinds=MappingProxyType(walk.state),
        live_state=live_state,
        update_kind=walk.update,
        inputs=frozenset(needed & INPUT_KINDS.keys()),
        multiply_adds=sum([row.multiply_adds for row in working]),
        transcendentals=sum([row.transcendentals for row in working]),
    )


class LiveStatement(NamedTuple):
    """A live statement with what abstract execution finds out about it.

    Attributes:
        statement: The statement.
        row: The row of its function in the function table.
        kinds: The kind of each argument; numbers are scalars.
        kind: The kind of its value.
    """

    statement: Statement
    row: Function
    kinds: tuple[Kind, ...]
    kind: Kind


def live_statements(program: Program) -> tuple[LiveStatement, ...]:
    """Return a program's live statements in order; they are stored with the program.

    Everything that runs a program, or writes it in another language, goes through these.

    Raises:
        ProgramError: If the program is not well formed.
    """
    found = program.__dict__.get("live_statements")
    if found is None:
        found = program.__dict__["live_statements"] = tuple(_live_statements(program, check(program)))
    return found


def _live_statements(program: Program, facts: Facts) -> Iterator[LiveStatement]:
    known: dict[str | float, Kind] = {**INPUT_KINDS, **facts.state_kinds}
    for statement, kind, live in zip(program.statements, facts.kinds, facts.live, strict=True):
        if live:
            kinds = tuple([known.get(argument, SCALAR) for argument in statement.arguments])
            yield LiveStatement(statement, _ROWS[statement.function], kinds, kind)
        known[statement.target] = kind


def is_elementwise(program: Program) -> bool:
    """Return whether no live statement looks at more than one element of an array at a time."""
    return all(live.row.elementwise for live in live_statements(program))


@contextmanager
def locate_errors(places: Sequence[tuple[int, int]], source: str) -> Iterator[None]:
    """Make the errors of ``check`` point into the text that a program was parsed from.

    Args:
        places: The line and column of each statement, from 1.
        source: The text.
    """
    try:
        yield
    except _StatementError as error:
        line, column = places[error.index]
        raise ProgramError(error.message, line, column, source) from None


class _StatementError(ProgramError):
    """An error in the statement at ``index``, shown in the canonical text."""

    def __init__(self, message: str, program: Program, index: int):
        self.index = index
        try:
            source = str(program)
        except (KeyError, IndexError, AttributeError):  # too broken to print
            source = ""
        super().__init__(message, index + 2, 5, source)


class _Walk(NamedTuple):
    """One walk through the statements: the row, widest argument and kind of each, and the kinds at the end."""

    rows: list[Function]
    widths: list[Kind]
    kinds: list[Kind]
    state: dict[str, Kind]
    update: Kind


def _fixed_point(program: Program) -> _Walk:
    """Find the least fixed point of the state's kinds over the loop: each variable rises at most twice."""
    if not isinstance(program.parameters, tuple) or not isinstance(program.statements, tuple):
        raise ProgramError("the parameters and the statements of a program must be tuples")
    if len(set(program.parameters)) < len(program.parameters):
        raise ProgramError("a parameter is listed twice")
    for name in program.parameters:
        if problem := name_problem(name):
            raise ProgramError(problem)
    state = dict.fromkeys(program.state, SCALAR)
    walk = _walk(program, state)
    while walk.state != state:
        state = walk.state
        walk = _walk_again(program, walk)
    return walk


def _walk(program: Program, state: dict[str, Kind]) -> _Walk:
    """Check names and numbers, and find the kinds of all values from those of the state variables at the start."""
    known: dict[str | float, Kind] = {name: INPUT_KINDS[name] for name in program.parameters if name not in state}
    known.update(state)
    rows, widths, kinds = [], [], []
    for target, function, arguments in program.statements:
        row = _ROWS.get(function)
        if row is None:
            raise _StatementError(f"no function is called '{function}'", program, len(rows))
        if len(arguments) != len(row.parameters):
            raise _StatementError(f"{row.name} takes {row.arity} argument(s), got {len(arguments)}", program, len(rows))
        width = SCALAR
        for argument in arguments:
            kind = known.get(argument)
            if kind is None:  # a number, hence a scalar
                if isinstance(argument, str):
                    raise _StatementError(f"'{argument}' has no value here", program, len(rows))
                if type(argument) is not float or not math.isfinite(argument):
                    raise _StatementError(f"{argument!r} is not a finite float", program, len(rows))
            elif kind > width:
                width = kind
        if target not in known and (problem := name_problem(target)):
            raise _StatementError(problem, program, len(rows))
        known[target] = kind = row.largest if width > row.largest else width
        rows.append(row)
        widths.append(width)
        kinds.append(kind)
    if program.update not in known:
        raise ProgramError(f"'{program.update}' is returned but has no value")
    return _Walk(rows, widths, kinds, {name: known[name] for name in state}, known[program.update])


def _walk_again(program: Program, walk: _Walk) -> _Walk:
    """Find the kinds again from those of the state variables at the end; names and numbers are already checked."""
    known: dict[str | float, Kind] = {**INPUT_KINDS, **walk.state}
    widths, kinds = [], []
    for (target, _, arguments), row in zip(program.statements, walk.rows, strict=True):
        width = SCALAR
        for argument in arguments:
            kind = known.get(argument)
            if kind is not None and kind > width:
                width = kind
        known[target] = kind = row.largest if width > row.largest else width
        widths.append(width)
        kinds.append(kind)
    return _Walk(walk.rows, widths, kinds, {name: known[name] for name in walk.state}, known[program.update])


def misplaced_arguments(program: Program) -> list[tuple[int, int]]:
    """Find the arguments that must be scalars but are not: the statement and place of each, both from 0.

    Raises:
        ProgramError: If the program is not well formed for another reason.
    """
    return [(index, place) for index, place, _ in _misplaced(program, _fixed_point(program))]


def _misplaced(program: Program, walk: _Walk) -> list[tuple[int, int, Kind]]:
    if not _takes_scalars(program.statements):
        return []
    found = []
    known = INPUT_KINDS | walk.state
    for index, ((target, function, arguments), kind) in enumerate(zip(program.statements, walk.kinds, strict=True)):
        for place in _SCALAR_PLACES.get(function, ()):
            own = known.get(arguments[place], SCALAR)  # type: ignore[arg-type]  # a number is a scalar
            if own is not SCALAR:
                found.append((index, place, own))
        known[target] = kind
    return found


def live_within_step(program: Program) -> tuple[bool, ...]:
    """Return which statements can change what one call returns: the update, or any state variable.

    This is how the paper's released language prunes. It keeps a statement that writes a state variable that no later
    step reads. ``check`` looks across steps and drops it.

    Raises:
        ProgramError: If the program is not well formed.
    """
    check(program)
    return tuple(_live(program, {program.update, *program.state})[0])


def _live(program: Program, needed: set) -> tuple[list[bool], set]:
    """Walk backwards from what is needed at the end; return the live statements and what is needed at the start."""
    live = [False] * len(program.statements)
    index = len(live)
    for target, _, arguments in reversed(program.statements):
        index -= 1
        if target in needed:
            live[index] = True
            needed.discard(target)
            needed.update(arguments)  # numbers too, which no target equals
    return live, needed


def _live_across_steps(program: Program) -> tuple[list[bool], tuple[str, ...], set]:
    """Walk backwards repeatedly, until no further state variable turns out to be read by a later step."""
    live_state: tuple[str, ...] = ()
    while True:
        live, needed = _live(program, {program.update, *live_state})
        grown = tuple([name for name in program.state if name in needed or name in live_state])
        if grown == live_state:
            return live, live_state, needed
        live_state = grown


def _takes_scalars(statements: Sequence[Statement]) -> bool:
    """Return whether any statement passes a variable as an argument that must be a scalar."""
    for _, function, arguments in statements:
        for place in _SCALAR_PLACES.get(function, ()):
            if isinstance(arguments[place], str):
                return True
    return False
