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
"""Share of the device's memory that one call may take: two calls are under way, beside data and compiled code."""


@functools.cache
@pinned()
def lane_bytes(task: Task, capacity: programs.Capacity) -> int:
    """Return an upper bound of the device memory that one lane needs, in bytes.

    Counts the machine's registers, twice as a step may copy them, the lane's batches, and all values of a gradient
    step or of the held-out loss, whichever are larger: XLA frees most of them earlier, so this is an upper bound.
    """
    params, batches = start_shapes(task)

    def gradient(params: Any, batches: jax.Array) -> Any:
        return jax.grad(task.loss)(params, batch_of(task, batches, 0))  # type: ignore[arg-type]

    step = _computed_bytes(jax.make_jaxpr(gradient)(params, batches).jaxpr)
    held_out = _computed_bytes(jax.make_jaxpr(task.held_out)(params).jaxpr)
    registers = 2 * 4 * weights(task) * capacity.registers
    return registers + _bytes([batches]) + max(step, held_out)


def lanes_that_fit(task: Task, capacity: programs.Capacity, sizes: Sequence[int]) -> int:
    """Return the largest of `sizes`, numbers of lanes, that the device has memory for; the smallest if none fits."""
    limit = memory_limit()
    fitting = [size for size in sizes if limit is None or size * lane_bytes(task, capacity) <= SHARE * limit]
    return max(fitting, default=min(sizes))


def memory_limit() -> int | None:
    """Return the bytes that JAX may use of the first device; None if the device does not say, such as a CPU."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return stats.get("bytes_limit")


def _computed_bytes(jaxpr: Any) -> int:
    """Return the bytes of all values that a computation makes, including those of the computations it calls."""
    total = 0
    for equation in jaxpr.eqns:
        inner = [_computed_bytes(sub) for sub in jaxprs_in_params(equation.params)]
        total += max(_bytes(var.aval for var in equation.outvars), *inner, 0)
    return total


def _bytes(values: Any) -> int:
    return sum(math.prod(value.shape) * value.dtype.itemsize for value in values)
