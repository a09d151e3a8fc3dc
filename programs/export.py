"""A program as a plain Python module that imports only JAX and Optax.

The text comes from a closed vocabulary: the rows of the function table, numbers, and names that were checked by the
parser. Nothing of a program's text is copied but its canonical form, inside the docstring.
"""

import builtins
import keyword
import re
from collections.abc import Callable

from programs.checking import INPUT_KINDS, Facts, check
from programs.dataflow import without_dead_statements
from programs.export_definitions import DEFINITIONS, defined
from programs.function import Kind
from programs.functions import FUNCTIONS
from programs.program import Argument, Program, ProgramError, Statement, variables

_PLAIN_NUMBERS = (-1.0, 0.0, 1.0, 2.0)  # part of a formula, not a setting
_TAKEN = {
    "jax",
    "jnp",
    "optax",
    "init_fn",
    "update_fn",
    "updates",
    "state",
    "params",
    "extra_args",
    "rate",
    "count",
    "index",
    "leaf",
}


def export_optax(program: Program, name: str = "optimizer") -> str:
    """Write a module with a factory called ``name`` that makes the program's Optax transformation.

    The factory's keyword arguments are the program's constants under the names that Optax gives them
    (``learning_rate``, ``b1``, ``b2``, ``weight_decay``), with the program's values as defaults. ``learning_rate`` may
    be a schedule. Where the program reads ``lr`` only as ``lr * number``, ``learning_rate`` is that whole factor;
    otherwise it is ``lr`` itself, 1 by default.

    Args:
        program: what to export; its dead statements are left out.
        name: a Python identifier.

    Returns:
        The module's text.

    Raises:
        ProgramError: where the program is not well formed, or the name is no identifier.
    """
    if (
        not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", name)
        or keyword.iskeyword(name)
        or name in _TAKEN | set(dir(builtins))
    ):
        raise ProgramError(f"'{name[:80]}' cannot be a function's name; give letters, digits and underscores")
    return _Module(without_dead_statements(program), name).text()


