"""The interpreter: runs programs given as data on a register machine, inside any function that JAX compiles.

One compilation serves every program that fits the machine. Each instruction usually runs only the operation that it
names. Under `jax.vmap`, when every lane may name another operation, it computes all elementwise functions and keeps the
one that is named, which an accelerator does in one fused kernel; a function that looks at whole arrays is computed only
if some lane names it.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from programs.engines.encoding import GRADIENT, RATE, STEP, WEIGHTS, Capacity, MachineCode
from programs.engines.machine import Layout, computations
from programs.engines.operations import MAX_OPERANDS, OPERATIONS, TENSOR_OPERATIONS
from programs.functions import FUNCTIONS


class MachineState(NamedTuple):
    """The state of an interpreted program between steps.

    Attributes:
        count: The number of steps done, int32 ().
        registers: The tensors, float32 (registers, width): weights, gradient, state, and leftovers of the last step.
        bank: The small values, float32 (slots, weight arrays).
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count, as Optax's own states do
    registers: jax.Array
    bank: jax.Array


def interpret(
    code: MachineCode, capacity: Capacity, learning_rate: jax.typing.ArrayLike = 1.0
) -> optax.GradientTransformation:
    """Make an Optax transformation that runs a program given as arrays.

    Under `jax.vmap`, the length of the code must be the same for all lanes: pass None as its axis.

    Args:
        code: The program as encoded by ``encode``; its arrays may be tracers.
        capacity: The capacity of the machine that the program was encoded for.
        learning_rate: What the program reads as ``lr``, float32 ().

    Returns:
        A transformation for any pytree of float32 arrays, whose updates are to be added to the weights.
    """

    def init(params: optax.Params) -> MachineState:
        layout = _layout(params)
        registers = jnp.zeros((capacity.registers, layout.width), jnp.float32)
        bank = jnp.broadcast_to(jnp.asarray(code.bank)[:, None], (capacity.slots, layout.arrays))
        return MachineState(jnp.zeros((), jnp.int32), registers, bank.at[RATE].set(learning_rate))

    def update(
        updates: optax.Updates, state: MachineState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, MachineState]:
        if params is None:
            raise ValueError("an interpreted program may read the weights: call update(updates, state, params)")
        gradients, structure = jax.tree.flatten(updates)
        layout = _layout(updates)
        count = jnp.asarray(optax.safe_increment(state.count))
        bank = state.bank.at[STEP].set(count.astype(jnp.float32))
        registers = state.registers
        for row, arrays in ((WEIGHTS, structure.flatten_up_to(params)), (GRADIENT, gradients)):
            for (begin, _), array in zip(layout.bounds, arrays, strict=True):
                registers = jax.lax.dynamic_update_slice(registers, array.reshape(1, -1), (row, begin))
        registers, bank = _run(layout, code, registers, bank)
        result = registers[code.update] * -bank[code.factor, 0]
        return structure.unflatten(layout.split(result)), MachineState(count, registers, bank)

    return optax.GradientTransformation(init, update)  # type: ignore[arg-type]


def _layout(tree: Any) -> Layout:
    return Layout(tuple(tuple(leaf.shape) for leaf in jax.tree.leaves(tree)))


_Values = tuple[jax.Array, jax.Array]  # registers, bank


def _run(layout: Layout, code: MachineCode, registers: jax.Array, bank: jax.Array) -> _Values:
    """Run the instructions of one step."""
    instructions = jnp.asarray(code.instructions)
    step = _instruction(layout)
    return jax.lax.fori_loop(0, code.length, lambda i, values: step(instructions[i], *values), (registers, bank))


@functools.lru_cache(maxsize=32)
def _instruction(layout: Layout) -> Callable[[jax.Array, jax.Array, jax.Array], _Values]:
    """Make the function that runs one instruction: by branching, or under vmap by selection."""
    run = jax.custom_batching.custom_vmap(functools.partial(_choose, layout))

    @run.def_vmap
    def run_lanes(lanes: int, batched: list[bool], *arguments: jax.Array) -> tuple[_Values, tuple[bool, bool]]:
        spread = [
            x if is_batched else jnp.broadcast_to(x, (lanes, *x.shape))
            for x, is_batched in zip(arguments, batched, strict=True)
        ]
        return _select(layout, *spread), (True, True)

    return run


