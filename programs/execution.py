"""Running a program on arrays: one walk over its statements for both NumPy and JAX."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from programs.checking import Facts, check, live_statements
from programs.kinds import Function, Kind
from programs.program import Program

Array = Any  # an array of the module in use
Value = tuple[Kind, tuple[Array, ...]]  # a scalar has one array (or number), the other kinds one per weight array


def execute(
    program: Program,
    facts: Facts,
    xp: Any,
    weights: Sequence[Array],
    inputs: Mapping[str, Value],
    scalar_dtype: Any,
) -> tuple[tuple[Array, ...], dict[str, Value]]:
    """Run one step of a program's live statements.

    Args:
        program: The program to run.
        facts: The facts that ``check`` finds about it.
        xp: ``numpy`` or ``jax.numpy``.
        weights: Arrays that have the shapes and dtypes of tensors.
        inputs: The value of every parameter that live statements read.
        scalar_dtype: The dtype of scalars and of sums over all arrays.

    Returns:
        The update, one array per weight array and shaped like it; and the new value of every live state variable.
    """
    known = dict(inputs)
    for statement, row, _, kind in live_statements(program):
        # Next to arrays, a number stays a Python float; alone it becomes an array, since Python raises for 1 / 0.
        alone = not row.leafwise or all(isinstance(x, float) for x in statement.arguments)
        arguments = [
            known[x] if isinstance(x, str) else _number(xp.asarray(x, dtype=scalar_dtype) if alone else x)
            for x in statement.arguments
        ]
        apply = _leafwise if row.leafwise else _whole
        known[statement.target] = (kind, apply(row, xp, arguments, weights, scalar_dtype))
    update = broadcast(xp, known[program.update], Kind.TENSOR, weights)
    return update, {name: known[name] for name in facts.live_state}


def zero_state(facts: Facts, weights: Sequence[Array], dtype: type = np.float64) -> dict[str, Value]:
    """Return the state before the first step: zeros for every live state variable, in NumPy."""
    shapes = {Kind.SCALAR: ((),), Kind.PER_ARRAY: ((),) * len(weights), Kind.TENSOR: tuple(w.shape for w in weights)}
    kinds = {name: facts.state_kinds[name] for name in facts.live_state}
    return {name: (kind, tuple(np.zeros(shape, dtype) for shape in shapes[kind])) for name, kind in kinds.items()}


def numpy_step(
    program: Program,
    weights: Sequence[Array],
    gradient: Sequence[Array],
    state: Mapping[str, Value],
    rate: float,
    step: int,
    dtype: Any = np.float64,
) -> tuple[tuple[Array, ...], dict[str, Value]]:
    """Run one step in NumPy.

    Args:
        program: The program to run.
        weights: The weight arrays.
        gradient: Arrays of the same shapes.
        state: The program's state before the step.
        rate: What the program reads as ``lr``.
        step: What the program reads as ``t``, from 1.
        dtype: The dtype of scalars; tensors have that of the weights.

    Returns:
        The update, and the state after the step.

    Raises:
        ProgramError: If the program is not well formed.
    """
    inputs = {
        **state,
        "w": (Kind.TENSOR, tuple(weights)),
        "g": (Kind.TENSOR, tuple(gradient)),
        "lr": (Kind.SCALAR, (dtype(rate),)),
        "t": (Kind.SCALAR, (dtype(step),)),
    }
    return execute(program, check(program), np, weights, inputs, dtype)


def broadcast(xp: Any, value: Value, kind: Kind, weights: Sequence[Array]) -> tuple[Array, ...]:
    """Broadcast a value to a kind at least its own, in the dtypes of the weights if that kind is not scalar."""
    own, arrays = value
    if kind is Kind.SCALAR or (own is kind and kind is Kind.PER_ARRAY):
        return arrays
    spread = arrays * len(weights) if own is Kind.SCALAR else arrays
    if kind is Kind.PER_ARRAY:
        return tuple(xp.asarray(x, dtype=w.dtype) for x, w in zip(spread, weights, strict=True))
    return tuple(xp.broadcast_to(xp.asarray(x, dtype=w.dtype), w.shape) for x, w in zip(spread, weights, strict=True))


def _number(x: Array) -> Value:
    return (Kind.SCALAR, (x,))


def _leafwise(
    row: Function, xp: Any, arguments: Sequence[Value], weights: Sequence[Array], scalar_dtype: Any
) -> tuple[Array, ...]:
    joined = max((own for own, _ in arguments), default=Kind.SCALAR)
    if joined is Kind.SCALAR:
        return (xp.asarray(row.body(xp, *(arrays[0] for _, arrays in arguments)), dtype=scalar_dtype),)
    results = []
    for leaf, weight in enumerate(weights):
        taken = (arrays[0 if own is Kind.SCALAR else leaf] for own, arrays in arguments)
        result = row.body(xp, *(x if type(x) is float else x.astype(weight.dtype) for x in taken))
        results.append(result.astype(weight.dtype))
    return tuple(results)


def _whole(
    row: Function, xp: Any, arguments: Sequence[Value], weights: Sequence[Array], scalar_dtype: Any
) -> tuple[Array, ...]:
    joined = max(own for position, (own, _) in enumerate(arguments) if position not in row.scalar_places)
    taken = []
    for position, value in enumerate(arguments):
        arrays = value[1] if position in row.scalar_places else broadcast(xp, value, joined, weights)
        taken.append(tuple(x.astype(scalar_dtype) for x in arrays))
    result = row.body(xp, *taken)
    if not isinstance(result, tuple):
        return (xp.asarray(result, dtype=scalar_dtype),)
    if joined is Kind.SCALAR:
        return result
    return tuple(x.astype(weight.dtype) for x, weight in zip(result, weights, strict=True))
