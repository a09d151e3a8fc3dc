"""What a program can be exported to: one table, a row a target."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import programs
from evolve.commands.provenance import comments, provenance
from evolve.commands.references import NamedProgram
from programs.dataflow import without_dead_statements


@dataclass(frozen=True)
class Target:
    """One thing that `pride export --to` makes.

    Attributes:
        name: as it is given after ``--to``.
        write: makes the text of a program; takes the factory's or class's name too, which only a module has.
        module: whether the text is a Python module with such a name.
        summary: what it is, for the command's help.
    """

    name: str
    write: Callable[[NamedProgram, str], str]
    module: bool
    summary: str


def _module(export: Callable[[programs.Program, str, Sequence[str]], str]) -> Callable[[NamedProgram, str], str]:
    """Let an export of programs tell in its docstring where the program comes from."""
    return lambda named, name: export(named.program, name, provenance(named))


def _latex(named: NamedProgram, name: str) -> str:
    header = [*facts(named), r"g_t is the gradient, \theta the weights, \eta the schedule's value; state starts at 0."]
    return comments(header, "%") + programs.to_latex(named.program)


def _text(named: NamedProgram, name: str) -> str:
    return comments(facts(named), "#") + str(without_dead_statements(named.program))


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


_ROWS = (
    Target("optax", _module(programs.export_optax), True, "a module that imports only JAX and Optax"),
    Target(
        "torch", _module(programs.export_torch), True, "a module that imports only PyTorch: a torch.optim.Optimizer"
    ),
    Target("keras", _module(programs.export_keras), True, "a module that imports only Keras 3: a keras.Optimizer"),
    Target("latex", _latex, False, "the equations of a step"),
    Target("text", _text, False, "the program itself without its dead statements, below its facts"),
)
TARGETS = MappingProxyType({row.name: row for row in _ROWS})
