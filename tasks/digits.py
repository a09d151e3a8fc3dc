"""Handwritten digits: a multilayer perceptron on scikit-learn's 1,797 images of 8 x 8 pixels."""

import functools
import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from tasks.losses import accuracy, cross_entropy
from tasks.task import Params, Task

PIXELS = 64
CLASSES = 10
TRAINING_IMAGES = 1197
HELD_OUT_IMAGES = 600


class Digits(NamedTuple):
    """Images in [0, 1] and what they show, with the same share of each digit in both parts."""

    training_images: np.ndarray  # f32 (1197, 64)
    training_labels: np.ndarray  # int32 (1197,)
    held_out_images: np.ndarray  # f32 (600, 64)
    held_out_labels: np.ndarray  # int32 (600,)


@functools.cache
def load() -> Digits:
    """Read the images and split them, the same way every time.

    Source: E. Alpaydin and C. Kaynak, 1998, https://archive.ics.uci.edu/dataset/80
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, shown = load_digits(return_X_y=True)
    images = (pixels / 16).astype(np.float32)
    labels = shown.astype(np.int32)
    training, held_out = train_test_split(
        np.arange(len(labels)), test_size=HELD_OUT_IMAGES, stratify=labels, random_state=0
    )
    return Digits(images[training], labels[training], images[held_out], labels[held_out])


def digits(*, name: str, description: str, width: int, depth: int, steps: int, reference: float) -> Task:
    """Make a task of classifying digits, with batches of 64 images.

    Args:
        name: As in TASKS.
        description: One sentence.
        width: Units in each hidden layer.
        depth: Number of hidden layers.
        steps: Updates in one training.
        reference: Held-out loss of AdamW as given, nats.
    """

    def model(key: jax.Array) -> eqx.nn.MLP:
        perceptron = eqx.nn.MLP(PIXELS, CLASSES, width, depth, key=key)
        return eqx.tree_at(_last_layer, perceptron, replace_fn=jnp.zeros_like)

    structure = eqx.filter_eval_shape(model, jax.random.key(0))
    static = eqx.filter(structure, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct), True)

    def init(key: jax.Array) -> Params:
        return eqx.filter(model(key), eqx.is_array)

    def logits(params: Params, images: jax.Array) -> jax.Array:
        return jax.vmap(eqx.combine(params, static))(images)

    def loss(params: Params, batch: jax.Array) -> jax.Array:
        images = jnp.asarray(load().training_images)[batch]
        labels = jnp.asarray(load().training_labels)[batch]
        return cross_entropy(logits(params, images), labels)

    def held_out(params: Params) -> tuple[jax.Array, jax.Array]:
        labels = jnp.asarray(load().held_out_labels)
        predicted = logits(params, jnp.asarray(load().held_out_images))
        return cross_entropy(predicted, labels), accuracy(predicted, labels)

    return Task(
        name=name,
        description=description,
        steps=steps,
        batch_size=64,
        training_examples=TRAINING_IMAGES,
        held_out_examples=HELD_OUT_IMAGES,
        worst=math.log(CLASSES),
        reference=reference,
        init=init,
        loss=loss,
        held_out=held_out,
    )


def _last_layer(perceptron: eqx.nn.MLP) -> tuple[jax.Array | None, jax.Array | None]:
    return perceptron.layers[-1].weight, perceptron.layers[-1].bias
