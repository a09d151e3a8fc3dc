"""A program as a plain Python module that imports only Keras 3: a subclass of ``keras.optimizers.Optimizer``.

What the module calls is in ``keras.ops``, so that it works on every backend of Keras.
"""

from collections.abc import Sequence

from programs.export_lists import Dialect, looks_at_all, translated, written
from programs.export_plan import Plan, defined, docstring, make_plan
from programs.function import Kind
from programs.program import Program

_SAME = ("abs", "cos", "sin", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "arccosh")
_SAME += ("arctanh", "exp", "exp2", "expm1", "log", "log10", "log2", "sqrt", "square", "sum", "floor", "round")
_OWN = {
    "cbrt": "_cbrt({x})",
    "sign": "_sign({x})",
    "global_norm": "_global_norm({x})",
    "dot": "_dot({x}, {y})",
    "cosine_sim": "_cosine_sim({x}, {y})",
    "clip": "_clip({x}, {c})",
    "max": "_max({x}, {y})",
    "min": "_min({x}, {y})",
    "copy": "ops.copy({x})",  # what is kept must not change with the weights
    "power": "ops.power(*_tensors({x}, {y}))",
    "exp10": "ops.power(*_tensors(10.0, {x}))",
    "mod": "ops.mod(*_tensors({x}, {y}))",
    "less": "_less({x}, {y})",
    "equal": "_equal({x}, {y})",
    "where": "_where({c}, {x}, {y})",
    "heaviside": "_heaviside({x})",
    "softplus": "ops.logaddexp(*_tensors({x}, 0.0))",
    "erf": "ops.erf({x})",
    "mean": "_mean({x})",
    "std": "_std({x})",
    "orthogonalize": "_orthogonalize({x})",
}
_DEFINITIONS = {
    "number": '''
def _number(x):
    """Make a number to compute with, in the dtype that Keras has for them."""
    return ops.cast(x, keras.config.floatx())
''',
    "tensors": '''
def _tensors(*values):
    """Make arrays of the plain numbers among values."""
    like = next(x for x in values if ops.is_tensor(x))
    return [x if ops.is_tensor(x) else ops.cast(x, like.dtype) for x in values]
''',
    "max": '''
def _max(x, y):
    """Give the larger, NaN where one is; ops.maximum turns float64 to float32."""
    x, y = _tensors(x, y)
    return ops.where((x >= y) | ops.isnan(x), x, y)
''',
    "min": '''
def _min(x, y):
    """Give the smaller, NaN where one is; ops.minimum turns float64 to float32."""
    x, y = _tensors(x, y)
    return ops.where((x <= y) | ops.isnan(x), x, y)
''',
    "cbrt": '''
def _cbrt(x):
    """Give the cube root: a power, and a step of Newton's method where that is finite."""
    size = ops.abs(x)
    root = ops.power(*_tensors(size, 1.0 / 3.0))
    better = root - (root - size / (root * root)) / 3.0
    root = ops.where(ops.isfinite(better), better, root)
    return ops.where(x < 0.0, -root, ops.where(x == 0.0, x, root))
''',
    "sign": '''
def _sign(x):
    """Give -1, 0 or 1, and NaN of NaN."""
    return ops.where(ops.isnan(x), x, ops.sign(x))
''',
    "less": '''
def _less(x, y):
    """Give 1 where x < y, else 0."""
    x, y = _tensors(x, y)
    return ops.cast(x < y, x.dtype)
''',
    "equal": '''
def _equal(x, y):
    """Give 1 where x = y, else 0."""
    x, y = _tensors(x, y)
    return ops.cast(x == y, x.dtype)
''',
    "where": '''
def _where(c, x, y):
    """Give x where c is not 0, else y."""
    c, x, y = _tensors(c, x, y)
    return ops.where(c != 0.0, x, y)
''',
    "heaviside": '''
def _heaviside(x):
    """Give 1 where x > 0, NaN of NaN, else 0."""
    return ops.where(ops.isnan(x), x, ops.cast(x > 0.0, x.dtype))
''',
    "dot": '''
def _dot(x, y):
    """Sum x * y over all arrays."""
    return sum((ops.sum(_number(a) * _number(b)) for a, b in zip(x, y, strict=True)), start=_number(0.0))
''',
    "global_norm": '''
def _global_norm(x):
    """Give the Euclidean norm over all arrays together."""
    return ops.sqrt(_dot(x, x))
''',
    "cosine_sim": '''
def _cosine_sim(x, y):
    """Give the cosine of the angle between x and y over all arrays."""
    return _dot(x, y) / (_global_norm(x) * _global_norm(y))
''',
    "clip": '''
def _clip(x, c):
    """Scale x down so that its global norm is at most c."""
    scale = _min(1.0, c / _global_norm(x))
    return [ops.cast(_number(a) * scale, a.dtype) for a in x]
''',
    "mean": '''
def _mean(x):
    """Give the mean of an array."""
    return ops.sum(x) / ops.cast(ops.size(x), x.dtype)
''',
    "std": '''
def _std(x):
    """Give the standard deviation of an array."""
    return ops.sqrt(_mean(ops.square(x - _mean(x))))
''',
    "orthogonalize": '''
def _orthogonalize(x):
    """Make a matrix (the first axis by the others) nearly orthogonal by Newton-Schulz steps."""
    if len(x.shape) < 2 or 0 in x.shape:
        return ops.copy(x)
    rows = ops.reshape(x, (x.shape[0], -1))
    tall = rows.shape[0] > rows.shape[1]
    wide = ops.transpose(rows) if tall else rows
    wide = wide / (ops.sqrt(ops.sum(ops.square(wide))) + 1e-08)
    for _ in range(5):
        gram = ops.matmul(wide, ops.transpose(wide))
        wide = 3.4445 * wide + ops.matmul(-4.775 * gram + 2.0315 * ops.matmul(gram, gram), wide)
    return ops.reshape(ops.transpose(wide) if tall else wide, x.shape)
''',
}
_DIALECT = Dialect(
    texts=translated({name: name for name in _SAME}, "ops", _OWN),
    definitions=_DEFINITIONS,
    weight="variable",
    number="_number({x})",
    cast="ops.cast({x}, variable.dtype)",
    filled="ops.broadcast_to(ops.cast({x}, variable.dtype), variable.shape)",
    number_lists=False,
)
_TAKEN = {"keras", "ops", "self", "name", "kwargs", "config", "variable", "variables", "gradient", "gradients"}
_TAKEN |= {"rate", "place", "places", "each"}
_CONVENTION = "The weights become `w - update`."
_EXAMPLE = """\
import keras
from {name} import {name}  # where this file is {name}.py

weights = keras.Variable(keras.ops.ones(3))
optimizer = {name}()
for _ in range(10):
    gradient = 2.0 * (weights - 0.5)
    optimizer.apply([gradient], [weights])
"""


