"""What a program can be exported to: one table, a row a target."""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import programs
from evolve.references import NamedProgram
from programs.dataflow import without_dead_statements


@dataclass(frozen=True)
class Target:
    """One thing that `pride export --to` makes.

    Attributes:
        name: as it is given after ``--to``.
        write: makes the text of a program; takes the factory's name too, which only a module has.
        module: whether the text is a Python module with a factory.
        summary: what it is, for the command's help.
    """

    name: str
    write: Callable[[NamedProgram, str], str]
    module: bool
    summary: str


def _optax(named: NamedProgram, name: str) -> str:
    return programs.export_optax(named.program, name)


def _latex(named: NamedProgram, name: str) -> str:
    header = [*facts(named), r"g_t is the gradient, \theta the weights, \eta the schedule's value; state starts at 0."]
    return _commented(header, "%") + programs.to_latex(named.program)


def _text(named: NamedProgram, name: str) -> str:
    return _commented(facts(named), "#") + str(without_dead_statements(named.program))


def facts(named: NamedProgram) -> list[str]:
    """Give the lines that head an export: where the program is from, its key and its size."""
    found = programs.check(named.program)
    state = ", ".join(found.live_state) or "none"
    return [
        *(named.header.splitlines() or [f"name: {named.name}"]),
        f"key: {programs.key(named.program)}",
        f"statements: {found.statements}",
        f"state: {state}; {found.state_slots} number(s) for each weight",
    ]


def _commented(lines: list[str], mark: str) -> str:
    """Make comments of lines; what is not printable becomes a mark, so that no line ends early."""
    shown = ("".join(letter if letter.isprintable() else "\ufffd" for letter in line) for line in lines)
    return "".join(f"{mark} {line}".rstrip() + "\n" for line in shown)


_ROWS = (
    Target("optax", _optax, True, "a module that imports only JAX and Optax"),
    Target("latex", _latex, False, "the equations of a step"),
    Target("text", _text, False, "the program itself without its dead statements, below its facts"),
)
TARGETS = MappingProxyType({row.name: row for row in _ROWS})