def _choose(layout: Layout, instruction: jax.Array, registers: jax.Array, bank: jax.Array) -> _Values:
    """Run one instruction by branching to its operation."""
    operations = computations(layout)
    code, target = instruction[0], instruction[-1]

    def tensor() -> _Values:
        # The new value is written here, not by the operations: XLA would copy all registers for each operation.
        value = jax.lax.switch(code, operations[:TENSOR_OPERATIONS], instruction, registers, bank)
        return jax.lax.dynamic_update_index_in_dim(registers, value, target, 0), bank

    def small() -> _Values:
        value = jax.lax.switch(code - TENSOR_OPERATIONS, operations[TENSOR_OPERATIONS:], instruction, registers, bank)
        return registers, jax.lax.dynamic_update_index_in_dim(bank, value, target, 0)

    return jax.lax.cond(code < TENSOR_OPERATIONS, tensor, small)


_ELEMENTWISE = tuple(row for row in FUNCTIONS.values() if row.elementwise and row.arity and row.name != "interp")
_NAMES = tuple(row.name for row in _ELEMENTWISE)
_REGULAR = tuple(operation.function in _NAMES for operation in OPERATIONS)
_FUNCTION = tuple(_NAMES.index(op.function) if op.function in _NAMES else 0 for op in OPERATIONS)
_READS_TENSOR = tuple(
    tuple("T" in op.operands[place : place + 1] for place in range(MAX_OPERANDS)) for op in OPERATIONS
)


def _select(layout: Layout, instructions: jax.Array, registers: jax.Array, bank: jax.Array) -> _Values:
    """Run one instruction of each lane by computing every elementwise function and selecting the one it names.

    Args:
        layout: How the weight arrays lie in a register.
        instructions: One instruction per lane, int32 (lanes, 8).
        registers: The tensors, float32 (lanes, registers, width).
        bank: The small values, float32 (lanes, slots, weight arrays).
    """
    lanes = jnp.arange(instructions.shape[0])
    codes, targets = instructions[:, 0], instructions[:, -1]
    tensors, smalls = [], []
    for place in range(MAX_OPERANDS):
        index, factor = instructions[:, 1 + place], bank[lanes, instructions[:, 1 + MAX_OPERANDS + place], :1]
        small = bank.at[lanes, index].get(mode="clip") * factor
        tensor = registers.at[lanes, index].get(mode="clip") * factor
        reads = jnp.asarray(_READS_TENSOR)[codes, place]
        tensors.append(jnp.where(reads[:, None], tensor, small[:, :1]))
        smalls.append(small)
    which = jnp.asarray(_FUNCTION)[codes]
    values = _named(which, tensors), _named(which, smalls)
    values = jax.lax.cond(
        jnp.asarray(_REGULAR)[codes].all(),
        lambda: values,
        lambda: _select_irregular(layout, instructions, registers, bank, values),
    )
    is_tensor = codes < TENSOR_OPERATIONS
    rows = jnp.where(is_tensor, targets, registers.shape[1] - 1)
    slots = jnp.where(is_tensor, bank.shape[1] - 1, targets)
    put = functools.partial(_put, lanes)
    return put(registers, rows, values[0]), put(bank, slots, values[1])


def _put(lanes: jax.Array, values: jax.Array, places: jax.Array, new: jax.Array) -> jax.Array:
    return values.at[lanes, places].set(new, unique_indices=True, indices_are_sorted=True)


def _named(which: jax.Array, operands: list[jax.Array]) -> jax.Array:
    """Compute every elementwise function, float32 (lanes, ...), and keep for each lane the one at index `which`."""
    results = [row.body(jnp, *operands[: row.arity]) for row in _ELEMENTWISE]
    return jax.lax.select_n(jnp.broadcast_to(which[:, None], operands[0].shape), *results)


def _select_irregular(
    layout: Layout, instructions: jax.Array, registers: jax.Array, bank: jax.Array, values: _Values
) -> _Values:
    """Replace the values of the lanes whose operation looks at whole arrays."""
    tensor_values, small_values = values
    for code, (operation, compute) in enumerate(zip(OPERATIONS, computations(layout), strict=True)):
        if _REGULAR[code]:
            continue
        asked = instructions[:, 0] == code

        def computed(before: jax.Array, compute: Any = compute, asked: jax.Array = asked) -> jax.Array:
            return jnp.where(asked[:, None], jax.vmap(compute)(instructions, registers, bank), before)

        if operation.tensor:
            tensor_values = jax.lax.cond(asked.any(), computed, lambda before: before, tensor_values)
        else:
            small_values = jax.lax.cond(asked.any(), computed, lambda before: before, small_values)
    return tensor_values, small_values
