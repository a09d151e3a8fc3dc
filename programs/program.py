"""What a program is: frozen records, their canonical text, and the error for programs that are not well formed."""

import keyword
import re
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import NamedTuple

from programs.functions import FUNCTIONS

RESERVED = ("w", "g", "lr", "t")  # weights, gradient, the schedule's value, the step from 1
INDENT = "    "
_CALLS = {name: f"{name}({', '.join(['{}'] * row.arity)})" for name, row in FUNCTIONS.items()}
_OPERATORS = {name: f"{{}} {row.infix} {{}}" for name, row in FUNCTIONS.items() if row.infix}
_TEXTS = {name: "{} = " + call for name, call in (_CALLS | _OPERATORS | {"copy": "{}"}).items()}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")

Argument = str | float  # a variable's name, or a number


class ProgramError(ValueError):
    """A program that is not well formed: the place, what is wrong there, and what was expected.

    Attributes:
        message: The sentence without its place.
        line: The line, from 1; None if the error is not in a text.
        column: The column, from 1; None if the whole line is meant.
    """

    def __init__(self, message: str, line: int | None = None, column: int | None = None, source: str = ""):
        self.message, self.line, self.column = message, line, column
        place = "" if line is None else f"line {line}" + ("" if column is None else f", column {column}") + ": "
        shown = ""
        lines = source.split("\n")
        if line is not None and 1 <= line <= len(lines):
            text = "".join(letter if letter.isprintable() else " " for letter in lines[line - 1][:200])
            shown = f"\n  {text}" + ("" if column is None or column > 200 else f"\n  {' ' * (column - 1)}^")
        super().__init__(f"{place}{message}{shown}")


class Statement(NamedTuple):
    """One call: ``target = function(arguments)``."""

    target: str
    function: str  # a name in FUNCTIONS
    arguments: tuple[Argument, ...]

    def __str__(self) -> str:
        """Return the canonical text: operators as infix, a copy as a plain assignment."""
        target, function, arguments = self
        return _TEXTS[function].format(target, *arguments)


@dataclass(frozen=True)
class Program:
    """One step of an optimizer: what it reads, its statements, and the variable that is the update.

    The training loop does ``w = w - update``. Every parameter whose name is not reserved is a state variable: zero at
    first, and after the step the value that its variable then holds.
    """

    parameters: tuple[str, ...]
    statements: tuple[Statement, ...]
    update: str  # the variable that is returned first

    @cached_property
    def state(self) -> tuple[str, ...]:
        """The state variables, in the order of the parameters."""
        return tuple(name for name in self.parameters if name not in RESERVED)

    def __reduce__(self) -> tuple:
        """Copy and pickle only the program, not the facts stored with it."""
        return Program, (self.parameters, self.statements, self.update)

    def __str__(self) -> str:
        """Return the canonical text; parsing it gives an equal program."""
        return self._text

    @cached_property
    def _text(self) -> str:
        lines = [f"def train({', '.join(self.parameters)}):"]
        lines += [INDENT + str(statement) for statement in self.statements]
        lines.append(f"{INDENT}return {', '.join((self.update, *self.state))}")
        return "\n".join(lines) + "\n"


@lru_cache(maxsize=4096)
def name_problem(name: str) -> str:
    """Return why a variable cannot have this name; empty if it can."""
    if not _NAME.fullmatch(name):
        return "a name has up to 64 ASCII letters, digits and underscores, and does not begin with a digit"
    if keyword.iskeyword(name):
        return f"'{name}' is a Python keyword and cannot be a variable"
    return f"'{name}' is the name of a function and cannot be a variable" if name in FUNCTIONS else ""


def variables(program: Program) -> frozenset[str]:
    """Return the names of all variables in the program."""
    return frozenset(program.parameters) | {statement.target for statement in program.statements}


def fresh_name(taken: frozenset[str] | set[str]) -> str:
    """Return the first of ``v1``, ``v2`` … that is not taken."""
    number = 1
    while f"v{number}" in taken:
        number += 1
    return f"v{number}"


def with_argument(program: Program, where: tuple[int, int], argument: Argument) -> Program:
    """Return the program with another argument at (statement, place)."""
    index, place = where
    target, function, old = program.statements[index]
    changed = Statement(target, function, (*old[:place], argument, *old[place + 1 :]))
    return replace(program, statements=(*program.statements[:index], changed, *program.statements[index + 1 :]))
