"""Handwritten digits: a perceptron and a vision transformer on scikit-learn's 1,797 images of 8 x 8 pixels."""

import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp

from tasks.classification import Examples, Model, losses, split
from tasks.task import Params, Task
from tasks.transformer import WIDTH, Blocks, normalise

SIDE = 8  # pixels
PIXELS = SIDE * SIDE
CLASSES = 10
TRAINING_IMAGES = 1197
HELD_OUT_IMAGES = 600
PATCH = 2  # pixels on a side
PATCHES = SIDE // PATCH  # on a side


@functools.cache
def load() -> Examples:
    """Read the images, pixels in [0, 1] row by row, and split them.

    Source: E. Alpaydin and C. Kaynak, 1998, https://archive.ics.uci.edu/dataset/80
    """
    from sklearn.datasets import load_digits

    pixels, shown = load_digits(return_X_y=True)
    return split(pixels / 16, shown, HELD_OUT_IMAGES)


def digits(*, name: str, description: str, model: Model, steps: int, reference: float) -> Task:
    """Make a task of classifying digits, with batches of 64 images.

    Args:
        name: As in TASKS.
        description: One sentence.
        model: Maps f32 (..., 64) pixels to (..., 10) logits.
        steps: Updates in one training.
        reference: Held-out loss of AdamW as given, nats.
    """
    loss, held_out = losses(load, model.logits)
    return Task(
        name=name,
        description=description,
        steps=steps,
        batch_size=64,
        training_examples=TRAINING_IMAGES,
        held_out_examples=HELD_OUT_IMAGES,
        worst=math.log(CLASSES),
        reference=reference,
        init=model.init,
        loss=loss,
        held_out=held_out,
    )


def perceptron(width: int, depth: int) -> Model:
    """Make a perceptron with `depth` hidden layers of `width` rectified linear units; the last layer begins at zero."""

    def model(key: jax.Array) -> eqx.nn.MLP:
        layers = eqx.nn.MLP(PIXELS, CLASSES, width, depth, key=key)
        return eqx.tree_at(_last_layer, layers, replace_fn=jnp.zeros_like)

    structure = eqx.filter_eval_shape(lambda: model(jax.random.key(0)))  # starts no device
    static = eqx.filter(structure, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct), True)

    def init(key: jax.Array) -> Params:
        return eqx.filter(model(key), eqx.is_array)

    def logits(params: Params, images: jax.Array) -> jax.Array:
        return jax.vmap(eqx.combine(params, static))(images)

    return Model(init, logits)


def _last_layer(perceptron: eqx.nn.MLP) -> tuple[jax.Array | None, jax.Array | None]:
    return perceptron.layers[-1].weight, perceptron.layers[-1].bias


class VisionTransformer(eqx.Module):
    """Patches of 2 x 2 pixels as 16 tokens, all seeing each other, and the mean of what becomes of them.

    Source: A. Dosovitskiy et al., 2021, https://arxiv.org/abs/2010.11929
    """

    embedding: jax.Array  # f32 (4, width)
    position: jax.Array  # f32 (16, width)
    blocks: Blocks
    predict: jax.Array  # f32 (width, 10), zero at the start

    def __init__(self, key: jax.Array):
        keys = jax.random.split(key, 6)
        self.embedding = jax.random.normal(keys[0], (PATCH**2, WIDTH)) * PATCH**-1.0
        self.position = jax.random.normal(keys[1], (PATCHES**2, WIDTH)) * 0.1
        self.blocks = Blocks(keys[2:])
        self.predict = jnp.zeros((WIDTH, CLASSES))

    def __call__(self, images: jax.Array) -> jax.Array:
        """Return the logits, f32 (..., 10), of f32 (..., 64) pixels."""
        stream = self.blocks(patches(images) @ self.embedding + self.position)
        return normalise(stream).mean(axis=-2) @ self.predict


def patches(images: jax.Array) -> jax.Array:
    """Cut images, (..., 64) pixels row by row, into (..., 16, 4) patches, row by row."""
    cut = images.reshape(*images.shape[:-1], PATCHES, PATCH, PATCHES, PATCH)
    return cut.swapaxes(-3, -2).reshape(*images.shape[:-1], PATCHES**2, PATCH**2)


def vision_transformer() -> Model:
    """Make the vision transformer, 25,536 weights in seven arrays."""
    return Model(VisionTransformer, VisionTransformer.__call__)
