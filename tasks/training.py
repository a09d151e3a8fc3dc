"""The training loop: one task, any Optax transformation, the same bits every time.

The gradient step compiles once per task and process. Only the optimizer's update compiles for each
optimizer, as a function of its own that is freed with its last reference; the steps are dispatched
from Python, with batches, step counter and health flag staying on the device. Compiling the whole
loop anew for each optimizer takes several times longer than training does.
"""

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax

from tasks.task import Params, Task, TaskError, score

WEIGHT_BOUND = 1e4
"""A training whose weights grow beyond this has diverged.

Trained weights here stay below 10. Three layers of 64 units with weights at the bound give logits
of at most (64 * 1e4)**3 = 3e17, so below it no model overflows float32.
"""

CHECK_EVERY = 25
"""Steps between two looks of the host at the health flag; each look waits for the device."""

CONSISTENCY_TOLERANCE = 1e-3
"""Nats by which a mean loss may fall short of what its accuracy implies, for rounding."""

_UPDATE_OPTIONS = MappingProxyType(
    {
        "xla_cpu_use_fusion_emitters": False,
        "xla_cpu_parallel_codegen_split_count": 1,
        "xla_backend_optimization_level": 1,
    }
)
"""What halves the processor time of compiling an update (jaxlib 0.10.2, two cores).

AdamW, digits_mlp: 0.25 to 0.11 s, flat 0.20 to 0.10 s; text_gpt: 0.42 to 0.15 s, flat 0.23 to
0.12 s. A step takes up to 0.02 ms (digits_mlp) or 0.12 ms (text_gpt) longer.
"""


@dataclass(frozen=True)
class Training:
    """What came of one training."""

    loss: float  # held-out loss in nats, at most task.worst; task.worst if diverged
    accuracy: float  # held-out, in [0, 1]; 0 if diverged
    diverged: bool
    steps: int  # updates made before the training ended


@dataclass(frozen=True)
class Evaluation:
    """What came of one optimizer on a suite of tasks."""

    trainings: tuple[tuple[Training, ...], ...]  # by task, then by rng seed; short if diverged
    score: float  # mean over tasks of the mean over rng seeds; 0 if any training diverged
    diverged: bool  # a training diverged, and those after it were skipped

    @property
    def losses(self) -> tuple[tuple[float, ...], ...]:
        """Held-out losses in nats, by task, then by rng seed."""
        return tuple(tuple(training.loss for training in row) for row in self.trainings)


def train(task: Task, optimizer: optax.GradientTransformation, rng_seed: int) -> Training:
    """Train a task's model once.

    Initial weights and batches depend on the task and the rng seed alone.

    Args:
        task: What to train.
        optimizer: Any transformation. Wrapped in `optax.flatten`, its update compiles about twice
          as fast, but then sees all weights as one array.
        rng_seed: In [0, 2**31).

    Returns:
        The held-out loss and accuracy, or a diverged training.
    """
    return _run(task, _compile_update(task, optimizer), optimizer, rng_seed)


def evaluate(tasks: Sequence[Task], optimizer: optax.GradientTransformation, rng_seeds: Sequence[int]) -> Evaluation:
    """Train every task once per rng seed, until the first training that diverges.

    Args:
        tasks: At least one; the optimizer's update compiles once for each.
        optimizer: Any transformation.
        rng_seeds: At least one, each in [0, 2**31).

    Returns:
        The trainings and their score.

    Raises:
        TaskError: There is no task or no rng seed.
    """
    if not tasks or not rng_seeds:
        raise TaskError(f"got {len(tasks)} tasks and {len(rng_seeds)} rng seeds; give at least one of each")
    trainings: list[tuple[Training, ...]] = []
    for task in tasks:
        update = _compile_update(task, optimizer)
        row: list[Training] = []
        for rng_seed in rng_seeds:
            row.append(_run(task, update, optimizer, rng_seed))
            if row[-1].diverged:
                return Evaluation((*trainings, tuple(row)), score=0.0, diverged=True)
        trainings.append(tuple(row))
    task_scores = [
        math.fsum(score(task, training.loss) for training in row) / len(row)
        for task, row in zip(tasks, trainings, strict=True)
    ]
    mean = math.fsum(task_scores) / len(task_scores)
    return Evaluation(tuple(trainings), score=mean, diverged=False)


_Update: TypeAlias = Callable[[Params, Any, Params], tuple[Params, Any]]
"""Gradient, optimizer state, weights -> weights, optimizer state."""


