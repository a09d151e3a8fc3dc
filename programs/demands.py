"""What an edit must know about a place in a program: the kinds of the variables, and which must stay scalars."""

from programs.checking import INPUT_KINDS, check
from programs.functions import FUNCTIONS, SCALAR_PLACES
from programs.kinds import SCALAR, Kind
from programs.program import Program, Statement

_SCALAR_PLACES = dict(SCALAR_PLACES)  # quicker to look up


def kinds_before(program: Program, index: int) -> dict[str, Kind]:
    """Return the kind of every variable that has a value before the statement at ``index`` (or at the end)."""
    facts = check(program)
    at_start = {**INPUT_KINDS, **facts.state_kinds}
    known = {name: at_start[name] for name in program.parameters}
    for statement, kind in zip(program.statements[:index], facts.kinds, strict=False):
        known[statement.target] = kind
    return known


def scalar_demands(program: Program, extra: tuple[int, Statement] | None = None) -> list[frozenset[str]]:
    """Find the variables that must hold a scalar, before each statement and at the end.

    A variable must hold a scalar if its value reaches an argument that must be a scalar, in this step or a later one,
    through functions whose result is a scalar only if their arguments are.

    Args:
        program: A checked program.
        extra: A statement to be inserted before the statement at that index; its own demands count, but its target is
            not chosen yet.

    Returns:
        One set of names before each statement, and one at the end.
    """
    statements = program.statements
    size = len(statements)
    places: list[frozenset[str]] = [frozenset()] * (size + 1)
    own = {
        index: found
        for index, statement in enumerate(statements)
        if statement[1] in _SCALAR_PLACES and (found := _own_demands(statement))
    }
    added_at, added = (extra[0], _own_demands(extra[1])) if extra else (0, frozenset())
    if not own and not added:
        return places
    state = frozenset(program.state)
    at_start: frozenset[str] = frozenset()
    while True:
        demanded = places[size] = at_start & state
        for index in range(size - 1, -1, -1):
            if added and added_at == index + 1:
                demanded |= added
            target, function, arguments = statements[index]
            if target in demanded:
                demanded -= {target}
                if FUNCTIONS[function].largest is not SCALAR:
                    demanded = demanded.union([argument for argument in arguments if isinstance(argument, str)])
            if index in own:
                demanded |= own[index]
            places[index] = demanded
        if added and added_at == 0:
            demanded |= added
        if demanded == at_start:
            return places
        at_start = demanded


def _own_demands(statement: Statement) -> frozenset[str]:
    """Return the variables that a statement passes as arguments that must be scalars."""
    places = _SCALAR_PLACES.get(statement.function, ())
    return frozenset([name for place in places if isinstance(name := statement.arguments[place], str)])
