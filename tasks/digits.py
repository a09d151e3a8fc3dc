"""Handwritten digits: a perceptron and a vision transformer on scikit-learn's 1,797 images of 8 x 8 pixels."""

import functools
import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from tasks.classification import Examples, Model, losses, split
from tasks.pinning import KEY_TYPE
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


@functools.cache
def mislabelled(images: int, redrawn: float, contrast: float = 1.0) -> Examples:
    """Read the digits, with some labels of the training part replaced at random; held-out labels are correct.

    Args:
        images: How many images to train with: the first of the training part.
        redrawn: The share of these images whose label is drawn again from all ten.
        contrast: The factor that all pixels are multiplied by.
    """
    true = load()
    rng = np.random.default_rng(0)
    drawn = rng.random(images) < redrawn
    labels = np.where(drawn, rng.integers(0, CLASSES, images, np.int32), true.training_labels[:images])
    return Examples(
        true.training_rows[:images] * np.float32(contrast),
        labels,
        true.held_out_rows * np.float32(contrast),
        true.held_out_labels,
    )


def digits(
    *,
    name: str,
    description: str,
    model: Model,
    steps: int,
    reference: float,
    batch_size: int = 64,
    images: int = TRAINING_IMAGES,
    load: Callable[[], Examples] = load,
) -> Task:
    """Make a task of classifying digits.

    Args:
        name: As in TASKS.
        description: One sentence.
        model: Maps f32 (..., 64) pixels to (..., 10) logits.
        steps: Updates in one training.
        reference: Held-out loss of AdamW with its constants as given, nats.
        batch_size: Images in one step.
        images: Images to train with.
        load: Returns the images; called when they are needed.
    """
    loss, held_out = losses(load, model.logits)
    return Task(
        name=name,
        description=description,
        steps=steps,
        batch_size=batch_size,
        training_examples=images,
        held_out_examples=HELD_OUT_IMAGES,
        worst=math.log(CLASSES),
        reference=reference,
        init=model.init,
        loss=loss,
        held_out=held_out,
    )


def mislabelled_digits(
    *, name: str, description: str, images: int, redrawn: float, contrast: float, batch_size: int, reference: float
) -> Task:
    """Make a long task with partly wrong labels: 4,000 steps of a 64-64-10 perceptron.

    The arguments are those of `mislabelled` and `digits`.
    """
    return digits(
        name=name,
        description=description,
        model=perceptron(width=64, depth=1),
        steps=4000,
        reference=reference,
        batch_size=batch_size,
        images=images,
        load=lambda: mislabelled(images, redrawn, contrast),
    )


def perceptron(width: int, depth: int) -> Model:
    """Make a perceptron with `depth` hidden layers of `width` rectified linear units; the last layer begins at zero."""

    def model(key: jax.Array) -> eqx.nn.MLP:
        layers = eqx.nn.MLP(PIXELS, CLASSES, width, depth, key=key)
        return eqx.tree_at(_last_layer, layers, replace_fn=jnp.zeros_like)

    structure = eqx.filter_eval_shape(lambda: model(jax.random.key(0, impl=KEY_TYPE)))  # starts no device
    static = eqx.filter(structure, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct), True)

    def init(key: jax.Array) -> Params:
        return eqx.filter(model(key), eqx.is_array)

    def logits(params: Params, images: jax.Array) -> jax.Array:
        return jax.vmap(eqx.combine(params, static))(images)

    return Model(init, logits)


def _last_layer(perceptron: eqx.nn.MLP) -> tuple[jax.Array | None, jax.Array | None]:
    return perceptron.layers[-1].weight, perceptron.layers[-1].bias


class VisionTransformer(eqx.Module):
    """A transformer over 16 patches of 2 x 2 pixels, which all attend to each other; it classifies their mean.

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
        """Return the logits, f32 (..., 10), for f32 (..., 64) pixels."""
        tokens = patches(images) @ self.embedding
        stream = self.blocks(tokens + jnp.broadcast_to(self.position, tokens.shape))
        return normalise(stream).mean(axis=-2) @ self.predict


def patches(images: jax.Array) -> jax.Array:
    """Cut images, (..., 64) pixels row by row, into (..., 16, 4) patches, row by row."""
    cut = images.reshape(*images.shape[:-1], PATCHES, PATCH, PATCHES, PATCH)
    return cut.swapaxes(-3, -2).reshape(*images.shape[:-1], PATCHES**2, PATCH**2)


def vision_transformer() -> Model:
    """Make the vision transformer, 25,536 weights in seven arrays."""
    return Model(VisionTransformer, VisionTransformer.__call__)
