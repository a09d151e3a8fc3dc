"""English text: a small transformer that predicts the next byte of Python's own reference pages.

The model keeps its weights in seven arrays, those of all layers stacked on a leading axis: the
time to compile an optimizer's update grows with the number of arrays, not with their size.
"""

import functools
import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from tasks.losses import accuracy, cross_entropy
from tasks.task import Params, Task

VOCABULARY = 128  # 7-bit ASCII
LENGTH = 32  # bytes that the model sees at once
WIDTH = 32
HEADS = 2
LAYERS = 2
HELD_OUT_WINDOWS = 256


class Text(NamedTuple):
    """The text as numbers, training part first, held-out part last."""

    training: np.ndarray  # int32 (characters,), in [0, 128)
    held_out: np.ndarray  # int32 (256, 33): windows spread evenly over the last tenth of the text


@functools.cache
def load() -> Text:
    """Read the reference pages that come with Python, topics in alphabetical order.

    The text differs a little from one minor version of Python to the next.
    Source: The Python Language Reference, https://docs.python.org/3/reference/
    """
    from pydoc_data.topics import topics

    joined = "\n\n".join(topics[name] for name in sorted(topics))
    characters = np.frombuffer(joined.encode("ascii", errors="replace"), np.uint8).astype(np.int32)
    split = len(characters) * 9 // 10
    starts = np.linspace(split, len(characters) - LENGTH - 1, HELD_OUT_WINDOWS).astype(np.int64)
    return Text(characters[:split], characters[starts[:, None] + np.arange(LENGTH + 1)])


class Transformer(eqx.Module):
    """A decoder with normalisation before each block, no biases and no weights in the norms."""

    embedding: jax.Array  # f32 (128, width)
    position: jax.Array  # f32 (length, width)
    attend: jax.Array  # f32 (layers, width, 3 width): queries, keys and values
    gather: jax.Array  # f32 (layers, width, width)
    expand: jax.Array  # f32 (layers, width, 4 width)
    contract: jax.Array  # f32 (layers, 4 width, width)
    predict: jax.Array  # f32 (width, 128), zero at the start

    def __init__(self, key: jax.Array):
        keys = jax.random.split(key, 6)
        self.embedding = jax.random.normal(keys[0], (VOCABULARY, WIDTH)) * 0.1
        self.position = jax.random.normal(keys[1], (LENGTH, WIDTH)) * 0.1
        self.attend = _layers(keys[2], WIDTH, 3 * WIDTH)
        self.gather = _layers(keys[3], WIDTH, WIDTH)
        self.expand = _layers(keys[4], WIDTH, 4 * WIDTH)
        self.contract = _layers(keys[5], 4 * WIDTH, WIDTH)
        self.predict = jnp.zeros((WIDTH, VOCABULARY))

    def __call__(self, characters: jax.Array) -> jax.Array:
        """Return f32 (..., length, 128): after each of the int32 (..., length), what comes next."""
        stream = self.embedding[characters] + self.position
        for layer in range(LAYERS):
            projected = _normalise(stream) @ self.attend[layer]
            stream += _attention(projected) @ self.gather[layer]
            hidden = jax.nn.relu(_normalise(stream) @ self.expand[layer])
            stream += hidden @ self.contract[layer]
        return _normalise(stream) @ self.predict


def _layers(key: jax.Array, inputs: int, outputs: int) -> jax.Array:
    return jax.random.normal(key, (LAYERS, inputs, outputs)) * inputs**-0.5


def _normalise(stream: jax.Array) -> jax.Array:
    return stream * jax.lax.rsqrt(jnp.square(stream).mean(axis=-1, keepdims=True) + 1e-6)


def _attention(projected: jax.Array) -> jax.Array:
    """Mix what is at and before each position: f32 (..., length, 3 width) -> (..., width)."""
    heads = projected.reshape(*projected.shape[:-1], 3, HEADS, WIDTH // HEADS)
    queries, keys, values = heads[..., 0, :, :], heads[..., 1, :, :], heads[..., 2, :, :]
    agreement = jnp.einsum("...qhd,...khd->...hqk", queries, keys) * (WIDTH // HEADS) ** -0.5
    earlier = jnp.tril(jnp.ones((LENGTH, LENGTH), bool))
    weights = jax.nn.softmax(jnp.where(earlier, agreement, -jnp.inf))
    mixed = jnp.einsum("...hqk,...khd->...qhd", weights, values)
    return mixed.reshape(*projected.shape[:-1], WIDTH)


def text_gpt(*, name: str, description: str, steps: int, reference: float) -> Task:
    """Make the task of predicting text, with batches of 8 windows of 32 bytes.

    Args:
        name: As in TASKS.
        description: One sentence.
        steps: Updates in one training.
        reference: Held-out loss of AdamW as given, nats.
    """

    def loss(params: Params, batch: jax.Array) -> jax.Array:
        windows = jnp.asarray(load().training)[batch[:, None] + jnp.arange(LENGTH + 1)]
        return cross_entropy(params(windows[:, :-1]), windows[:, 1:])

    def held_out(params: Params) -> tuple[jax.Array, jax.Array]:
        windows = jnp.asarray(load().held_out)
        predicted = params(windows[:, :-1])
        return cross_entropy(predicted, windows[:, 1:]), accuracy(predicted, windows[:, 1:])

    return Task(
        name=name,
        description=description,
        steps=steps,
        batch_size=8,
        training_examples=len(load().training) - LENGTH,
        held_out_examples=HELD_OUT_WINDOWS * LENGTH,
        worst=math.log(VOCABULARY),
        reference=reference,
        init=Transformer,
        loss=loss,
        held_out=held_out,
    )
