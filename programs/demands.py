"""What an edit must know of a place in a program: the kinds of the variables there, and which must stay scalars."""

from programs.checking import INPUT_KINDS, check
from programs.function import SCALAR, Kind
from programs.functions import FUNCTIONS, SCALAR_PLACES
from programs.program import Program, Statement

_SCALAR_PLACES = dict(SCALAR_PLACES)  # quicker to look up


def kinds_before(program: Program, index: int) -> dict[str, Kind]:
    """Give the kind of every variable that has a value before the statement at ``index``, from 0 to their number."""
    facts = check(program)
    at_start = {**INPUT_KINDS, **facts.state_kinds}
    known = {name: at_start[name] for name in program.parameters}
    for statement, kind in zip(program.statements[:index], facts.kinds, strict=False):
        known[statement.target] = kind
    return known


def scalar_demands(program: Program, extra: tuple[int, Statement] | None = None) -> list[frozenset[str]]:
    """Find the variables that must hold a scalar, before each statement and at the end.

    A variable is demanded where its value reaches an argument that must be a scalar, through functions whose result is
    a scalar only if their arguments are, in this step or a later one.

    Args:
        program: a checked program.
        extra: a statement that is about to be put in front of the statement at that index, where its own demands count
            but its target is still open.

    Returns:
        One more set than there are statements.
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
    """Give the variables that a statement takes where only a scalar will do."""
    places = _SCALAR_PLACES.get(statement.function, ())
    return frozenset([name for place in places if isinstance(name := statement.arguments[place], str)])
