"""How many lanes fit on a device, computed from the model before anything runs."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
from jax.extend.core import jaxprs_in_params

import programs
from tasks.pinning import pinned
from tasks.task import Task
from tasks.training import batch_of, start_shapes, weights

SHARE = 0.4
"""Of the device's memory that a call may take: two are under way, and there are data and compiled code."""


@functools.cache
@pinned()
def lane_bytes(task: Task, capacity: programs.Capacity) -> int:
    """Bound the device memory that one lane needs, in bytes.

    Counts the machine's registers, twice as a step may copy them, the lane's batches, and the larger of what a
    gradient step and the held-out loss compute in all: XLA frees most of that earlier, so that it is a bound.
    """
    params, batches = start_shapes(task)

    def gradient(params: Any, batches: jax.Array) -> Any:
        return jax.grad(task.loss)(params, batch_of(task, batches, 0))  # type: ignore[arg-type]

    step = _computed_bytes(jax.make_jaxpr(gradient)(params, batches).jaxpr)
    held_out = _computed_bytes(jax.make_jaxpr(task.held_out)(params).jaxpr)
    registers = 2 * 4 * weights(task) * capacity.registers
    return registers + _bytes([batches]) + max(step, held_out)


def lanes_that_fit(task: Task, capacity: programs.Capacity, sizes: Sequence[int]) -> int:
    """Give the largest of some numbers of lanes whose memory the device has; the smallest where none fits."""
    limit = memory_limit()
    fitting = [size for size in sizes if limit is None or size * lane_bytes(task, capacity) <= SHARE * limit]
    return max(fitting, default=min(sizes))


def memory_limit() -> int | None:
    """Give the bytes that JAX may use of the first device; None where it does not say, as on CPU."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return stats.get("bytes_limit")


def _computed_bytes(jaxpr: Any) -> int:
    """Sum the sizes of all values that a computation makes, those of the computations it calls included."""
    total = 0
    for equation in jaxpr.eqns:
        inner = [_computed_bytes(sub) for sub in jaxprs_in_params(equation.params)]
        total += max(_bytes(var.aval for var in equation.outvars), *inner, 0)
    return total


def _bytes(values: Any) -> int:
    return sum(math.prod(value.shape) * value.dtype.itemsize for value in values)
