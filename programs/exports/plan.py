"""What an exported module says, whichever library it is for: names, settings, and what its docstring tells."""

import builtins
import keyword
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from programs.algebra.keys import key
from programs.checking import Facts, check, is_elementwise
from programs.dataflow import without_dead_statements
from programs.function import Kind
from programs.functions import FUNCTIONS
from programs.program import Argument, Program, ProgramError, variables

Place = tuple[int, int]  # of an argument: its statement, and its place there

_PLAIN_NUMBERS = (-1.0, 0.0, 1.0, 2.0)  # part of a formula, not a setting
_HOLDS = {
    Kind.TENSOR: "a number for each weight",
    Kind.PER_ARRAY: "a number for each weight array",
    Kind.SCALAR: "one number",
}


@dataclass(frozen=True)
class Plan:
    """What the text of a module is made of.

    Attributes:
        program: what is exported, its live statements alone.
        facts: what ``check`` says of it.
        name: of the factory or class.
        rate: the name of the keyword argument that is the learning rate.
        settings: the keyword arguments and their defaults, the learning rate first.
        roles: the keyword argument that stands for an argument of a statement.
        names: for every variable of the program an identifier that hides nothing in the module.
    """

    program: Program
    facts: Facts
    name: str
    rate: str
    settings: Mapping[str, float]
    roles: Mapping[Place, str]
    names: Mapping[str, str]

    def is_rate(self, index: int) -> bool:
        """Tell whether a statement is ``lr * number`` whose value is the learning rate as a whole."""
        arguments = self.program.statements[index].arguments
        return any(self.roles.get((index, place)) == self.rate for place in range(len(arguments)))

    def word(self, index: int, place: int) -> str:
        """Write an argument of a statement: a variable, a setting or a number."""
        argument: Argument = self.program.statements[index].arguments[place]
        if isinstance(argument, str):
            return self.names[argument]
        text = self.roles.get((index, place)) or repr(argument)
        return f"({text})" if text.startswith("-") else text

    @property
    def unread_rate(self) -> str:
        """What to add to a sentence on the learning rate where the program has none."""
        return "" if "lr" in self.facts.inputs else "; not read here"

    def describe(self, setting: str) -> str:
        """Say what a setting is in the program, for all but the learning rate."""
        uses = [str(self.program.statements[index]) for (index, _), role in self.roles.items() if role == setting]
        return f"the number in `{uses[0]}`." if len(uses) == 1 else f"the number in `{'` and `'.join(uses)}`."


def make_plan(program: Program, name: str, taken: Collection[str], rate: str, hidden: Collection[str] = ()) -> Plan:
    """Choose the names of a module.

    Args:
        program: what to export; its dead statements are left out.
        name: of the factory or class.
        taken: names that the module uses itself.
        rate: the name of the keyword argument that is the learning rate.
        hidden: names that only a variable of the program may not have.

    Raises:
        ProgramError: where the program is not well formed, or the name is no identifier or taken.
    """
    kept = set(taken) | set(dir(builtins))
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", name) or keyword.iskeyword(name) or name in kept:
        raise ProgramError(f"'{name[:80]}' cannot be a function's name; give letters, digits and underscores")
    live = without_dead_statements(program)
    settings, roles = _settings(live, rate)
    names = _safe_names(live, kept | (set(settings) - {rate}) | {name} | set(hidden))
    return Plan(live, check(live), name, rate, settings, roles, names)


def _settings(program: Program, rate: str) -> tuple[dict[str, float], dict[Place, str]]:
    """Name the constants: the keyword arguments, and which stands for the argument at (statement, place)."""
    roles: dict[Place, str] = {}
    settings = {rate: 1.0}
    factor = _rate_place(program)
    if factor is not None:
        roles[factor] = rate
        settings[rate] = float(program.statements[factor[0]].arguments[factor[1]])
    decays: dict[float, str] = {}  # the name of every interp's constant, by its value
    for index, statement in enumerate(program.statements):
        for place, value in enumerate(statement.arguments):
            if not isinstance(value, str) and statement.function == "interp" and place == 2:
                if value not in decays:
                    decays[value] = _add(settings, "b", value)
                roles[index, place] = decays[value]
    weights_intact = True
    for index, statement in enumerate(program.statements):
        for place, value in enumerate(statement.arguments):
            if isinstance(value, str) or (index, place) in roles:
                continue
            if statement.function == "power" and statement.arguments[1] == "t" and value in decays:
                roles[index, place] = decays[value]
            elif statement.function == "multiply" and "w" in statement.arguments and weights_intact:
                roles[index, place] = _add(settings, "weight_decay", value)
            elif value not in _PLAIN_NUMBERS:
                roles[index, place] = _add(settings, "c", value)
        weights_intact = weights_intact and statement.target != "w"
    return settings, roles


