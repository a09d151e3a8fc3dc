"""What a training is, whichever engine runs it: how it begins, when it has diverged, and what it results in."""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tasks.pinning import CPU_OPTIONS, pinned, rng_key
from tasks.task import Batch, Params, Task

WEIGHT_BOUND = 1e4
"""A training has diverged if a check finds a weight beyond this bound.

Trained weights here stay below 10. Three layers of 64 units with weights at the bound give logits of at most
(64 * 1e4)**3 = 3e17, so within it no model overflows float32, and every loss is finite. A weight that has become
infinite or NaN remains so, whatever is subtracted from it.
"""

CHECK_EVERY = 25
"""Steps between two checks of the weights; one more follows at the end."""

CONSISTENCY_TOLERANCE = 1e-3
"""Nats by which a mean loss may be below what its accuracy implies, because of rounding."""

_KEPT_STARTS = 64
"""How many starts stay on the device, at about 100 kB each."""


@dataclass(frozen=True)
class Training:
    """The result of one training."""

    loss: float  # held-out loss in nats, at most task.worst; task.worst if diverged
    accuracy: float  # held-out, in [0, 1]; 0 if diverged
    diverged: bool
    steps: int  # updates made before the training ended


class Start(NamedTuple):
    """What a training begins with: the same for every program, given a task and an rng seed."""

    params: Params
    batches: jax.Array  # int32 (steps, batch_size); (0, batch_size) for a full-batch task


def begin(task: Task, rng_seed: jax.Array) -> Start:
    """Draw the initial weights and the batches; traceable by JAX.

    Args:
        task: What to train.
        rng_seed: int32 (), in [0, 2**31).
    """
    init_key, batch_key = jax.random.split(rng_key(rng_seed))
    shape = (0 if task.full_batch else task.steps, task.batch_size)
    batches = jax.random.randint(batch_key, shape, 0, task.training_examples, jnp.int32)
    return Start(task.init(init_key), batches)


def batch_of(task: Task, batches: jax.Array, step: jax.Array) -> Batch:
    """Return the batch of a step; steps count from 0."""
    return slice(None) if task.full_batch else batches[step]


def bounded(params: Params) -> jax.Array:
    """Return whether all weights are finite and within the bound, bool ()."""
    within = [(jnp.abs(leaf) <= WEIGHT_BOUND).all() for leaf in jax.tree.leaves(params)]
    return jnp.stack(within).all()


def judge(task: Task, loss: float, accuracy: float, healthy: bool, steps: int) -> Training:
    """Make a training from what was measured.

    Args:
        task: What was trained.
        loss: Held-out loss in nats.
        accuracy: Held-out, in [0, 1].
        healthy: Whether the weights were within their bound at every check.
        steps: Updates made.

    Returns:
        A diverged training if the weights were out of bounds, if the loss is not finite, or if the loss is smaller
        than ln 2 for every misclassified example.
    """
    consistent = math.isfinite(loss) and loss >= (1 - accuracy) * math.log(2) - CONSISTENCY_TOLERANCE
    if not (healthy and consistent):
        return Training(task.worst, accuracy=0.0, diverged=True, steps=steps)
    return Training(min(loss, task.worst), accuracy, diverged=False, steps=steps)


@functools.cache
@pinned()
def start_shapes(task: Task) -> Start:
    """Return the shapes and dtypes of a task's start."""
    return jax.eval_shape(functools.partial(begin, task), jax.ShapeDtypeStruct((), jnp.int32))


def weights(task: Task) -> int:
    """Return the number of weights of a task's model."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(start_shapes(task).params))


@functools.lru_cache(maxsize=_KEPT_STARTS)
@pinned()
def start(task: Task, rng_seed: int) -> Start:
    """Return a task's start on the device; its arrays must not be donated."""
    return _compile_begin(task)(jnp.int32(rng_seed))


@functools.cache
def _compile_begin(task: Task) -> Callable[[jax.Array], Start]:
    return compile_ahead(functools.partial(begin, task), jax.ShapeDtypeStruct((), jnp.int32))


@pinned()
def compile_ahead(
    function: Callable[..., Any],
    *shapes: Any,
    donate: tuple[int, ...] = (),
    cpu_options: Mapping[str, bool | int | str] = MappingProxyType({}),
) -> Any:
    """Compile a function ahead of time; unlike what `jax.jit` compiles, the result is freed with its last reference.

    The settings and options are those that `tasks.pinning` holds, so that bits depend neither on the environment nor on
    the number of cores.

    Args:
        function: Traceable by JAX.
        *shapes: Shapes and dtypes of its arguments.
        donate: Positions of the arguments whose buffers the result may reuse.
        cpu_options: XLA's options on CPU, beside or instead of the pinned ones.
    """
    on_cpu = jax.default_backend() == "cpu"
    options = {**CPU_OPTIONS, **cpu_options} if on_cpu else {}
    jitted = jax.jit(function, donate_argnums=donate, compiler_options=options)
    return jitted.lower(*shapes).compile()
