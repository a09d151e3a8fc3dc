"""A program as an Optax transformation: traced once and compiled by XLA."""

import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from programs.checking import check
from programs.execution import Value, execute
from programs.kinds import Kind
from programs.program import Program


class ProgramState(NamedTuple):
    """The state of a program between steps.

    Attributes:
        count: The number of steps done, int32 scalar.
        variables: Every live state variable: a pytree like the weights if it is a tensor, a pytree of scalars if it is
            per-array, one scalar otherwise.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count, as Optax's own states do
    variables: dict[str, Any]


def to_optax(program: Program, learning_rate: optax.ScalarOrSchedule = 1.0) -> optax.GradientTransformation:
    """Make an Optax transformation of a program.

    Args:
        program: The program to run; only its live statements and state variables cost anything.
        learning_rate: What the program reads as ``lr``: a number or a schedule. If the program does not read it, a
            value other than 1.0 has no effect, and a warning says so.

    Returns:
        A transformation whose updates are to be added to the weights (``optax.apply_updates``), so they are the
        negated update of the program. Tensors have the dtypes of the gradients, scalars JAX's default dtype (float32,
        or float64 if that is enabled); the state keeps the dtypes of the weights.

    Raises:
        ProgramError: If the program is not well formed.
    """
    facts = check(program)
    given = not isinstance(learning_rate, int | float) or learning_rate != 1.0
    if given and "lr" not in facts.inputs:
        warnings.warn("this program does not read lr: a learning rate or schedule has no effect", stacklevel=2)

    def init(params: optax.Params) -> ProgramState:
        leaves, structure = jax.tree.flatten(params)
        variables = {}
        for name in facts.live_state:
            kind = facts.state_kinds[name]
            if kind is Kind.SCALAR:
                variables[name] = jnp.zeros((), jnp.result_type(float))
            else:
                zeros = [jnp.zeros_like(x, shape=None if kind is Kind.TENSOR else ()) for x in leaves]
                variables[name] = structure.unflatten(zeros)
        return ProgramState(jnp.zeros((), jnp.int32), variables)

    def update(
        updates: optax.Updates, state: ProgramState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, ProgramState]:
        gradients, structure = jax.tree.flatten(updates)
        scalar_dtype = jnp.result_type(float)
        inputs: dict[str, Value] = {"g": (Kind.TENSOR, tuple(gradients))}
        if "w" in facts.inputs:
            if params is None:
                raise ValueError("this program reads the weights: call update(updates, state, params)")
            inputs["w"] = (Kind.TENSOR, tuple(structure.flatten_up_to(params)))
        rate = learning_rate(state.count) if callable(learning_rate) else learning_rate
        inputs["lr"] = (Kind.SCALAR, (jnp.asarray(rate).astype(scalar_dtype),))
        count = jnp.asarray(optax.safe_increment(state.count))
        inputs["t"] = (Kind.SCALAR, (count.astype(scalar_dtype),))
        for name, tree in state.variables.items():
            kind = facts.state_kinds[name]
            inputs[name] = (kind, (tree,) if kind is Kind.SCALAR else tuple(structure.flatten_up_to(tree)))
        result, variables = execute(program, facts, jnp, gradients, inputs, scalar_dtype)
        kept = {}
        for name, (kind, arrays) in variables.items():
            same = [jnp.asarray(x, before.dtype) for x, before in zip(arrays, inputs[name][1], strict=True)]
            kept[name] = same[0] if kind is Kind.SCALAR else structure.unflatten(same)
        return structure.unflatten([-x for x in result]), ProgramState(count, kept)

    return optax.GradientTransformation(init, update)  # type: ignore[arg-type]