@dataclass(frozen=True)
class _Steps:
    """A task's compiled functions. `healthy` is bool (), false once a training has diverged."""

    begin: Callable[..., Any]  # rng seed -> weights, batches, step, healthy
    gradient: Callable[..., Any]  # weights, batches, step, healthy -> gradient, step, healthy
    held_out: Callable[..., Any]  # weights, healthy -> loss, accuracy, healthy
    params: Params  # shapes and types of the weights


@functools.cache
def _compile_steps(task: Task) -> _Steps:
    def begin(rng_seed: jax.Array) -> tuple[Params, jax.Array, jax.Array, jax.Array]:
        init_key, batch_key = jax.random.split(jax.random.key(rng_seed))
        shape = (task.steps, task.batch_size)
        batches = jax.random.randint(batch_key, shape, 0, task.training_examples, jnp.int32)
        return task.init(init_key), batches, jnp.int32(0), jnp.bool_(True)

    def gradient(
        params: Params, batches: jax.Array, step: jax.Array, healthy: jax.Array
    ) -> tuple[Params, jax.Array, jax.Array]:
        loss, gradients = jax.value_and_grad(task.loss)(params, batches[step])
        return gradients, step + 1, healthy & jnp.isfinite(loss) & _bounded(params)

    def held_out(params: Params, healthy: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        loss, accuracy = task.held_out(params)
        return loss, accuracy, healthy & _bounded(params)

    rng_seed = jax.ShapeDtypeStruct((), jnp.int32)
    params, batches, step, healthy = jax.eval_shape(begin, rng_seed)
    return _Steps(
        begin=_compile(begin, rng_seed),
        gradient=_compile(gradient, params, batches, step, healthy),
        held_out=_compile(held_out, params, healthy),
        params=params,
    )


def _compile_update(task: Task, optimizer: optax.GradientTransformation) -> _Update:
    def update(gradients: Params, state: Any, params: Params) -> tuple[Params, Any]:
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    params = _compile_steps(task).params
    state = jax.eval_shape(optimizer.init, params)
    with _uncached():
        return _compile(update, params, state, params, donate=(1, 2), cpu_options=_UPDATE_OPTIONS)


def _run(task: Task, update: _Update, optimizer: optax.GradientTransformation, rng_seed: int) -> Training:
    steps = _compile_steps(task)
    params, batches, step, healthy = steps.begin(jnp.int32(rng_seed))
    # Copied, since the update takes over the buffers and a state may hold the weights themselves.
    state = jax.tree.map(jnp.copy, optimizer.init(params))
    for done in range(task.steps):
        if done % CHECK_EVERY == 0 and not healthy:
            return _diverged(task, done)
        gradients, step, healthy = steps.gradient(params, batches, step, healthy)
        params, state = update(gradients, state, params)
    loss, accuracy, healthy = jax.device_get(steps.held_out(params, healthy))
    if not healthy or not _consistent(float(loss), float(accuracy)):
        return _diverged(task, task.steps)
    return Training(min(float(loss), task.worst), float(accuracy), diverged=False, steps=task.steps)


def _diverged(task: Task, steps: int) -> Training:
    return Training(task.worst, accuracy=0.0, diverged=True, steps=steps)


def _consistent(loss: float, accuracy: float) -> bool:
    """Whether a loss is finite and no smaller than ln 2 for every misclassified example."""
    return math.isfinite(loss) and loss >= (1 - accuracy) * math.log(2) - CONSISTENCY_TOLERANCE


def _bounded(params: Params) -> jax.Array:
    """Whether all weights are finite and within the bound, bool ()."""
    within = [(jnp.abs(leaf) <= WEIGHT_BOUND).all() for leaf in jax.tree.leaves(params)]
    return jnp.stack(within).all()


@contextmanager
def _uncached() -> Iterator[None]:
    """Keep what compiles inside out of JAX's persistent compilation cache, where that is in use.

    JAX decides only once per process whether to use it, but for each compilation whether to write.
    """
    name = "jax_persistent_cache_min_compile_time_secs"
    before = jax.config.values[name]
    jax.config.update(name, math.inf)
    try:
        yield
    finally:
        jax.config.update(name, before)


def _compile(
    function: Callable[..., Any],
    *shapes: Any,
    donate: tuple[int, ...] = (),
    cpu_options: Mapping[str, bool | int] = MappingProxyType({}),
) -> Any:
    """Compile ahead of time: unlike those of `jax.jit`, the result leaves with its last reference.

    On CPU with one thread, so that bits do not depend on the number of cores.
    """
    on_cpu = jax.default_backend() == "cpu"
    options = {"xla_cpu_multi_thread_eigen": False, **cpu_options} if on_cpu else {}
    jitted = jax.jit(function, donate_argnums=donate, compiler_options=options)
    return jitted.lower(*shapes).compile()
