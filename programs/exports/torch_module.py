"""A program as a plain Python module that imports only PyTorch: a subclass of ``torch.optim.Optimizer``."""

from collections.abc import Sequence

from programs.exports.lists import looks_at_all, written
from programs.exports.plan import Plan, defined, docstring, make_plan
from programs.exports.torch_dialect import TORCH
from programs.kinds import Kind
from programs.program import Program

_TAKEN = {
    "torch",
    "warnings",
    "self",
    "params",
    "param",
    "param_group",
    "group",
    "closure",
    "loss",
    "parts",
    "state",
    "states",
}
_TAKEN |= {"warnings", "rate", "step"}
_CONVENTION = "The weights become `w - update`."
_EXAMPLE = """\
import torch
from {name} import {name}  # if this file is {name}.py

weights = torch.nn.Parameter(torch.ones(3))
optimizer = {name}([weights])
for _ in range(10):
    optimizer.zero_grad()
    torch.sum((weights - 0.5) ** 2).backward()
    optimizer.step()
"""


def export_torch(program: Program, name: str = "optimizer", provenance: Sequence[str] = ()) -> str:
    """Write a module with the program as a class called ``name``, a ``torch.optim.Optimizer``.

    The keyword arguments, which may differ between groups of weights, are the program's constants as in
    ``export_optax``; the learning rate is ``lr``, as PyTorch's schedulers require.

    Args:
        program: The program to export; its dead statements are left out.
        name: A Python identifier.
        provenance: Lines on where the program comes from, for the module's docstring; any text is allowed.

    Returns:
        The module's text.

    Raises:
        ProgramError: If the program is not well formed, or the name is not an identifier.
    """
    plan = make_plan(program, name, _TAKEN, "lr")
    lists = looks_at_all(plan)
    body = written(plan, TORCH, "rate", lists)
    lines = _over_lists(plan, body.lines) if lists else _in_a_loop(plan, body.lines)
    used = {*body.used, "number"} if any("_number(" in line for line in lines) else body.used
    definitions = "".join(f"\n{text}" for text in [defined(used, TORCH.definitions)] if text)
    doc = docstring(plan, "a PyTorch optimizer", _CONVENTION, _EXAMPLE.format(name=name), provenance)
    imports = "import torch" if plan.reads_rate else "import warnings\n\nimport torch"
    return f"{doc}\n{imports}\n{definitions}\n{_class_text(plan, lines)}"


def _class_text(plan: Plan, lines: list[str]) -> str:
    arguments = "".join(f", {name}={value!r}" for name, value in plan.settings.items())
    described = "".join(f"        {name}: {_described(plan, name)}\n" for name in plan.settings)
    settings = ", ".join(f'"{name}": {name}' for name in plan.settings)
    warning = "".join(f"        {line}\n" for line in plan.rate_warning("lr != 1.0"))
    every = " Functions of all weights together look at all groups." if looks_at_all(plan) else ""
    return f'''
class {plan.name}(torch.optim.Optimizer):
    """The optimizer; weights without a gradient stay unchanged.{every}

    Args:
        params: The weights, or groups of them with their own settings, as in torch.optim.
{described}
    Raises:
        ValueError: If weights are complex.
    """

    def __init__(self, params{arguments}):
{warning}        super().__init__(params, {{{settings}}})

    def add_param_group(self, param_group):
        """Add weights with their own settings."""
        super().add_param_group(param_group)
        for param in self.param_groups[-1]["params"]:
            if torch.is_complex(param):
                self.param_groups.pop()
                raise ValueError(f"{plan.name} takes real weights, got {{param.dtype}}: split them in two")

    @torch.no_grad()
    def step(self, closure=None):
        """Perform one step.

        Args:
            closure: Computes the loss and its gradients, if they are not computed yet.

        Returns:
            What the closure returned, or None.

        Raises:
            TypeError: If a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        parts = []
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                if param.grad.layout != torch.strided:
                    raise TypeError("{plan.name} takes dense gradients, got a sparse one: use its to_dense()")
                parts.append((param, group, self.state[param]))
{"".join(f"        {line}".rstrip() + chr(10) for line in lines)}        return loss
{_loading(plan)}'''


