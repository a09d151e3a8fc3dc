"""What `pride bench` times: both engines and the alternatives to them; each trains a task with programs."""

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import programs
from tasks import Candidate, Task, evaluate_programs, train_many
from tasks.compiled_training import train_each
from tasks.evaluation import as_optimizer
from tasks.interpreted_training import Lanes
from tasks.task import Params
from tasks.training import Start, batch_of, begin, compile_ahead, start, start_shapes

_RNG_SEED = 0
_EDITS = ("insert", "delete", "modify", "constants")
_MOST_EDITS = 6  # from AdamW to a mutant
_WHOLE_LOOP_TIMINGS = 2  # each compiles for seconds
_FLOOR_RATES = (0.01, 0.1)  # the lowest and the highest learning rate of the floor


def _as_they_are(some: Sequence[programs.Program]) -> Any:
    return some


@dataclass(frozen=True)
class Contender:
    """One way of training a task with programs.

    Attributes:
        count: How many programs it trains at a time.
        train: Trains with `count` programs, as `prepare` returns them, and waits for the results.
        prepare: Prepares programs for `train`; not timed.
        timings: The most times that it is timed; few for a contender that takes long.
    """

    count: int
    train: Callable[[Any], object]
    prepare: Callable[[Sequence[programs.Program]], Any] = _as_they_are
    timings: int = sys.maxsize


def seconds_a_candidate(
    contenders: Mapping[str, Contender], some: Sequence[programs.Program], repetitions: int
) -> dict[str, float]:
    """Time contenders in turn, so that other load on the machine affects all of them.

    Args:
        contenders: By name; each is first run once, untimed, so that what compiles only once is compiled.
        some: Distinct programs; each repetition takes the next ones, and starts over after the last.
        repetitions: Timings of each contender.

    Returns:
        The median of each contender's timings, in seconds per program.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for repetition in range(1 + repetitions):
        for name, contender in contenders.items():
            if repetition > contender.timings:
                continue
            first = repetition * contender.count
            prepared = contender.prepare([some[(first + place) % len(some)] for place in range(contender.count)])
            begun = time.perf_counter()
            contender.train(prepared)
            times[name].append((time.perf_counter() - begun) / contender.count)
    return {name: statistics.median(taken[1:]) for name, taken in times.items()}


def edited_programs() -> Iterator[programs.Program]:
    """Yield programs that a search from AdamW could try, without end, all with different keys, the same every time."""
    rng, limits = np.random.default_rng(0), programs.Limits()
    adamw = programs.load("adamw")
    capacity, _ = _encode(adamw)
    known: set[str] = set()
    while True:
        program = adamw
        for _ in range(rng.integers(1, _MOST_EDITS, endpoint=True)):
            edit = programs.EDITS[rng.choice(_EDITS)]
            program = edit.apply(program, rng, limits) if edit.applies(program, limits) else program
        encoded, key = programs.encode(program), programs.key(program)
        if encoded is not None and encoded[0] == capacity and key not in known:
            known.add(key)
            yield program


def mutants(task: Task, count: int) -> list[programs.Program]:
    """Return the first `count` edited programs that train the task to the end."""
    source = edited_programs()
    found: list[programs.Program] = []
    while len(found) < count:
        fresh = [next(source) for _ in range(count - len(found))]
        trained = evaluate_programs((task,), fresh, (_RNG_SEED,))
        found += [program for program, came in zip(fresh, trained, strict=True) if not came.diverged]
    return found


def interpreter(task: Task, count: int, lanes: Lanes | None = None, population: int | None = None) -> Contender:
    """Return the interpreter engine, encoding included; programs must fit the machine of AdamW, as edited ones do.

    Args:
        task: The task to train.
        count: Programs trained at a time.
        lanes: As `train_many` takes it.
        population: As `train_many` takes it.
    """

    def train(some: Sequence[programs.Program]) -> object:
        capacities, codes = zip(*map(_encode, some), strict=True)
        return train_many(task, capacities[0], [Candidate(code) for code in codes], (_RNG_SEED,), lanes, population)

    return Contender(count, train)


def interpreter_from_text(task: Task, count: int) -> Contender:
    """Return the interpreter engine as a worker uses it, parsing included."""
    train = interpreter(task, count).train
    return Contender(
        count,
        lambda texts: train([programs.parse(text) for text in texts]),
        prepare=lambda some: [str(program) for program in some],
    )


def compiler(task: Task, count: int, rng_seeds: int = 1) -> Contender:
    """Return the compiler engine, which compiles each program's update."""
    seeds = range(_RNG_SEED, _RNG_SEED + rng_seeds)
    return Contender(count, lambda some: [train_each(task, as_optimizer(program), seeds) for program in some])


def whole_loop(task: Task) -> Contender:
    """Return the common way: a training is one jitted function, which is compiled again for each program."""

    def train_one(program: programs.Program) -> object:
        optimizer = programs.to_optax(program)

        @jax.jit
        def train(rng_seed: jax.Array) -> object:
            params, batches = begin(task, rng_seed)

            def step(carry: tuple[Params, Any], index: jax.Array) -> tuple[tuple[Params, Any], None]:
                params, state = carry
                gradients = jax.grad(task.loss)(params, batch_of(task, batches, index))
                updates, state = optimizer.update(gradients, state, params)
                return (optax.apply_updates(params, updates), state), None

            (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), jnp.arange(task.steps))
            return task.held_out(params)

        return jax.block_until_ready(train(jnp.int32(_RNG_SEED)))

    return Contender(1, lambda some: train_one(some[0]), timings=_WHOLE_LOOP_TIMINGS)


def floor(task: Task, count: int, side_by_side: bool) -> Contender:
    """Return what no engine can beat: gradient descent alone, one loop for many learning rates, weights not checked."""

    def train(rate: jax.Array, begun: Start) -> tuple[jax.Array, jax.Array]:
        def step(index: jax.Array, params: Params) -> Params:
            gradients = jax.grad(task.loss)(params, batch_of(task, begun.batches, index))
            return jax.tree.map(lambda weight, gradient: weight - rate * gradient, params, gradients)

        return task.held_out(jax.lax.fori_loop(0, task.steps, step, begun.params))

    def one_by_one(rates: jax.Array, begun: Start) -> object:
        return jax.lax.map(lambda rate: train(rate, begun), rates)

    def together(rates: jax.Array, rng_seeds: jax.Array) -> object:
        return jax.vmap(lambda rate, rng_seed: train(rate, begin(task, rng_seed)))(rates, rng_seeds)

    shape = jax.ShapeDtypeStruct((count,), jnp.float32)
    rates = np.linspace(*_FLOOR_RATES, count, dtype=np.float32)
    if side_by_side:
        begun = np.full(count, _RNG_SEED, np.int32)
        run = compile_ahead(together, shape, jax.ShapeDtypeStruct((count,), jnp.int32))
    else:
        begun = start(task, _RNG_SEED)
        run = compile_ahead(one_by_one, shape, start_shapes(task))
    return Contender(count, lambda _: jax.block_until_ready(run(rates, begun)))


def _encode(program: programs.Program) -> tuple[programs.Capacity, programs.MachineCode]:
    encoded = programs.encode(program)
    assert encoded is not None, "a program that fits no machine"
    return encoded