def _add(settings: dict[str, float], stem: str, value: float) -> str:
    """Add a keyword argument: ``weight_decay`` or ``weight_decay2``, ``b1``, ``c1`` and so on."""
    name, number = ("weight_decay", 2) if stem == "weight_decay" else (f"{stem}1", 2)
    while name in settings:
        name, number = f"{stem}{number}", number + 1
    settings[name] = value
    return name


def _rate_place(program: Program) -> Place | None:
    """Find the number in ``lr * number``, where that is the only place at which the schedule's value is read."""
    found, intact = [], True
    for index, statement in enumerate(program.statements):
        if intact and "lr" in statement.arguments:
            numbers = [place for place, x in enumerate(statement.arguments) if not isinstance(x, str)]
            scales = statement.function == "multiply" and len(numbers) == 1
            found.append((index, numbers[0]) if scales else None)
        intact = intact and statement.target != "lr"
    returned = intact and program.update == "lr"
    return found[0] if len(found) == 1 and not returned else None


def _safe_names(program: Program, taken: Collection[str]) -> dict[str, str]:
    """Rename variables that would hide a name of the module, or that a NamedTuple refuses."""
    kept, names = set(taken), {}
    for variable in sorted(variables(program)):
        stem = variable.strip("_") or "x"
        safe = f"x{stem}" if stem[0].isdigit() else stem
        while safe in kept or keyword.iskeyword(safe):
            safe += "_"
        names[variable] = safe
        kept.add(safe)
    return names


def docstring(plan: Plan, what: str, convention: str, example: str, provenance: Sequence[str]) -> str:
    """Write the docstring of a module: the program, its facts, where it comes from, and an example.

    Args:
        plan: what is exported.
        what: it is exported as, such as "an Optax transformation".
        convention: a sentence on what is done with the update.
        example: lines that run.
        provenance: lines on where the program comes from, of any text: what cannot be printed is written as Python's
            escapes are.
    """
    blocks = {
        "The program:": str(plan.program),
        "Its facts:": "\n".join(_facts(plan)),
        "Where it comes from:": "\n".join(map(_printable, provenance)),
        "Example:": example,
    }
    written = [
        f"{title}\n\n" + "".join(f"    {line}".rstrip() + "\n" for line in text.splitlines())
        for title, text in blocks.items()
        if text
    ]
    text = "\n".join([f"{plan.name}: an optimizer exported by Pride, as {what}.\n", *written, f"{convention}\n"])
    return f'"""{_escaped(text)}"""\n'


def _facts(plan: Plan) -> list[str]:
    facts = plan.facts
    state = [f"{plan.names[name]} ({_HOLDS[facts.state_kinds[name]]})" for name in facts.live_state]
    whole = dict.fromkeys(s.function for s in plan.program.statements if not FUNCTIONS[s.function].elementwise)
    rows = {
        "key": key(plan.program),
        "statements": f"{facts.statements}, all live",
        "state": ", ".join(state) or "none",
        "reads": ", ".join(sorted(facts.inputs)) or "nothing",
        "elementwise": "yes" if is_elementwise(plan.program) else f"no: {', '.join(whole)}",
    }
    return [f"{title:<13}{text}" for title, text in rows.items()]


def _printable(line: str) -> str:
    return "".join(x if x.isprintable() else x.encode("unicode_escape").decode() for x in line)


def _escaped(text: str) -> str:
    """Write a text so that it stands between triple quotes as it is, in ASCII."""
    quoted = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return "".join(x if x.isascii() else x.encode("unicode_escape").decode() for x in quoted)


def defined(used: Collection[str], definitions: Mapping[str, str]) -> str:
    """Give the text that defines some of a table's functions, and those that they call, in the order of the table."""
    needed, waiting = set(), list(used)
    while waiting:
        name = waiting.pop()
        needed.add(name)
        waiting += [other for other in definitions if other not in needed and f"_{other}(" in definitions[name]]
    return "\n".join(text for name, text in definitions.items() if name in needed)