def _described(plan: Plan, name: str) -> str:
    if name == "lr":
        return f"The learning rate, which schedulers may change{plan.unread_rate}."
    return plan.describe(name)


def _first(plan: Plan) -> list[str]:
    """Write the lines before the statements, which make and count an array's state."""
    zeros = {
        Kind.SCALAR: "_number(0.0, param)",
        Kind.PER_ARRAY: "param.new_zeros(())",
        Kind.TENSOR: "torch.zeros_like(param)",
    }
    made = {plan.names[name]: zeros[plan.facts.state_kinds[name]] for name in plan.facts.live_state}
    counts = "t" in plan.facts.inputs
    made = ({"step": "0"} if counts else {}) | made
    lines = [f'    state["{name}"] = {text}' for name, text in made.items()]
    return (["if not state:", *lines] if lines else []) + ['state["step"] += 1'] * counts


def _read(plan: Plan) -> dict[str, str]:
    """Return what is read before the statements, for one array: settings, inputs and state, by name."""
    inputs = {
        "w": "param.detach()",
        "g": "param.grad",
        "lr": '_number(group["lr"], param)',
        "t": '_number(state["step"], param)',
    }
    found = {role: f'group["{role}"]' for role in dict.fromkeys(plan.roles.values()) if role != "lr"}
    whole = "lr" in plan.roles.values()
    found |= {"rate": inputs["lr"]} if whole else {}
    read = [name for name in inputs if name in plan.facts.inputs and not (name == "lr" and whole)]
    found |= {plan.names[name]: inputs[name] for name in read}
    return found | {plan.names[name]: f'state["{plan.names[name]}"]' for name in plan.facts.live_state}


def _last(plan: Plan) -> list[str]:
    """Write the lines after the statements, which store an array's state and update its weights."""
    update = plan.names[plan.program.update]
    number = plan.facts.update_kind is Kind.SCALAR
    kept = [f'state["{plan.names[name]}"] = {plan.names[name]}' for name in plan.facts.live_state]
    return [*kept, f"param.sub_({update}{'.to(param.dtype)' if number else ''})"]


def _in_a_loop(plan: Plan, lines: Sequence[str]) -> list[str]:
    read = [f"{name} = {text}" for name, text in _read(plan).items()]
    return ["for param, group, state in parts:", *(f"    {x}" for x in (*_first(plan), *read, *lines, *_last(plan)))]


def _over_lists(plan: Plan, lines: Sequence[str]) -> list[str]:
    first = _first(plan)
    prepared = ["for param, _, state in parts:", *(f"    {line}" for line in first)] if first else []
    read = []
    for name, text in _read(plan).items():
        taken = (each if each in text else "_" for each in ("param", "group", "state"))
        read.append(f"{name} = [{text} for {', '.join(taken)} in parts]")
    names = dict.fromkeys([plan.names[plan.program.update], *(plan.names[name] for name in plan.facts.live_state)])
    return [
        "if not parts:",
        "    return loss",
        *prepared,
        "params = [param for param, _, _ in parts]",
        *read,
        *lines,
        f"for (param, _, state), {', '.join(names)} in zip(parts, {', '.join(names)}, strict=True):",
        *(f"    {line}" for line in _last(plan)),
    ]


def _loading(plan: Plan) -> str:
    """Write the method that keeps the dtype of numbers when state is loaded; PyTorch would use that of the weights."""
    numbers = [plan.names[name] for name in plan.facts.live_state if plan.facts.state_kinds[name] is Kind.SCALAR]
    if not numbers:
        return ""
    listed = ", ".join(f'"{name}"' for name in numbers) + ("," if len(numbers) == 1 else "")
    return f'''
    def load_state_dict(self, state_dict):
        """Load what `state_dict` returned."""
        super().load_state_dict(state_dict)
        saved = [number for group in state_dict["param_groups"] for number in group["params"]]
        params = [param for group in self.param_groups for param in group["params"]]
        for param, number in zip(params, saved, strict=True):
            if number not in state_dict["state"]:
                continue
            for name in ({listed}):
                self.state[param][name] = _number(state_dict["state"][number][name], param)
'''
