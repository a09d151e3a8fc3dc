"""What a program can be exported to: one table, one row per target."""

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
        name: The name, as given after ``--to``.
        write: Makes the text of a program; also takes the name of the factory or class, which only a module has.
        module: Whether the text is a Python module that defines such a name.
        summary: A description for the command's help.
    """

    name: str
    write: Callable[[NamedProgram, str], str]
    module: bool
    summary: str


def _module(export: Callable[[programs.Program, str, Sequence[str]], str]) -> Callable[[NamedProgram, str], str]:
    """Return a `write` by an export of programs, whose docstring says where the program comes from."""
    return lambda named, name: export(named.program, name, provenance(named))


def _latex(named: NamedProgram, name: str) -> str:
    header = [*facts(named), r"g_t is the gradient, \theta the weights, \eta the schedule's value; state starts at 0."]
    return comments(header, "%") + programs.to_latex(named.program)


def _text(named: NamedProgram, name: str) -> str:
    return comments(facts(named), "#") + str(without_dead_statements(named.program))


def facts(named: NamedProgram) -> list[str]:
    """Return the lines at the head of an export: where the program comes from, its key and its size."""
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
