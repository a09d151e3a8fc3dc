"""English text: a small transformer that predicts the next byte of Python's own reference pages."""

import functools
import importlib.resources
import math
import zlib
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from tasks.losses import accuracy, cross_entropy
from tasks.task import Batch, Params, Task, TaskError
from tasks.transformer import WIDTH, Blocks, normalise

VOCABULARY = 128  # 7-bit ASCII
LENGTH = 32  # bytes that the model sees at once
HELD_OUT_WINDOWS = 256

CHARACTERS = 465_126
"""Of the whole text."""

_FILE = "data/python_topics.txt.gz"  # its source and licence stand in the file beside it
_LARGEST_FILE = 1_000_000  # bytes; a larger file is not even unpacked
_GZIP = 16 + zlib.MAX_WBITS  # how zlib calls the format


class Text(NamedTuple):
    """The text as numbers, training part first, held-out part last."""

    training: np.ndarray  # int32 (characters,), in [0, 128)
    held_out: np.ndarray  # int32 (256, 33): windows spread evenly over the last tenth of the text


@functools.cache
def load() -> Text:
    """Read the reference pages of Python 3.11, with topics in alphabetical order; the same text on every Python.

    Source: The Python Language Reference, https://docs.python.org/3.11/reference/

    Raises:
        TaskError: If the file that comes with Pride is damaged.
    """
    characters = np.frombuffer(_unpacked(), np.uint8).astype(np.int32)
    split = len(characters) * 9 // 10
    starts = np.linspace(split, len(characters) - LENGTH - 1, HELD_OUT_WINDOWS).astype(np.int64)
    return Text(characters[:split], characters[starts[:, None] + np.arange(LENGTH + 1)])


def _unpacked() -> bytes:
    """Read the text as 7-bit ASCII, and never more of it than there should be."""
    with importlib.resources.files("tasks").joinpath(_FILE).open("rb") as file:
        packed = file.read(_LARGEST_FILE)
    try:
        text = zlib.decompressobj(_GZIP).decompress(packed, CHARACTERS + 1)
    except zlib.error as error:
        raise TaskError(f"tasks/{_FILE} is damaged ({error}): install Pride again") from None
    if len(text) != CHARACTERS or not text.isascii():
        raise TaskError(f"tasks/{_FILE} is damaged: install Pride again")
    return text


class Transformer(eqx.Module):
    """A decoder: each position sees itself and the positions before it."""

    embedding: jax.Array  # f32 (128, width)
    position: jax.Array  # f32 (length, width)
    blocks: Blocks
    predict: jax.Array  # f32 (width, 128), zero at the start

    def __init__(self, key: jax.Array):
        keys = jax.random.split(key, 6)
        self.embedding = jax.random.normal(keys[0], (VOCABULARY, WIDTH)) * 0.1
        self.position = jax.random.normal(keys[1], (LENGTH, WIDTH)) * 0.1
        self.blocks = Blocks(keys[2:])
        self.predict = jnp.zeros((WIDTH, VOCABULARY))

    def __call__(self, characters: jax.Array) -> jax.Array:
        """Return the logits of the character after each of int32 (..., length), as f32 (..., length, 128)."""
        earlier = jnp.tril(jnp.ones((LENGTH, LENGTH), bool))
        tokens = self.embedding[characters]
        stream = self.blocks(tokens + jnp.broadcast_to(self.position, tokens.shape), visible=earlier)
        return normalise(stream) @ self.predict


def text_gpt(*, name: str, description: str, steps: int, reference: float) -> Task:
    """Make the task of predicting text, with batches of 8 windows of 32 bytes.

    Args:
        name: As in TASKS.
        description: One sentence.
        steps: Updates in one training.
        reference: Held-out loss of AdamW with its constants as given, nats.
    """

    def loss(params: Params, batch: Batch) -> jax.Array:
        windows = jnp.asarray(load().training)[batch[:, None] + jnp.arange(LENGTH + 1)[None]]
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
