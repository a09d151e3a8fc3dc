"""What the device here makes of the same trainings, as a hash: equal on machines that compute the same bits.

Beside a config, the bits of a score depend on the instructions that XLA finds in a processor, on how wide it makes
loops for it, and on whether it is Intel's or AMD's (one over a square root is approximated by an instruction that
differs between them). Neither a processor's name nor its list of instructions tells what comes of it; training does.
"""

import functools
import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tasks.losses import cross_entropy
from tasks.pinning import pinned
from tasks.training import compile_ahead
from tasks.transformer import normalise

_STEPS = 3
_ROWS, _FEATURES, _UNITS, _CLASSES = 120, 4, 16, 3  # as iris: products so small that XLA writes loops for them
_BATCH, _LENGTH, _WIDTH = 8, 32, 32  # as text_gpt: products that a library computes
_Weights = dict[str, Any]


@functools.cache
@pinned()
def probe_arithmetic() -> str:
    """Train two small models for a few steps with one update that calls most kinds of functions; hash what comes of it.

    They hold products of matrices of several sizes, attention, normalisation, sums, means, one over a square root, and
    functions such as exp and tanh. Compiles in about a second, or is found in the compile cache.

    Returns:
        16 hexadecimal digits.
    """
    given = jax.tree.map(jnp.asarray, (_weights(), _data()))
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), given)
    results = compile_ahead(_train, *shapes)(*given)
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(results):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()[:16]


def _numbers(*shape: int, seed: int) -> np.ndarray:
    """Make numbers without any library's functions, between -1 and 1: multiples of 2**-15, the same everywhere."""
    count = np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64)
    drawn = (count * np.uint64(2654435761 + 2 * seed)) % np.uint64(2**32) >> np.uint64(16)
    return (drawn.astype(np.float32) / np.float32(2**15) - np.float32(1)).reshape(shape)


def _weights() -> _Weights:
    return {
        "hidden": _numbers(_UNITS, _FEATURES, seed=1),
        "predict": _numbers(_CLASSES, _UNITS, seed=2),
        "project": _numbers(_WIDTH, 3 * _WIDTH, seed=3) / np.float32(4),
    }


def _data() -> dict[str, np.ndarray]:
    return {
        "rows": _numbers(_FEATURES, _ROWS, seed=4),
        "classes": np.arange(_ROWS, dtype=np.int32) % _CLASSES,
        "tokens": _numbers(_BATCH, _LENGTH, _WIDTH, seed=5),
        "next": np.arange(_BATCH * _LENGTH, dtype=np.int32).reshape(_BATCH, _LENGTH) % _WIDTH,
    }


def _loss(weights: _Weights, data: dict[str, jax.Array]) -> jax.Array:
    units = jax.nn.relu(weights["hidden"] @ data["rows"])
    queries, keys, values = jnp.split(normalise(data["tokens"]) @ weights["project"], 3, axis=-1)
    agreement = jnp.einsum("bqd,bkd->bqk", queries, keys) * _WIDTH**-0.5
    mixed = jax.nn.softmax(agreement) @ values
    return cross_entropy((weights["predict"] @ units).T, data["classes"]) + cross_entropy(mixed, data["next"])


def _train(weights: _Weights, data: dict[str, jax.Array]) -> tuple[jax.Array, _Weights, _Weights]:
    def update(weight: jax.Array, gradient: jax.Array, mean: jax.Array) -> tuple[jax.Array, jax.Array]:
        mean = 0.9 * mean + 0.1 * gradient
        scaled = mean / (jnp.sqrt(jnp.square(gradient).mean()) + 1e-8)
        bent = jnp.tanh(scaled) + jnp.exp(-jnp.abs(scaled)) * jnp.sin(scaled) + jnp.log1p(jnp.abs(scaled))
        return weight - 0.01 * bent, mean

    def step(_: jax.Array, carry: tuple[_Weights, _Weights]) -> tuple[_Weights, _Weights]:
        weights, means = carry
        gradients = jax.grad(_loss)(weights, data)
        moved = {name: update(weights[name], gradients[name], means[name]) for name in weights}
        return {name: pair[0] for name, pair in moved.items()}, {name: pair[1] for name, pair in moved.items()}

    zeros = jax.tree.map(jnp.zeros_like, weights)
    weights, means = jax.lax.fori_loop(0, _STEPS, step, (weights, zeros))
    return _loss(weights, data), weights, means