class _Module:
    """Writes one module; every part of the text is made once, from the checked program."""

    def __init__(self, program: Program, name: str):
        self.program = program
        self.name = name
        self.facts: Facts = check(program)
        self.state_class = "".join(part.capitalize() for part in name.split("_")) + "State"
        self.used: set[str] = {"refuse_complex"}  # names in DEFINITIONS
        self.settings: dict[str, float] = {}
        self.roles = self.find_roles()
        self.names = self.safe_names()

    def find_roles(self) -> dict[tuple[int, int], str]:
        """Name the constants: the keyword argument that stands for the argument at (statement, place)."""
        roles: dict[tuple[int, int], str] = {}
        rate = self.rate_place()
        self.settings["learning_rate"] = 1.0
        if rate is not None:
            roles[rate] = "learning_rate"
            self.settings["learning_rate"] = self.constant(rate)
        decays: dict[float, str] = {}  # the name of every interp's constant, by its value
        for place, value, statement in self.constants():
            if place not in roles and statement.function == "interp" and place[1] == 2:
                if value not in decays:
                    decays[value] = self.setting("b", value)
                roles[place] = decays[value]
        weights_intact = True
        for index, statement in enumerate(self.program.statements):
            for argument_place, value in enumerate(statement.arguments):
                place = (index, argument_place)
                if isinstance(value, str) or place in roles:
                    continue
                if statement.function == "power" and statement.arguments[1] == "t" and value in decays:
                    roles[place] = decays[value]
                elif statement.function == "multiply" and "w" in statement.arguments and weights_intact:
                    roles[place] = self.setting("weight_decay", value)
                elif value not in _PLAIN_NUMBERS:
                    roles[place] = self.setting("c", value)
            weights_intact = weights_intact and statement.target != "w"
        return roles

    def setting(self, stem: str, value: float) -> str:
        """Add a keyword argument: ``weight_decay`` or ``weight_decay2``, ``b1``, ``c1`` and so on."""
        name, number = ("weight_decay", 2) if stem == "weight_decay" else (f"{stem}1", 2)
        while name in self.settings:
            name, number = f"{stem}{number}", number + 1
        self.settings[name] = value
        return name

    def constants(self) -> list[tuple[tuple[int, int], float, Statement]]:
        return [
            ((index, place), argument, statement)
            for index, statement in enumerate(self.program.statements)
            for place, argument in enumerate(statement.arguments)
            if not isinstance(argument, str)
        ]

    def constant(self, place: tuple[int, int]) -> float:
        return float(self.program.statements[place[0]].arguments[place[1]])

    def rate_place(self) -> tuple[int, int] | None:
        """Find the number in ``lr * number``, where that is the only place at which the schedule's value is read."""
        found, intact = [], True
        for index, statement in enumerate(self.program.statements):
            if intact and "lr" in statement.arguments:
                numbers = [place for place, x in enumerate(statement.arguments) if not isinstance(x, str)]
                scales = statement.function == "multiply" and len(numbers) == 1
                found.append((index, numbers[0]) if scales else None)
            intact = intact and statement.target != "lr"
        returned = intact and self.program.update == "lr"
        return found[0] if len(found) == 1 and not returned else None

    def safe_names(self) -> dict[str, str]:
        """Rename variables that would hide a name of the module, or that a NamedTuple refuses."""
        taken = _TAKEN | set(self.settings) | {self.name, self.state_class} | set(dir(builtins)) | {"NamedTuple"}
        names: dict[str, str] = {}
        for variable in sorted(variables(self.program)):
            stem = variable.strip("_") or "x"
            safe = f"x{stem}" if stem[0].isdigit() else stem
            while safe in taken or keyword.iskeyword(safe):
                safe += "_"
            names[variable] = safe
            taken.add(safe)
        return names

    def text(self) -> str:
        body = self.update_lines()
        definitions = defined(self.used)
        parts = [
            f'"""{self.name}: an optimizer found by Pride, as an Optax transformation.\n\nThe program:\n\n',
            "".join(f"    {line}\n" for line in str(self.program).splitlines()),
            '\nThe weights become `w - update`; this module returns `-update`, as Optax does.\n"""\n\n',
            "from typing import Any, NamedTuple\n\nimport jax\nimport jax.numpy as jnp\nimport optax\n\n",
            self.state_text(),
            f"\n{definitions}\n" if definitions else "\n",
            self.factory_text(body),
        ]
        return "".join(parts)

    def state_text(self) -> str:
        fields = "".join(f"    {self.names[name]}: Any\n" for name in self.facts.live_state)
        return (
            f"\nclass {self.state_class}(NamedTuple):\n"
            f'    """What {self.name} keeps between steps; count is the number of steps done."""\n\n'
            f"    count: jax.Array\n{fields}"
        )

    def factory_text(self, body: list[str]) -> str:
        arguments = "".join(
            f"    {name}: {'optax.ScalarOrSchedule' if name == 'learning_rate' else 'float'} = {value!r},\n"
            for name, value in self.settings.items()
        )
        described = "".join(f"        {name}: {self.describe(name)}\n" for name in self.settings)
        zeros = {
            Kind.SCALAR: "jnp.zeros((), jnp.result_type(float))",
            Kind.PER_ARRAY: "jax.tree.map(lambda leaf: jnp.zeros((), leaf.dtype), params)",
            Kind.TENSOR: "jax.tree.map(jnp.zeros_like, params)",
        }
        fields = "".join(
            f"            {self.names[name]}={zeros[self.facts.state_kinds[name]]},\n" for name in self.facts.live_state
        )
        lines = "".join(f"        {line}\n" for line in body)
        return (
            f"\ndef {self.name}(\n{arguments}) -> optax.GradientTransformationExtraArgs:\n"
            f'    """Make the transformation.\n\n    Args:\n{described}\n'
            "    Returns:\n        The transformation; apply its updates with `optax.apply_updates`.\n\n"
            "    Raises:\n        ValueError: by its init, where weights are complex.\n"
            '    """\n\n'
            f"    def init_fn(params):\n"
            f'        _refuse_complex(params, "{self.name}")\n'
            f"        return {self.state_class}(\n"
            f"            count=jnp.zeros((), jnp.int32),\n{fields}        )\n\n"
            f"    def update_fn(updates, state, params=None, **extra_args):\n"
            f"        del extra_args\n{lines}\n"
            "    return optax.GradientTransformationExtraArgs(init_fn, update_fn)\n"
        )

    def describe(self, name: str) -> str:
        if name == "learning_rate":
            read = "lr" in self.facts.inputs
            return f"a number, or a schedule that takes the step's number from 0{'' if read else '; not read here'}."
        uses = [str(self.program.statements[i]) for (i, _), role in self.roles.items() if role == name]
        return f"the number in `{uses[0]}`." if len(uses) == 1 else f"the number in `{'` and `'.join(uses)}`."

    def update_lines(self) -> list[str]:
        """Write the body of the update function."""
        inputs = self.facts.inputs
        lines = []
        if "w" in inputs:
            lines += [
                "if params is None:",
                f'    raise ValueError("{self.name} needs the weights: pass params")',
            ]
        if "lr" in inputs:
            lines.append("rate = learning_rate(state.count) if callable(learning_rate) else learning_rate")
            lines.append("rate = jnp.asarray(rate, jnp.result_type(float))")
        lines.append("count = optax.safe_increment(state.count)")
        values = {
            "w": "params",
            "g": "updates",
            "t": "count.astype(jnp.result_type(float))",
            "lr": "rate",
        }
        folded = "learning_rate" in self.roles.values()
        read = {name: text for name, text in values.items() if name in inputs and not (name == "lr" and folded)}
        read |= {name: f"state.{self.names[name]}" for name in self.facts.live_state}
        lines += [f"{self.names[name]} = {text}" for name, text in read.items()]
        known = {**INPUT_KINDS, **self.facts.state_kinds}
        for index, (statement, kind) in enumerate(zip(self.program.statements, self.facts.kinds, strict=True)):
            lines.append(f"{self.names[statement.target]} = {self.expression(index, statement, known)}")
            known[statement.target] = kind
        update = self.names[self.program.update]
        spread = self.spread(update, known[self.program.update], Kind.TENSOR)
        fields = "".join(f", {self.names[name]}={self.names[name]}" for name in self.facts.live_state)
        lines.append(f"return jax.tree.map(jnp.negative, {spread}), {self.state_class}(count=count{fields})")
        return lines

    def expression(self, index: int, statement: Statement, known: dict[str, Kind]) -> str:
        if "learning_rate" in (self.roles.get((index, place)) for place in range(len(statement.arguments))):
            return "rate"
        row = FUNCTIONS[statement.function]
        kinds = [known[x] if isinstance(x, str) else Kind.SCALAR for x in statement.arguments]
        joined = max(kinds, default=Kind.SCALAR)
        if not row.leafwise:
            return self.whole_expression(index, statement, kinds)
        if joined is Kind.SCALAR:
            wrap = all(not isinstance(x, str) for x in statement.arguments)
            return self.call_text(
                index,
                statement,
                lambda word: f"jnp.asarray({word}, jnp.result_type(float))" if wrap else word,
                "jnp.result_type(float)",
            )
        mapped = [
            self.names[x]
            for x in dict.fromkeys(statement.arguments)
            if isinstance(x, str) and known[x] is not Kind.SCALAR
        ]
        scalars = {self.names[x] for x in statement.arguments if isinstance(x, str) and known[x] is Kind.SCALAR}
        text = self.call_text(
            index,
            statement,
            lambda word: f"{word}.astype({mapped[0]}.dtype)" if word in scalars else word,
            f"{mapped[0]}.dtype",
        )
        names = ", ".join(mapped)
        return f"jax.tree.map(lambda {names}: {text}, {names})"

    def call_text(self, index: int, statement: Statement, word: Callable[[str], str], dtype: str) -> str:
        row = FUNCTIONS[statement.function]
        if row.name in DEFINITIONS:
            self.used.add(row.name)
        words = [word(self.word(index, place, x)) for place, x in enumerate(statement.arguments)]
        text = row.text.format(**dict(zip(row.parameters, words, strict=True)), dtype=dtype)
        return f"jnp.asarray({text}, jnp.result_type(float))" if not row.arity else text

    def word(self, index: int, place: int, argument: Argument) -> str:
        if isinstance(argument, str):
            return self.names[argument]
        text = self.roles.get((index, place)) or repr(argument)
        return f"({text})" if text.startswith("-") else text

    def whole_expression(self, index: int, statement: Statement, kinds: list[Kind]) -> str:
        row = FUNCTIONS[statement.function]
        self.used.add(row.name)
        free = max(kind for place, kind in enumerate(kinds) if place not in row.scalar_places)
        words = []
        for place, (argument, kind) in enumerate(zip(statement.arguments, kinds, strict=True)):
            word = self.word(index, place, argument)
            if not isinstance(argument, str):
                word = f"jnp.asarray({word}, jnp.result_type(float))"
            words.append(word if place in row.scalar_places else self.spread(word, kind, free))
        return row.text.format(**dict(zip(row.parameters, words, strict=True)))

    def spread(self, word: str, kind: Kind, wanted: Kind) -> str:
        """Write a value of one kind as a value of a larger kind."""
        if kind is wanted:
            return word
        if kind is Kind.PER_ARRAY:
            return f"jax.tree.map(lambda x, leaf: jnp.full_like(leaf, x), {word}, updates)"
        if wanted is Kind.PER_ARRAY:
            return f"jax.tree.map(lambda leaf: {word}.astype(leaf.dtype), updates)"
        self.used.add("spread")
        return f"_spread({word}, updates)"
