"""The interpreter engine: many programs in one call of a training loop that was compiled once for the task.

On a CPU the lanes of a call, which share an rng seed, run one after another, so that a lane that has diverged costs
nothing more and a lane's bits do not depend on its neighbours. On an accelerator all lanes, of any rng seeds, run side
by side under `jax.vmap`, so that small models fill the chip; a call ends early if no healthy lane is left.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax

import programs
from tasks.memory import lanes_that_fit
from tasks.pinning import pinned
from tasks.task import Params, Task
from tasks.training import (
    CHECK_EVERY,
    Start,
    Training,
    batch_of,
    begin,
    bounded,
    compile_ahead,
    judge,
    start,
    start_shapes,
)

Lanes: TypeAlias = Literal["sequence", "population"]
"""How the lanes of a call run: one after another, or side by side."""

SEQUENCE = 64
"""The most lanes in one call if they run one after another."""

POPULATIONS = (16, 64, 256)
"""Lanes in one call if they run side by side: the largest of these that fits on the device, even if not all are used.

The bits of a lane may depend on the number of lanes, so that must not depend on the number of candidates.
"""


class Candidate(NamedTuple):
    """A program to train with."""

    code: programs.MachineCode
    learning_rate: float = 1.0  # what the program reads as ``lr``


def lanes_of_device() -> Lanes:
    """Return how lanes run best on the device in use."""
    return "sequence" if jax.default_backend() == "cpu" else "population"


@pinned()
def train_many(
    task: Task,
    capacity: programs.Capacity,
    candidates: Sequence[Candidate],
    rng_seeds: Sequence[int],
    lanes: Lanes | None = None,
    population: int | None = None,
) -> list[tuple[Training, ...]]:
    """Train a task's model with every candidate, once for each rng seed until the first training that diverges.

    Initial weights and batches depend on the task and the rng seed alone.

    Args:
        task: What to train.
        capacity: Of the machine that the candidates were encoded for.
        candidates: Any number.
        rng_seeds: Each in [0, 2**31).
        lanes: How to run the lanes; None for the way that suits the device.
        population: Lanes side by side; None for as many of POPULATIONS as fit.

    Returns:
        The trainings of each candidate, in the order given.
    """
    if (lanes or lanes_of_device()) == "sequence":
        return _in_sequence(task, capacity, candidates, rng_seeds)
    size = population or lanes_that_fit(task, capacity, POPULATIONS)
    return _side_by_side(task, capacity, candidates, rng_seeds, size)


def programs_at_once(rng_seeds: int) -> int:
    """Return how many programs, each with `rng_seeds` rng seeds, fill a call on the device in use; at least one."""
    return SEQUENCE if lanes_of_device() == "sequence" else max(1, POPULATIONS[-1] // max(1, rng_seeds))


class _Lane(NamedTuple):
    """The result of a lane, on the device."""

    loss: jax.Array  # f32 (), nats
    accuracy: jax.Array  # f32 ()
    healthy: jax.Array  # bool ()
    steps: jax.Array  # int32 ()


_Carry: TypeAlias = tuple[Params, Any]
"""Weights and optimizer state."""


def _chunk(
    task: Task, optimizer: optax.GradientTransformation, batches: jax.Array, begun: jax.Array, carry: _Carry
) -> tuple[_Carry, jax.Array]:
    """Train from step `begun` to the next check of the weights; return the carry and the check's result, bool ()."""

    def step(index: jax.Array, carry: _Carry) -> _Carry:
        params, state = carry
        gradients = jax.grad(task.loss)(params, batch_of(task, batches, index))
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    carry = jax.lax.fori_loop(begun, _next_look(task, begun), step, carry)
    return carry, bounded(carry[0])


def _next_look(task: Task, step: jax.Array) -> jax.Array:
    return jnp.minimum(step + CHECK_EVERY, task.steps)


