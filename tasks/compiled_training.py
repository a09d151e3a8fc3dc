"""The compiler engine: trains with one program, or any other Optax transformation, compiled by XLA.

The gradient step compiles once per task and process. Only the optimizer's update compiles for each optimizer, as a
separate function that is freed with its last reference; the steps are dispatched from Python, while the batches and the
step counter stay on the device. Compiling the whole loop for each optimizer takes several times longer than training.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax

from tasks.pinning import pinned
from tasks.task import Params, Task
from tasks.training import CHECK_EVERY, Training, batch_of, bounded, compile_ahead, judge, start, start_shapes

_UPDATE_OPTIONS = MappingProxyType(
    {
        "xla_cpu_parallel_codegen_split_count": 1,
        "xla_backend_optimization_level": 1,
        **({"xla_cpu_use_fusion_emitters": False} if jax.__version_info__ < (0, 11) else {}),  # later ones reject it
    }
)
"""XLA options that halve the processor time of compiling an update (jaxlib 0.10.2, two cores).

AdamW, digits_mlp: 0.25 to 0.11 s, flat 0.20 to 0.10 s; text_gpt: 0.42 to 0.15 s, flat 0.23 to
0.12 s. A step takes up to 0.02 ms (digits_mlp) or 0.12 ms (text_gpt) longer.
"""


def train(task: Task, optimizer: optax.GradientTransformation, rng_seed: int) -> Training:
    """Train a task's model once.

    Initial weights and batches depend on the task and the rng seed alone.

    Args:
        task: What to train.
        optimizer: Any transformation. If it is wrapped in `optax.flatten`, its update compiles about
          twice as fast, but sees all weights as one array.
        rng_seed: In [0, 2**31).

    Returns:
        The held-out loss and accuracy, or a diverged training.
    """
    return train_each(task, optimizer, (rng_seed,))[0]


@pinned()
def train_each(task: Task, optimizer: optax.GradientTransformation, rng_seeds: Sequence[int]) -> tuple[Training, ...]:
    """Train a task's model once for each rng seed, until the first training that diverges."""
    update = _compile_update(task, optimizer)
    trainings: list[Training] = []
    for rng_seed in rng_seeds:
        trainings.append(_run(task, update, optimizer, rng_seed))
        if trainings[-1].diverged:
            break
    return tuple(trainings)


_Update: TypeAlias = Callable[[Params, Any, Params], tuple[Params, Any]]
"""Gradient, optimizer state, weights -> weights, optimizer state."""


@dataclass(frozen=True)
class _Steps:
    """A task's compiled functions."""

    gradient: Callable[..., Any]  # weights, batches, step -> gradient, next step
    healthy: Callable[..., Any]  # weights -> bool ()
    held_out: Callable[..., Any]  # weights -> loss, accuracy, healthy


@functools.cache
def _compile_steps(task: Task) -> _Steps:
    def gradient(params: Params, batches: jax.Array, step: jax.Array) -> tuple[Params, jax.Array]:
        return jax.grad(task.loss)(params, batch_of(task, batches, step)), step + 1

    def held_out(params: Params) -> tuple[jax.Array, jax.Array, jax.Array]:
        return *task.held_out(params), bounded(params)

    params, batches = start_shapes(task)
    return _Steps(
        gradient=compile_ahead(gradient, params, batches, jax.ShapeDtypeStruct((), jnp.int32)),
        healthy=compile_ahead(bounded, params),
        held_out=compile_ahead(held_out, params),
    )


def _compile_update(task: Task, optimizer: optax.GradientTransformation) -> _Update:
    def update(gradients: Params, state: Any, params: Params) -> tuple[Params, Any]:
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    params = start_shapes(task).params
    state = jax.eval_shape(optimizer.init, params)
    with _uncached():
        return compile_ahead(update, params, state, params, donate=(1, 2), cpu_options=_UPDATE_OPTIONS)


@contextmanager
def _uncached() -> Iterator[None]:
    """Keep what compiles in the context out of JAX's persistent compilation cache, if JAX uses one.

    JAX decides once per process whether to use the cache, but for each compilation whether to write to it.
    """
    name = "jax_persistent_cache_min_compile_time_secs"
    before = jax.config.values[name]
    jax.config.update(name, math.inf)
    try:
        yield
    finally:
        jax.config.update(name, before)


def _run(task: Task, update: _Update, optimizer: optax.GradientTransformation, rng_seed: int) -> Training:
    steps = _compile_steps(task)
    params, batches = start(task, rng_seed)
    step = jnp.int32(0)
    # Copied, since the update reuses the buffers: the start is cached, and a state may hold the weights themselves.
    params, state = jax.tree.map(jnp.copy, (params, optimizer.init(params)))
    for done in range(task.steps):
        gradients, step = steps.gradient(params, batches, step)
        params, state = update(gradients, state, params)
        if (done + 1) % CHECK_EVERY == 0 and not steps.healthy(params):
            return judge(task, task.worst, 0.0, False, done + 1)
    loss, accuracy, healthy = jax.device_get(steps.held_out(params))
    return judge(task, float(loss), float(accuracy), bool(healthy), task.steps)
