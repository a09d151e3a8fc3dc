"""The machine's operations as JAX functions on registers: what an instruction computes, however it is chosen."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from programs.engines.operations import OPERATIONS, Operation
from programs.functions import FUNCTIONS
from programs.kinds import Function

ALIGNMENT = 16
"""Registers are padded to a multiple of this many numbers: 64 bytes, which a processor loads at once."""


class Layout(NamedTuple):
    """How the weight arrays lie in one register, one after the other."""

    shapes: tuple[tuple[int, ...], ...]

    @property
    def arrays(self) -> int:
        """The number of weight arrays."""
        return len(self.shapes)

    @property
    def bounds(self) -> tuple[tuple[int, int], ...]:
        """The positions in a register where each array begins and ends."""
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape in self.shapes)])
        return tuple((int(begin), int(end)) for begin, end in itertools.pairwise(ends))

    @property
    def width(self) -> int:
        """The number of elements in one register."""
        return -(-self.bounds[-1][1] // ALIGNMENT) * ALIGNMENT

    def split(self, register: jax.Array) -> tuple[jax.Array, ...]:
        """Cut a register, f32 (width,), into the weight arrays."""
        pieces = zip(self.bounds, self.shapes, strict=True)
        return tuple(register[begin:end].reshape(shape) for (begin, end), shape in pieces)

    def join(self, arrays: Sequence[jax.Array]) -> jax.Array:
        """Join arrays into a register, padded with zeros."""
        unused = self.width - self.bounds[-1][1]
        return jnp.concatenate([*(x.reshape(-1) for x in arrays), jnp.zeros(unused, jnp.float32)])


Compute = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""Instruction, registers, bank -> the new value: f32 (width,) of a tensor, f32 (weight arrays,) of a small value."""


@functools.lru_cache(maxsize=32)
def computations(layout: Layout) -> tuple[Compute, ...]:
    """Return a function for each row of OPERATIONS."""
    return tuple(functools.partial(_compute, operation, layout) for operation in OPERATIONS)


def _compute(
    operation: Operation, layout: Layout, instruction: jax.Array, registers: jax.Array, bank: jax.Array
) -> jax.Array:
    operands = []
    for place, sort in enumerate(operation.operands):
        index, factor = instruction[1 + place], bank[instruction[4 + place], 0]
        if sort == "T":
            operands.append(jax.lax.dynamic_index_in_dim(registers, index, 0, keepdims=False) * factor)
        elif operation.tensor and operation.function != "spread":
            operands.append(bank[index, 0] * factor)  # next to tensors, small values are scalars
        else:
            operands.append(bank[index] * factor)
    if operation.function == "spread":
        return layout.join([jnp.full(shape, x) for shape, x in zip(layout.shapes, operands[0], strict=True)])
    row = FUNCTIONS[operation.function]
    if row.elementwise:
        return jnp.asarray(row.body(jnp, *operands))
    return (
        _of_tensors(operation, row, layout, operands)
        if "T" in operation.operands
        else _of_small(operation, row, operands)
    )


def _of_tensors(operation: Operation, row: Function, layout: Layout, operands: Sequence[jax.Array]) -> jax.Array:
    """Apply a function that looks at whole arrays to registers."""
    if row.leafwise:
        results = [row.body(jnp, array) for array in layout.split(operands[0])]
        return layout.join(results) if operation.tensor else jnp.stack(results)
    sorted_operands = zip(operands, operation.operands, strict=True)
    result = row.body(jnp, *(layout.split(x) if sort == "T" else (x,) for x, sort in sorted_operands))
    return layout.join(result) if operation.tensor else jnp.broadcast_to(result, (layout.arrays,))


def _of_small(operation: Operation, row: Function, operands: Sequence[jax.Array]) -> jax.Array:
    """Apply a function that looks at whole arrays to small values, whose arrays are single numbers."""
    if row.leafwise:
        return jax.vmap(functools.partial(row.body, jnp))(*operands)

    def whole(*values: tuple[jax.Array, ...]) -> jax.Array:
        result = row.body(jnp, *values)
        return jnp.stack(result) if isinstance(result, tuple) else jnp.asarray(result)

    if operation.operands[0] == "S":  # number by number
        return jax.vmap(lambda *numbers: whole(*((x,) for x in numbers)).reshape(()))(*operands)
    sorted_operands = zip(operands, operation.operands, strict=True)
    result = whole(*(tuple(x) if sort == "P" else (x[0],) for x, sort in sorted_operands))
    return jnp.broadcast_to(result, operands[0].shape)