def _in_sequence(
    task: Task, capacity: programs.Capacity, candidates: Sequence[Candidate], rng_seeds: Sequence[int]
) -> list[tuple[Training, ...]]:
    trainings: list[tuple[Training, ...]] = [() for _ in candidates]
    alive = list(range(len(candidates)))
    for rng_seed in rng_seeds:
        begun = start(task, rng_seed)
        calls = [alive[first : first + SEQUENCE] for first in range(0, len(alive), SEQUENCE)]
        pending = []
        for call in calls:
            codes, rates = _stack([candidates[index] for index in call], SEQUENCE)
            train = _compile_sequence(task, capacity)
            pending.append(train(codes, rates, np.int32(len(call)), begun))
        for call, lanes in zip(calls, pending, strict=True):
            for index, training in zip(call, _judge(task, lanes, len(call)), strict=True):
                trainings[index] += (training,)
        alive = [index for index in alive if not trainings[index][-1].diverged]
    return trainings


@functools.cache
def _compile_sequence(task: Task, capacity: programs.Capacity) -> Callable[..., _Lane]:
    def train(code: programs.MachineCode, rate: jax.Array, begun: Start) -> _Lane:
        optimizer = programs.interpret(code, capacity, rate)

        def chunk(values: tuple[jax.Array, _Carry, jax.Array]) -> tuple[jax.Array, _Carry, jax.Array]:
            step, carry, _ = values
            return _next_look(task, step), *_chunk(task, optimizer, begun.batches, step, carry)

        carry = begun.params, optimizer.init(begun.params)
        steps, (params, _), healthy = jax.lax.while_loop(
            lambda values: values[2] & (values[0] < task.steps), chunk, (jnp.int32(0), carry, jnp.bool_(True))
        )
        return _Lane(*task.held_out(params), healthy, steps)

    def train_all(codes: programs.MachineCode, rates: jax.Array, count: jax.Array, begun: Start) -> _Lane:
        def fill(lane: jax.Array, lanes: _Lane) -> _Lane:
            result = train(jax.tree.map(lambda x: x[lane], codes), rates[lane], begun)
            return jax.tree.map(lambda kept, new: kept.at[lane].set(new), lanes, result)

        return jax.lax.fori_loop(0, count, fill, _no_lanes(SEQUENCE))

    count = jax.ShapeDtypeStruct((), jnp.int32)
    return compile_ahead(train_all, *_shapes(capacity, SEQUENCE), count, start_shapes(task))


def _side_by_side(
    task: Task, capacity: programs.Capacity, candidates: Sequence[Candidate], rng_seeds: Sequence[int], size: int
) -> list[tuple[Training, ...]]:
    lanes = [(index, rng_seed) for index in range(len(candidates)) for rng_seed in rng_seeds]
    pending = []
    for first in range(0, len(lanes), size):
        call = lanes[first : first + size]
        codes, rates = _stack([candidates[index] for index, _ in call], size)
        codes = codes._replace(length=codes.length.max())
        seeds = np.resize(np.array([rng_seed for _, rng_seed in call], np.int32), size)
        # A call returns before it is done, so the next one is prepared while the device works.
        train = _compile_population(task, capacity, size)
        pending.append((train(codes, rates, seeds, np.arange(size) < len(call)), len(call)))
    judged = [training for results, count in pending for training in _judge(task, results, count)]
    trainings: list[tuple[Training, ...]] = [() for _ in candidates]
    for (index, _), training in zip(lanes, judged, strict=True):
        if not (trainings[index] and trainings[index][-1].diverged):
            trainings[index] += (training,)
    return trainings


