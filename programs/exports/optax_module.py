"""A program as a plain Python module that imports only JAX and Optax.

The text comes from a closed vocabulary: the rows of the function table, numbers, and names that were checked by the
parser. Nothing else of a program's text is copied, except its canonical form inside the docstring.
"""

from collections.abc import Callable, Sequence

from programs.checking import LiveStatement, live_statements
from programs.exports.definitions import DEFINITIONS
from programs.exports.plan import Plan, defined, docstring, make_plan
from programs.kinds import Function, Kind
from programs.program import Program

_TAKEN = {
    "jax",
    "jnp",
    "warnings",
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
_CONVENTION = "The weights become `w - update`; this module returns `-update`, as Optax does."
_EXAMPLE = """\
import jax.numpy as jnp
import optax
from {name} import {name}  # if this file is {name}.py

optimizer = {name}()
weights = {{"kernel": jnp.ones((2, 3)), "bias": jnp.zeros(3)}}
state = optimizer.init(weights)
gradient = {{"kernel": jnp.full((2, 3), 0.5), "bias": jnp.ones(3)}}
updates, state = optimizer.update(gradient, state, weights)
weights = optax.apply_updates(weights, updates)
"""


def export_optax(program: Program, name: str = "optimizer", provenance: Sequence[str] = ()) -> str:
    """Write a module with a factory called ``name`` that makes the program's Optax transformation.

    The factory's keyword arguments are the program's constants under the names that Optax gives them
    (``learning_rate``, ``b1``, ``b2``, ``weight_decay``), with the program's values as defaults. ``learning_rate`` may
    be a schedule. If the program reads ``lr`` only as ``lr * number``, ``learning_rate`` is that whole factor;
    otherwise it is ``lr`` itself, 1 by default.

    Args:
        program: The program to export; its dead statements are left out.
        name: A Python identifier.
        provenance: Lines on where the program comes from, for the module's docstring; any text is allowed.

    Returns:
        The module's text.

    Raises:
        ProgramError: If the program is not well formed, or the name is not an identifier.
    """
    state_class = "".join(part.capitalize() for part in name.split("_")) + "State"
    plan = make_plan(program, name, _TAKEN, "learning_rate", hidden={state_class, "NamedTuple", "learning_rate"})
    return _Module(plan, state_class).text(provenance)


class _Module:
    """Writes one module from its plan."""

    def __init__(self, plan: Plan, state_class: str):
        self.plan = plan
        self.name = plan.name
        self.names = plan.names
        self.facts = plan.facts
        self.state_class = state_class
        self.used: set[str] = {"refuse_complex"}  # names in DEFINITIONS

    def text(self, provenance: Sequence[str]) -> str:
        body = self.update_lines()
        definitions = defined(self.used, DEFINITIONS)
        parts = [
            docstring(self.plan, "an Optax transformation", _CONVENTION, _EXAMPLE.format(name=self.name), provenance),
            "\n" if self.plan.reads_rate else "\nimport warnings\n",
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
            f'    """The state of {self.name} between steps; count is the number of steps done."""\n\n'
            f"    count: jax.Array\n{fields}"
        )

    def factory_text(self, body: list[str]) -> str:
        arguments = "".join(
            f"    {name}: {'optax.ScalarOrSchedule' if name == 'learning_rate' else 'float'} = {value!r},\n"
            if name != "learning_rate" or self.plan.reads_rate
            else "    learning_rate: optax.ScalarOrSchedule | None = None,\n"
            for name, value in self.plan.settings.items()
        )
        warning = "".join(f"    {line}\n" for line in self.plan.rate_warning("learning_rate is not None"))
        described = "".join(f"        {name}: {self.describe(name)}\n" for name in self.plan.settings)
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
            "    Raises:\n        ValueError: By its init, if weights are complex.\n"
            f'    """\n{warning}\n'
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
            return f"A number, or a schedule that takes the step's number, from 0{self.plan.unread_rate}."
        return self.plan.describe(name)

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
        folded = "learning_rate" in self.plan.roles.values()
        read = {name: text for name, text in values.items() if name in inputs and not (name == "lr" and folded)}
        read |= {name: f"state.{self.names[name]}" for name in self.facts.live_state}
        lines += [f"{self.names[name]} = {text}" for name, text in read.items()]
        for index, live in enumerate(live_statements(self.plan.program)):
            lines.append(f"{self.names[live.statement.target]} = {self.expression(index, live)}")
        spread = self.spread(self.names[self.plan.program.update], self.facts.update_kind, Kind.TENSOR)
        fields = "".join(f", {self.names[name]}={self.names[name]}" for name in self.facts.live_state)
        lines.append(f"return jax.tree.map(jnp.negative, {spread}), {self.state_class}(count=count{fields})")
        return lines

    def expression(self, index: int, live: LiveStatement) -> str:
        if self.plan.is_rate(index):
            return "rate"
        statement, row, kinds, _ = live
        joined = max(kinds, default=Kind.SCALAR)
        if not row.leafwise:
            return self.whole_expression(index, live)
        if joined is Kind.SCALAR:
            wrap = all(not isinstance(x, str) for x in statement.arguments)
            return self.call_text(
                index,
                row,
                lambda word: f"jnp.asarray({word}, jnp.result_type(float))" if wrap else word,
                "jnp.result_type(float)",
            )
        arguments = list(zip(statement.arguments, kinds, strict=True))
        mapped = list(
            dict.fromkeys(self.names[x] for x, kind in arguments if isinstance(x, str) and kind is not Kind.SCALAR)
        )
        scalars = {self.names[x] for x, kind in arguments if isinstance(x, str) and kind is Kind.SCALAR}
        text = self.call_text(
            index,
            row,
            lambda word: f"{word}.astype({mapped[0]}.dtype)" if word in scalars else word,
            f"{mapped[0]}.dtype",
        )
        names = ", ".join(mapped)
        return f"jax.tree.map(lambda {names}: {text}, {names})"

    def call_text(self, index: int, row: Function, word: Callable[[str], str], dtype: str) -> str:
        if row.name in DEFINITIONS:
            self.used.add(row.name)
        words = [word(self.plan.word(index, place)) for place in range(row.arity)]
        text = row.text.format(**dict(zip(row.parameters, words, strict=True)), dtype=dtype)
        return f"jnp.asarray({text}, jnp.result_type(float))" if not row.arity else text

    def whole_expression(self, index: int, live: LiveStatement) -> str:
        statement, row, kinds, _ = live
        self.used.add(row.name)
        free = max(kind for place, kind in enumerate(kinds) if place not in row.scalar_places)
        words = []
        for place, (argument, kind) in enumerate(zip(statement.arguments, kinds, strict=True)):
            word = self.plan.word(index, place)
            if not isinstance(argument, str):
                word = f"jnp.asarray({word}, jnp.result_type(float))"
            words.append(word if place in row.scalar_places else self.spread(word, kind, free))
        return row.text.format(**dict(zip(row.parameters, words, strict=True)))

    def spread(self, word: str, kind: Kind, wanted: Kind) -> str:
        """Write a value of one kind as a value of the larger kind ``wanted``."""
        if kind is wanted:
            return word
        if kind is Kind.PER_ARRAY:
            return f"jax.tree.map(lambda x, leaf: jnp.full_like(leaf, x), {word}, updates)"
        if wanted is Kind.PER_ARRAY:
            return f"jax.tree.map(lambda leaf: {word}.astype(leaf.dtype), updates)"
        self.used.add("spread")
        return f"_spread({word}, updates)"
