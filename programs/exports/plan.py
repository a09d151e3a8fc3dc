"""What all exported modules have in common, whatever the library: names, settings and the docstring."""

import builtins
import keyword
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from programs.algebra.keys import key
from programs.checking import Facts, check, is_elementwise
from programs.dataflow import without_dead_statements
from programs.functions import FUNCTIONS
from programs.kinds import Kind
from programs.program import Argument, Program, ProgramError, variables

Place = tuple[int, int]  # an argument's statement, and its place in it

_PLAIN_NUMBERS = (-1.0, 0.0, 1.0, 2.0)  # part of a formula, not a setting
_HOLDS = {
    Kind.TENSOR: "one number per weight",
    Kind.PER_ARRAY: "one number per weight array",
    Kind.SCALAR: "one number",
}


@dataclass(frozen=True)
class Plan:
    """The parts from which the text of a module is written.

    Attributes:
        program: The exported program, reduced to its live statements.
        facts: The facts that ``check`` finds about it.
        name: The name of the factory or class.
        rate: The name of the keyword argument that is the learning rate.
        settings: The keyword arguments and their defaults, the learning rate first.
        roles: By argument of a statement, the keyword argument that replaces it.
        names: For every variable of the program, an identifier that shadows nothing in the module.
    """

    program: Program
    facts: Facts
    name: str
    rate: str
    settings: Mapping[str, float]
    roles: Mapping[Place, str]
    names: Mapping[str, str]

    def is_rate(self, index: int) -> bool:
        """Return whether a statement is ``lr * number`` whose value is the whole learning rate."""
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
    def reads_rate(self) -> bool:
        """Whether the program reads ``lr``."""
        return "lr" in self.facts.inputs

    @property
    def unread_rate(self) -> str:
        """What to add to a sentence on the learning rate if the program does not read it."""
        return "" if self.reads_rate else "; not read here, so that it has no effect"

    def rate_warning(self, given: str) -> list[str]:
        """Write the lines that warn if a learning rate is given that the program does not read; none if it reads it.

        Args:
            given: The condition, as Python code, that a learning rate was given.
        """
        if self.reads_rate:
            return []
        sentence = f"{self.name} does not read {self.rate}: a learning rate or schedule has no effect"
        return [f"if {given}:", f'    warnings.warn("{sentence}", stacklevel=2)']

    def describe(self, setting: str) -> str:
        """Describe a setting, other than the learning rate, by the statements that read it."""
        uses = [str(self.program.statements[index]) for (index, _), role in self.roles.items() if role == setting]
        return f"The number in `{uses[0]}`." if len(uses) == 1 else f"The number in `{'` and `'.join(uses)}`."


def make_plan(program: Program, name: str, taken: Collection[str], rate: str, hidden: Collection[str] = ()) -> Plan:
    """Choose the names of a module.

    Args:
        program: The program to export; its dead statements are left out.
        name: The name of the factory or class.
        taken: The names that the module itself uses.
        rate: The name of the keyword argument that is the learning rate.
        hidden: Further names that the program's variables may not have.

    Raises:
        ProgramError: If the program is not well formed, or the name is taken or not an identifier.
    """
    kept = set(taken) | set(dir(builtins))
    if problem := _name_problem(name, taken):
        raise ProgramError(problem)
    live = without_dead_statements(program)
    settings, roles = _settings(live, rate)
    names = _safe_names(live, kept | (set(settings) - {rate}) | {name} | set(hidden))
    return Plan(live, check(live), name, rate, settings, roles, names)


def _name_problem(name: str, taken: Collection[str]) -> str:
    """Return why a factory or class cannot have this name; empty if it can."""
    shown = f"'{name[:80]}'"
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", name):
        return f"{shown} cannot be a function's name; use up to 64 letters, digits and underscores, a letter first"
    if keyword.iskeyword(name):
        return f"{shown} is a Python keyword and cannot be a function's name"
    if name in dir(builtins):
        return f"{shown} is a Python built-in, which the module would shadow; choose another, such as my_{name.lower()}"
    if name in taken:
        return f"the module itself uses the name {shown}; choose another, such as my_{name.lower()}"
    return ""


def _settings(program: Program, rate: str) -> tuple[dict[str, float], dict[Place, str]]:
    """Name the constants: return the keyword arguments, and which of them replaces the argument at each place."""
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
    """Find the number in ``lr * number``, if nothing else reads the schedule's value."""
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
    """Rename variables that would shadow a name of the module, or that a NamedTuple does not allow."""
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
        plan: The plan of the module.
        what: What the program is exported as, such as "an Optax transformation".
        convention: A sentence on what is done with the update.
        example: Lines of code that run.
        provenance: Lines on where the program comes from; any text is allowed, and characters that cannot be printed
            are written as Python's escapes.
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
        "rate": "" if plan.reads_rate else f"{plan.rate} is not read: a learning rate or schedule has no effect",
        "elementwise": "yes" if is_elementwise(plan.program) else f"no: {', '.join(whole)}",
    }
    return [f"{title:<13}{text}" for title, text in rows.items() if text]


def _printable(line: str) -> str:
    return "".join(x if x.isprintable() else x.encode("unicode_escape").decode() for x in line)


def _escaped(text: str) -> str:
    """Escape a text so that it can stand between triple quotes, in ASCII."""
    quoted = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return "".join(x if x.isascii() else x.encode("unicode_escape").decode() for x in quoted)


def defined(used: Collection[str], definitions: Mapping[str, str]) -> str:
    """Return the text that defines some of a table's functions and those that they call, in the table's order."""
    needed, waiting = set(), list(used)
    while waiting:
        name = waiting.pop()
        needed.add(name)
        waiting += [other for other in definitions if other not in needed and f"_{other}(" in definitions[name]]
    return "\n".join(text for name, text in definitions.items() if name in needed)