@functools.cache
def _compile_population(task: Task, capacity: programs.Capacity, size: int) -> Callable[..., _Lane]:
    code_axes = programs.MachineCode(0, None, 0, 0, 0)  # type: ignore[arg-type]  # all have the length of the longest

    def init(code: programs.MachineCode, rate: jax.Array, params: Params) -> _Carry:
        return params, programs.interpret(code, capacity, rate).init(params)

    def chunk(
        code: programs.MachineCode, rate: jax.Array, batches: jax.Array, carry: _Carry, step: jax.Array
    ) -> tuple[_Carry, jax.Array]:
        return _chunk(task, programs.interpret(code, capacity, rate), batches, step, carry)

    def train_all(codes: programs.MachineCode, rates: jax.Array, rng_seeds: jax.Array, used: jax.Array) -> _Lane:
        params, batches = jax.vmap(functools.partial(begin, task))(rng_seeds)
        carry = jax.vmap(init, in_axes=(code_axes, 0, 0))(codes, rates, params)

        def look(values: tuple[jax.Array, _Carry, jax.Array, jax.Array]) -> tuple[Any, ...]:
            step, carry, healthy, steps = values
            carry, within = jax.vmap(chunk, in_axes=(code_axes, 0, 0, 0, None))(codes, rates, batches, carry, step)
            step = _next_look(task, step)
            return step, carry, healthy & within, jnp.where(healthy, step, steps)

        values = jnp.int32(0), carry, used, jnp.zeros_like(rng_seeds)
        _, (params, _), healthy, steps = jax.lax.while_loop(
            lambda values: values[2].any() & (values[0] < task.steps), look, values
        )
        return _Lane(*jax.vmap(task.held_out)(params), healthy, steps)

    # The lanes are split over the devices; no device waits for another.
    lanes, whole = jax.P("lanes"), jax.P()
    split_codes = programs.MachineCode(lanes, whole, lanes, lanes, lanes)  # type: ignore[arg-type]
    train_all = jax.shard_map(
        train_all,
        mesh=_mesh(size),
        in_specs=(split_codes, lanes, lanes, lanes),
        out_specs=lanes,
        check_vma=False,
    )
    codes, rates = _shapes(capacity, size)
    codes = codes._replace(length=jax.ShapeDtypeStruct((), jnp.int32))
    rng_seeds, used = (jax.ShapeDtypeStruct((size,), dtype) for dtype in (jnp.int32, bool))
    return compile_ahead(train_all, codes, rates, rng_seeds, used)


def _mesh(lanes: int) -> jax.sharding.Mesh:
    """Make a mesh of as many of this process's devices as can share `lanes` lanes evenly."""
    devices = jax.local_devices()[: math.gcd(lanes, jax.local_device_count())]
    return jax.make_mesh((len(devices),), ("lanes",), axis_types=(jax.sharding.AxisType.Auto,), devices=devices)


def _stack(candidates: Sequence[Candidate], size: int) -> tuple[programs.MachineCode, np.ndarray]:
    """Stack codes and learning rates, with the last candidate repeated up to `size`."""
    filled = [*candidates, *[candidates[-1]] * (size - len(candidates))]
    codes = programs.MachineCode(*map(np.stack, zip(*(candidate.code for candidate in filled), strict=True)))
    return codes, np.array([candidate.learning_rate for candidate in filled], np.float32)


def _shapes(capacity: programs.Capacity, size: int) -> tuple[Any, Any]:
    """Return the shapes of what `_stack` returns."""
    empty = programs.MachineCode.empty(capacity)
    codes = jax.tree.map(lambda x: jax.ShapeDtypeStruct((size, *x.shape), x.dtype), empty)
    return codes, jax.ShapeDtypeStruct((size,), jnp.float32)


def _no_lanes(size: int) -> _Lane:
    return _Lane(jnp.zeros(size), jnp.zeros(size), jnp.zeros(size, bool), jnp.zeros(size, jnp.int32))


def _judge(task: Task, lanes: _Lane, count: int) -> list[Training]:
    """Wait for a call, and return the trainings of its first `count` lanes."""
    columns = (np.asarray(column)[:count].tolist() for column in lanes)
    return [judge(task, *lane) for lane in zip(*columns, strict=True)]
