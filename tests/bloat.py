"""Programs bloated at random: each kind of bloat adds statements that change nothing, exactly or up to rounding."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from bloat_whole import (
    dead_code,
    dead_state,
    doubled_state,
    drawn,
    overwritten_code,
    permuted_state,
    renamed,
    reordered,
    scaled_state,
    spliced,
    zero_state,
)

import programs
from programs.program import RESERVED, Program, fresh_name, variables

NEVER_NEGATIVE = ("abs", "square", "sqrt", "norm", "global_norm")
EVEN = ("abs", "square", "sqrt", "norm", "cos", "log")


@dataclass(frozen=True)
class Kind:
    """One kind of bloat: ``apply`` returns the bloated program, or None if this kind does not fit anywhere."""

    name: str
    exact: bool  # the same bits in 32-bit floats, unless something overflows or underflows
    apply: Callable[[Program, np.random.Generator], Program | None]


@dataclass(frozen=True)
class Bloated:
    """A bloated program, and the kinds of its bloat in the order they were added."""

    program: Program
    kinds: tuple[Kind, ...]

    @property
    def exact(self):
        return all(kind.exact for kind in self.kinds)


def bloat(start, rng, kinds, count):
    """Bloat a program with ``count`` kinds drawn from those of ``kinds`` that fit somewhere."""
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
    """Parse statements in which braces stand for names and numbers."""
    text = "".join(f"    {line.strip().format_map(names)}\n" for line in lines.split(";"))
    known = sorted(
        {name for name in names.values() if isinstance(name, str) and name not in programs.FUNCTIONS} | {"g"}
    )
    state = [name for name in known if name not in RESERVED]
    return programs.parse(f"def train({', '.join(known)}):\n{text}    return {', '.join(['g', *state])}\n")


def rewritten(functions, lines, fits=lambda statement: True, numbers=lambda statement, rng: {}):
    """Make a kind that replaces a statement ``{t} = {f}({x}, {y}, {z})`` by lines; {n} and {k} are new names.

    If the lines begin with ``...``, they follow the statement instead, and {x} is its target.
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


def computed_number(lines, fits=lambda statement: True):
    """Make a kind that computes a number which a statement reads; {c} is the number and {n} the name of the result."""

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
