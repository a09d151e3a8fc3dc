"""A program as a plain Python module that imports only Keras 3: a subclass of ``keras.optimizers.Optimizer``.

The module calls only ``keras.ops``, so that it works on every backend of Keras.
"""

from collections.abc import Sequence

from programs.exports.keras_dialect import KERAS
from programs.exports.lists import looks_at_all, written
from programs.exports.plan import Plan, defined, docstring, make_plan
from programs.kinds import Kind
from programs.program import Program

_TAKEN = {
    "keras",
    "warnings",
    "ops",
    "self",
    "name",
    "kwargs",
    "config",
    "variable",
    "variables",
    "gradient",
    "gradients",
}
_TAKEN |= {"warnings", "rate", "place", "places", "each"}
_CONVENTION = "The weights become `w - update`."
_EXAMPLE = """\
import keras
from {name} import {name}  # if this file is {name}.py

weights = keras.Variable(keras.ops.ones(3))
optimizer = {name}()
for _ in range(10):
    gradient = 2.0 * (weights - 0.5)
    optimizer.apply([gradient], [weights])
"""


def export_keras(program: Program, name: str = "optimizer", provenance: Sequence[str] = ()) -> str:
    """Write a module with the program as a class called ``name``, a ``keras.optimizers.Optimizer`` of Keras 3.

    The keyword arguments are the program's constants as in ``export_optax``; ``learning_rate`` may be a
    ``LearningRateSchedule``. The arguments of every Keras optimizer, such as ``clipnorm``, may be given too.

    Args:
        program: The program to export; its dead statements are left out.
        name: A Python identifier.
        provenance: Lines on where the program comes from, for the module's docstring; any text is allowed.

    Returns:
        The module's text.

    Raises:
        ProgramError: If the program is not well formed, or the name is not an identifier.
    """
    plan = make_plan(program, name, _TAKEN, "learning_rate", hidden={"learning_rate"})
    lists = looks_at_all(plan) or Kind.SCALAR in _kinds(plan).values()
    body = written(plan, KERAS, "rate", lists)
    lines = _over_lists(plan, body.lines) if lists else _of_one(plan, body.lines)
    used = {*body.used, "number"} if any("_number(" in line for line in lines) else body.used
    definitions = "".join(f"\n{text}" for text in [defined(used, KERAS.definitions)] if text)
    doc = docstring(plan, "a Keras optimizer", _CONVENTION, _EXAMPLE.format(name=name), provenance)
    imports = "import keras" if plan.reads_rate else "import warnings\n\nimport keras"
    return f"{doc}\n{imports}\nfrom keras import ops\n{definitions}\n{_class_text(plan, lines)}"


def _kinds(plan: Plan) -> dict[str, Kind]:
    """Return the kind of every state variable, by its name in the module."""
    return {plan.names[name]: plan.facts.state_kinds[name] for name in plan.facts.live_state}


def _class_text(plan: Plan, lines: list[str]) -> str:
    arguments = "".join(f"{name}={value!r}, " for name, value in plan.settings.items())
    described = "".join(f"        {name}: {_described(plan, name)}\n" for name in plan.settings)
    settings = ", ".join(f'"{name}": {name}' for name in plan.settings if name != plan.rate)
    warning = "".join(f"        {line}\n" for line in plan.rate_warning("learning_rate != 1.0"))
    zeros = {
        Kind.SCALAR: 'self.add_variable((), name="{x}")',
        Kind.PER_ARRAY: '[self.add_variable((), dtype=variable.dtype, name="{x}") for variable in variables]',
        Kind.TENSOR: 'self.add_optimizer_variables(variables, "{x}")',
    }
    slots = "".join(f'            "{name}": {zeros[kind].format(x=name)},\n' for name, kind in _kinds(plan).items())
    made = f"        self.slots = {{\n{slots}        }}\n" if slots else ""
    return f'''
@keras.saving.register_keras_serializable(package="pride")
class {plan.name}(keras.optimizers.Optimizer):
    """The optimizer.

    Args:
{described}        name: The name of the optimizer.
        kwargs: The other arguments of every Keras optimizer.

    Raises:
        ValueError: By its build, if weights are complex.
    """

    def __init__(self, {arguments}name="{plan.name}", **kwargs):
{warning}        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.settings = {{{settings}}}

    def build(self, variables):
        """Make the state, initially zero."""
        if self.built:
            return
        for variable in variables:
            if "complex" in variable.dtype:
                raise ValueError(f"{plan.name} takes real weights, got {{variable.dtype}}: split them in two")
        super().build(variables)
{made}
{"".join(f"    {line}".rstrip() + chr(10) for line in lines)}
    def get_config(self):
        """Return the arguments that recreate this optimizer."""
        return super().get_config() | dict(self.settings)
'''