def export_keras(program: Program, name: str = "optimizer", provenance: Sequence[str] = ()) -> str:
    """Write a module with the program as a class called ``name``, a ``keras.optimizers.Optimizer`` of Keras 3.

    The keyword arguments are the program's constants as in ``export_optax``; ``learning_rate`` may be a
    ``LearningRateSchedule``. Those of every Keras optimizer, such as ``clipnorm``, may be given too.

    Args:
        program: what to export; its dead statements are left out.
        name: a Python identifier.
        provenance: lines on where the program comes from, for the module's docstring; of any text.

    Returns:
        The module's text.

    Raises:
        ProgramError: where the program is not well formed, or the name is no identifier.
    """
    plan = make_plan(program, name, _TAKEN, "learning_rate", hidden={"learning_rate"})
    lists = looks_at_all(plan) or Kind.SCALAR in _kinds(plan).values()
    body = written(plan, _DIALECT, "rate", lists)
    lines = _over_lists(plan, body.lines) if lists else _of_one(plan, body.lines)
    used = {*body.used, "number"} if any("_number(" in line for line in lines) else body.used
    definitions = "".join(f"\n{text}" for text in [defined(used, _DEFINITIONS)] if text)
    doc = docstring(plan, "a Keras optimizer", _CONVENTION, _EXAMPLE.format(name=name), provenance)
    return f"{doc}\nimport keras\nfrom keras import ops\n{definitions}\n{_class_text(plan, lines)}"


def _kinds(plan: Plan) -> dict[str, Kind]:
    """Give the kind of every state variable, by its name in the module."""
    return {plan.names[name]: plan.facts.state_kinds[name] for name in plan.facts.live_state}


def _class_text(plan: Plan, lines: list[str]) -> str:
    arguments = "".join(f"{name}={value!r}, " for name, value in plan.settings.items())
    described = "".join(f"        {name}: {_described(plan, name)}\n" for name in plan.settings)
    settings = ", ".join(f'"{name}": {name}' for name in plan.settings if name != plan.rate)
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
{described}        name: of the optimizer.
        kwargs: the other arguments of every Keras optimizer.

    Raises:
        ValueError: by its build, where weights are complex.
    """

    def __init__(self, {arguments}name="{plan.name}", **kwargs):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.settings = {{{settings}}}

    def build(self, variables):
        """Make the state, of zeros."""
        if self.built:
            return
        for variable in variables:
            if "complex" in variable.dtype:
                raise ValueError(f"{plan.name} takes real weights, got {{variable.dtype}}: keep both parts as two")
        super().build(variables)
{made}
{"".join(f"    {line}".rstrip() + chr(10) for line in lines)}
    def get_config(self):
        """Give the arguments that make such an optimizer again."""
        return super().get_config() | dict(self.settings)
'''


def _described(plan: Plan, name: str) -> str:
    if name == plan.rate:
        return f"a number, or a LearningRateSchedule{plan.unread_rate}."
    return plan.describe(name)


def _read(plan: Plan, lists: bool) -> list[str]:
    """Write what is read before the statements: settings, inputs and state."""
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
        f"self.assign_sub(variable, {update if whole else _DIALECT.filled.format(x=update)})",
    ]
    return [
        "def update_step(self, gradient, variable, learning_rate):",
        '    """Move one weight array."""',
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
    given = _DIALECT.filled.format(x=moved) if kind is not Kind.TENSOR else moved
    sources = f"variable, each in zip(variables, {update}, strict=True)" if moved == "each" else "variable in variables"
    body += [f"for {sources}:", f"    self.assign_sub(variable, {given})"]
    return [
        "def _backend_update_step(self, gradients, variables, learning_rate):",
        '    """Move all weight arrays."""',
        *(f"    {line}" for line in body),
    ]
