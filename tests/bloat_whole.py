"""Bloats of a whole program: dead code, state variables, names and order; each returns None if it does not fit."""

from programs.program import RESERVED, Program, Statement, fresh_name, variables


def drawn(program, rng, fits):
    """Draw the place of a statement that fits; None if no statement fits."""
    places = [place for place, statement in enumerate(program.statements) if fits(statement)]
    return int(rng.choice(places)) if places else None


def spliced(program, begin, end, statements, parameters=()):
    """Replace statements by others, and add new state variables after the parameters."""
    body = (*program.statements[:begin], *statements, *program.statements[end:])
    return Program((*program.parameters, *parameters), body, program.update)


def dead_code(program, rng):
    """Insert a statement whose value nothing reads."""
    place = int(rng.integers(len(program.statements) + 1))
    known = sorted({*program.parameters, *(s.target for s in program.statements[:place])})
    function, *arguments = rng.choice(known, 3)
    function = str(rng.choice(["add", "multiply", "divide", "max", "subtract"]))
    target = fresh_name(variables(program))
    return spliced(program, place, place, [Statement(target, function, tuple(map(str, arguments)))])


def overwritten_code(program, rng):
    """Insert a statement whose value is overwritten before it is read."""
    place = drawn(program, rng, lambda s: s.target not in s.arguments)
    if place is None:
        return None
    target = program.statements[place].target
    return spliced(
        program, place, place, [Statement(target, "exp", (target if target in program.parameters else "g",))]
    )


def dead_state(program, rng):
    name = fresh_name(variables(program))
    place = int(rng.integers(len(program.statements) + 1))
    return spliced(program, place, place, [Statement(name, "interp", ("g", name, 0.7))], (name,))


def zero_state(program, rng):
    """Subtract a state variable that stays zero from a value."""
    place = drawn(program, rng, lambda s: True)
    if place is None:
        return None
    name, target = fresh_name(variables(program)), program.statements[place].target
    return spliced(program, place + 1, place + 1, [Statement(target, "subtract", (target, name))], (name,))


def renamed_in(program, names):
    def of(argument):
        return names.get(argument, argument) if isinstance(argument, str) else argument

    body = tuple(Statement(of(t), function, tuple(map(of, given))) for t, function, given in program.statements)
    return Program(tuple(map(of, program.parameters)), body, of(program.update))


def doubled_state(program, rng):
    """Keep a state variable twice; half of its readers read the copy."""
    if not program.state:
        return None
    first = str(rng.choice(program.state))
    second = fresh_name(variables(program))
    body = []
    for statement in program.statements:
        other = [second if x == first and rng.random() < 0.5 else x for x in statement.arguments]
        body.append(statement._replace(arguments=tuple(other)))
        if statement.target == first:
            body.append(Statement(second, statement.function, tuple(other)))
            if first in other or second in other:  # the second write must read the same values as the first
                body[-2:] = [Statement(second, statement.function, tuple(other)), Statement(first, "copy", (second,))]
    return Program((*program.parameters, second), tuple(body), program.update)


def scaled_state(program, rng):
    """Keep a state variable at twice its value."""
    names = [name for name in program.state if name != program.update]
    if not names:
        return None
    name = str(rng.choice(names))
    inner = fresh_name(variables(program))
    renamed = renamed_in(program, {name: inner})
    begin, end = Statement(inner, "multiply", (name, 0.5)), Statement(name, "multiply", (inner, 2.0))
    return Program(program.parameters, (begin, *renamed.statements, end), renamed.update)


def permuted_state(program, rng):
    return Program(tuple(map(str, rng.permutation(program.parameters))), program.statements, program.update)


def renamed(program, rng):
    own = sorted(variables(program) - set(RESERVED))
    return renamed_in(program, dict(zip(own, [f"x{place}" for place in rng.permutation(len(own))], strict=True)))


def reordered(program, rng):
    """Swap neighbouring statements that do not depend on each other, many times."""
    body = list(program.statements)
    for place in rng.integers(max(len(body) - 1, 1), size=3 * len(body)) if len(body) > 1 else ():
        one, two = body[place], body[place + 1]
        if one.target != two.target and one.target not in two.arguments and two.target not in one.arguments:
            body[place : place + 2] = [two, one]
    return Program(program.parameters, tuple(body), program.update)