def _described(plan: Plan, name: str) -> str:
    if name == plan.rate:
        return f"A number, or a LearningRateSchedule{plan.unread_rate}."
    return plan.describe(name)


def _read(plan: Plan, lists: bool) -> list[str]:
    """Write the lines before the statements, which read settings, inputs and state."""
    read = {role: f'self.settings["{role}"]' for role in dict.fromkeys(plan.roles.values()) if role != plan.rate}
    whole = plan.rate in plan.roles.values()
    if "lr" in plan.facts.inputs:
        read["rate" if whole else plan.names["lr"]] = "_number(learning_rate)"
    if "t" in plan.facts.inputs:
        read[plan.names["t"]] = "_number(self.iterations + 1)"
    for name, one in (("w", "ops.stop_gradient(variable)"), ("g", "ops.cast(gradient, variable.dtype)")):
        if name in plan.facts.inputs:
            each = {"w": "variable in variables", "g": "gradient, variable in zip(gradients, variables, strict=True)"}
            read[plan.names[name]] = f"[{one} for {each[name]}]" if lists else one
    for name, kind in _kinds(plan).items():
        kept = f'self.slots["{name}"]'
        if kind is Kind.SCALAR:
            read[name] = f"ops.stop_gradient({kept})"
        elif lists:
            read[name] = f"[ops.stop_gradient({kept}[place]) for place in places]"
        else:
            read[name] = f"ops.stop_gradient({kept}[place])"
    return [f"{name} = {text}" for name, text in read.items()]


def _of_one(plan: Plan, lines: Sequence[str]) -> list[str]:
    update = plan.names[plan.program.update]
    whole = plan.facts.update_kind is Kind.TENSOR
    kinds = _kinds(plan)
    body = [
        *(["place = self._get_variable_index(variable)"] if kinds else []),
        *_read(plan, lists=False),
        *lines,
        *(f'self.assign(self.slots["{name}"][place], {name})' for name in kinds),
        f"self.assign_sub(variable, {update if whole else KERAS.filled.format(x=update)})",
    ]
    return [
        "def update_step(self, gradient, variable, learning_rate):",
        '    """Update one weight array."""',
        *(f"    {line}" for line in body),
    ]


def _over_lists(plan: Plan, lines: Sequence[str]) -> list[str]:
    update, kind = plan.names[plan.program.update], plan.facts.update_kind
    kinds = _kinds(plan)
    arrays = [name for name, own in kinds.items() if own is not Kind.SCALAR]
    moved = "each" if kind is not Kind.SCALAR else update
    body = [
        *(["places = [self._get_variable_index(variable) for variable in variables]"] if arrays else []),
        *_read(plan, lists=True),
        *lines,
        *(f'self.assign(self.slots["{name}"], {name})' for name in kinds if name not in arrays),
    ]
    for name in arrays:
        body += [
            f"for place, each in zip(places, {name}, strict=True):",
            f'    self.assign(self.slots["{name}"][place], each)',
        ]
    given = KERAS.filled.format(x=moved) if kind is not Kind.TENSOR else moved
    sources = f"variable, each in zip(variables, {update}, strict=True)" if moved == "each" else "variable in variables"
    body += [f"for {sources}:", f"    self.assign_sub(variable, {given})"]
    return [
        "def _backend_update_step(self, gradients, variables, learning_rate):",
        '    """Update all weight arrays."""',
        *(f"    {line}" for line in body),
    ]
