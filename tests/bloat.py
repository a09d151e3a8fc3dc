"""Programs bloated at random: each kind of bloat adds statements that change nothing, exactly or up to rounding."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import programs
from programs.program import RESERVED, Program, Statement, fresh_name, variables

NEVER_NEGATIVE = ("abs", "square", "sqrt", "norm", "global_norm")
EVEN = ("abs", "square", "sqrt", "norm", "cos", "log")


@dataclass(frozen=True)
class Kind:
    """One kind of bloat: ``apply`` gives the bloated program, or None where this kind finds no place."""

    name: str
    exact: bool  # the same bits in 32-bit floats, where nothing overflows or underflows
    apply: Callable[[Program, np.random.Generator], Program | None]


@dataclass(frozen=True)
class Bloated:
    """A program with its bloats in the order they were made."""

    program: Program
    kinds: tuple[Kind, ...]

    @property
    def exact(self):
        return all(kind.exact for kind in self.kinds)


def bloat(start, rng, kinds, count):
    """Bloat a program with ``count`` kinds drawn from ``kinds``, those that find a place."""
    current, made = start, []
    for place in rng.permutation(np.repeat(np.arange(len(kinds)), 3)):
        if len(made) == count:
            break
        found = kinds[place].apply(current, rng)
        if found is not None:
            programs.check(found)
            current, made = found, [*made, kinds[place]]
    return Bloated(current, tuple(made))


def read(lines, names):
    """Read statements in which names and numbers are given by braces."""
    text = "".join(f"    {line.strip().format_map(names)}\n" for line in lines.split(";"))
    known = sorted(
        {name for name in names.values() if isinstance(name, str) and name not in programs.FUNCTIONS} | {"g"}
    )
    state = [name for name in known if name not in RESERVED]
    return programs.parse(f"def train({', '.join(known)}):\n{text}    return {', '.join(['g', *state])}\n")


def drawn(program, rng, fits):
    """Draw the place of a statement that fits; None where there is none."""
    places = [place for place, statement in enumerate(program.statements) if fits(statement)]
    return int(rng.choice(places)) if places else None


def spliced(program, begin, end, statements, parameters=()):
    """Put statements in the place of others, and new state variables after the parameters."""
    body = (*program.statements[:begin], *statements, *program.statements[end:])
    return Program((*program.parameters, *parameters), body, program.update)


def rewritten(functions, lines, fits=lambda statement: True, numbers=lambda statement, rng: {}):
    """Make a kind that puts lines in the place of a statement ``{t} = {f}({x}, {y}, {z})``; {n} and {k} are new names.

    Where the lines begin with ``...`` they come after the statement, with {x} for its target.
    """

    def apply(program, rng):
        place = drawn(program, rng, lambda s: (not functions or s.function in functions) and fits(s))
        if place is None:
            return None
        statement = program.statements[place]
        taken = variables(program)
        new = fresh_name(taken)
        after = lines.startswith("...")
        arguments = (statement.target,) if after else statement.arguments
        names = dict(zip("xyz", arguments, strict=False)) | {"t": statement.target, "f": statement.function}
        names |= {"c": statement.arguments[-1]} if statement.arguments else {}
        names |= {"n": new, "k": fresh_name(taken | {new})} | numbers(statement, rng)
        made = read(lines.removeprefix("...").strip(), names).statements
        return spliced(program, place if not after else place + 1, place + 1, made)

    return apply


def reads_variable(statement):
    return isinstance(statement.arguments[0], str) if statement.arguments else False


def is_number(place):
    return lambda s: (
        len(s.arguments) > place
        and isinstance(s.arguments[place], float)
        and s.arguments[place] > 0.0
        and (place > 0 and isinstance(s.arguments[0], str))
    )


def two_variables(statement):
    return all(isinstance(argument, str) for argument in statement.arguments)


def true_interp(statement):
    return two_variables(statement._replace(arguments=statement.arguments[:2])) and (
        isinstance(statement.arguments[2], float) and 0.5 < statement.arguments[2] < 1.0
    )


def powers(statement, rng):
    up = float(2.0 ** rng.integers(1, 5))
    return {"a": statement.arguments[-1] * up, "b": 1.0 / up}


def split_product(statement, rng):
    part = float(rng.choice([0.1, 0.5, 0.2, 0.3, 2.5]))
    return {"a": part, "b": statement.arguments[-1] / part}


def split_interp(statement, rng):
    outer = float(rng.uniform(statement.arguments[2], 1.0))
    return {"a": statement.arguments[2] / outer, "b": outer}


def dead_code(program, rng):
    """Insert a statement whose value nothing reads."""
    place = int(rng.integers(len(program.statements) + 1))
    known = sorted({*program.parameters, *(s.target for s in program.statements[:place])})
    function, *arguments = rng.choice(known, 3)
    function = str(rng.choice(["add", "multiply", "divide", "max", "subtract"]))
    target = fresh_name(variables(program))
    return spliced(program, place, place, [Statement(target, function, tuple(map(str, arguments)))])


def overwritten_code(program, rng):
    """Insert a statement whose value the next one that writes its target replaces unread."""
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
    name, target = fresh_name(variables(program)), program.statements[place].target
    return spliced(program, place + 1, place + 1, [Statement(target, "subtract", (target, name))], (name,))


def renamed_in(program, names):
    def of(argument):
        return names.get(argument, argument) if isinstance(argument, str) else argument

    body = tuple(Statement(of(t), function, tuple(map(of, given))) for t, function, given in program.statements)
    return Program(tuple(map(of, program.parameters)), body, of(program.update))


def doubled_state(program, rng):
    """Keep a state variable twice; half of what read it reads the other."""
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
            if first in other or second in other:  # the second write must read what the first did
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
    """Swap neighbours that do not depend on one another, again and again."""
    body = list(program.statements)
    for place in rng.integers(max(len(body) - 1, 1), size=3 * len(body)) if len(body) > 1 else ():
        one, two = body[place], body[place + 1]
        if one.target != two.target and one.target not in two.arguments and two.target not in one.arguments:
            body[place : place + 2] = [two, one]
    return Program(program.parameters, tuple(body), program.update)


def computed_number(lines, fits=lambda statement: True):
    """Make a kind that computes a number that a statement reads; {c} is the number and {n} the name of the result."""

    def apply(program, rng):
        place = drawn(program, rng, lambda s: fits(s) and any(isinstance(x, float) and x > 0.0 for x in s.arguments))
        if place is None:
            return None
        statement = program.statements[place]
        where = next(i for i, x in enumerate(statement.arguments) if isinstance(x, float) and x > 0.0)
        name, number = fresh_name(variables(program)), statement.arguments[where]
        made = read(lines, {"n": name, "c": number, "half": number / 2.0, "more": number + 0.25, "sq": number**2})
        given = (*statement.arguments[:where], name, *statement.arguments[where + 1 :])
        return spliced(program, place, place + 1, [*made.statements, statement._replace(arguments=given)])

    return apply


KINDS = (
    Kind("dead statement", True, dead_code),
    Kind("overwritten statement", True, overwritten_code),
    Kind("dead state", True, dead_state),
    Kind("zero state", True, zero_state),
    Kind("doubled state", True, doubled_state),
    Kind("state at twice its value", True, scaled_state),
    Kind("permuted parameters", True, permuted_state),
    Kind("renamed variables", True, renamed),
    Kind("reordered statements", True, reordered),
    Kind("copies", True, rewritten((), "... {n} = {x}; {x} = {n}")),
    Kind("x * 1", True, rewritten((), "... {x} = {x} * 1.0")),
    Kind("x - 0", True, rewritten((), "... {x} = {x} - 0.0")),
    Kind("x + 0", False, rewritten((), "... {x} = {x} + 0.0")),
    Kind("x / 1", False, rewritten((), "... {x} = {x} / 1.0")),
    Kind("negated twice", True, rewritten((), "... {n} = negative({x}); {x} = negative({n})")),
    Kind("times -1 twice", True, rewritten((), "... {n} = {x} * -1.0; {x} = {n} * -1.0")),
    Kind("max(x, x)", True, rewritten((), "... {x} = max({x}, {x})")),
    Kind("min(x, x)", True, rewritten((), "... {x} = min({x}, {x})")),
    Kind("where(c, x, x)", True, rewritten((), "... {x} = where({x}, {x}, {x})")),
    Kind("where of a number", True, rewritten((), "... {x} = where(1.0, {x}, 0.0)")),
    Kind("interp(x, x, a)", False, rewritten((), "... {x} = interp({x}, {x}, 0.3)")),
    Kind("scaled there and back", True, rewritten((), "... {x} = {x} * 4.0; {x} = {x} * 0.25")),
    Kind("two halves", True, rewritten((), "... {n} = {x} * 0.5; {x} = {n} + {n}")),
    Kind("x - (x - x)", True, rewritten((), "... {n} = {x} - {x}; {x} = {x} - {n}")),
    Kind("added and taken away", False, rewritten((), "... {n} = {x} + 0.5; {x} = {n} - 0.5")),
    Kind("abs of what is not negative", True, rewritten(NEVER_NEGATIVE, "... {x} = abs({x})")),
    Kind("clipped to be not negative", True, rewritten(NEVER_NEGATIVE, "... {x} = max({x}, 0.0)")),
    Kind("root of the square", False, rewritten(NEVER_NEGATIVE, "... {x} = square({x}); {x} = sqrt({x})")),
    Kind("sign of a sign", True, rewritten(("sign",), "... {x} = sign({x})")),
    Kind("clipped sign", True, rewritten(("sign",), "... {x} = min({x}, 1.0); {x} = max({x}, -1.0)")),
    Kind("scale before a sign", True, rewritten(("sign",), "{n} = {x} * 3.0; {t} = sign({n})", reads_variable)),
    Kind("clip before a sign", False, rewritten(("sign",), "{n} = clip({x}, 0.5); {t} = sign({n})", reads_variable)),
    Kind("abs before an even function", True, rewritten(EVEN, "{n} = abs({x}); {t} = {f}({n})")),
    Kind("sign before an even function", True, rewritten(EVEN, "{n} = negative({x}); {t} = {f}({n})")),
    Kind("square as a product", True, rewritten(("square",), "{t} = {x} * {x}")),
    Kind("clipped twice", True, rewritten(("max", "min"), "...{x} = {f}({x}, {c})", is_number(1))),
    Kind(
        "clipped between -1 and 1 twice",
        True,
        rewritten(("sign",), "...{x} = max({x}, -1.0); {x} = min({x}, 1.0); {x} = max({x}, -1.0)"),
    ),
    Kind(
        "interp split",
        False,
        rewritten(("interp",), "{n} = interp({x}, {y}, {a}); {t} = interp({x}, {n}, {b})", true_interp, split_interp),
    ),
    Kind(
        "interp written out",
        False,
        rewritten(("interp",), "{n} = 1.0 - {z}; {n} = {n} * {x}; {k} = {y} * {z}; {t} = {n} + {k}", true_interp),
    ),
    Kind(
        "interp of doubles",
        True,
        rewritten(("interp",), "{n} = {x} * 2.0; {k} = {y} * 2.0; {t} = interp({n}, {k}, {z}); {t} = {t} * 0.5"),
    ),
    Kind(
        "product split by a power of 2",
        True,
        rewritten(("multiply",), "{n} = {x} * {a}; {t} = {n} * {b}", is_number(1), powers),
    ),
    Kind(
        "product split",
        False,
        rewritten(("multiply",), "{n} = {x} * {a}; {t} = {n} * {b}", is_number(1), split_product),
    ),
    Kind(
        "product of negatives",
        True,
        rewritten(("multiply",), "{n} = negative({x}); {k} = negative({y}); {t} = {n} * {k}", two_variables),
    ),
    Kind("sum as a difference", True, rewritten(("add",), "{n} = negative({y}); {t} = {x} - {n}", two_variables)),
    Kind("difference as a sum", True, rewritten(("subtract",), "{n} = negative({y}); {t} = {x} + {n}", two_variables)),
    Kind(
        "sum scaled inside",
        True,
        rewritten(("add",), "{n} = {x} * 2.0; {k} = {y} * 2.0; {t} = {n} + {k}; {t} = {t} * 0.5", two_variables),
    ),
    Kind("arguments swapped", True, rewritten(("add", "multiply", "max", "min"), "{t} = {f}({y}, {x})")),
    Kind("number from halves", True, computed_number("{n} = {half} + {half}", lambda s: s.function != "interp")),
    Kind("weight from halves", False, computed_number("{n} = {half} + {half}", lambda s: s.function == "interp")),
    Kind("number from a quarter more", False, computed_number("{n} = {more} - 0.25")),
    Kind("number from its square", False, computed_number("{n} = sqrt({sq})")),
)
