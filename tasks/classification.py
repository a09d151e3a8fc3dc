"""What the tasks that classify rows of numbers share: the split and the losses."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tasks.losses import accuracy, cross_entropy
from tasks.task import Batch, Params


class Examples(NamedTuple):
    """Rows and their classes, with the same share of each class in both parts."""

    training_rows: np.ndarray  # f32 (training examples, features)
    training_labels: np.ndarray  # int32 (training examples,), in [0, classes)
    held_out_rows: np.ndarray  # f32 (held-out examples, features)
    held_out_labels: np.ndarray  # int32 (held-out examples,)


class Model(NamedTuple):
    """A model that maps rows to classes."""

    init: Callable[[jax.Array], Params]  # rng key -> initial weights
    logits: Callable[[Params, jax.Array], jax.Array]  # weights, f32 (..., features) -> (..., classes)


def split(rows: np.ndarray, labels: np.ndarray, held_out: int) -> Examples:
    """Split rows and labels of any type, the same way every time, with `held_out` rows held out."""
    from sklearn.model_selection import train_test_split

    training, rest = train_test_split(np.arange(len(labels)), test_size=held_out, stratify=labels, random_state=0)
    rows, labels = rows.astype(np.float32), labels.astype(np.int32)
    return Examples(rows[training], labels[training], rows[rest], labels[rest])


def losses(
    load: Callable[[], Examples], logits: Callable[[Params, jax.Array], jax.Array]
) -> tuple[Callable[[Params, Batch], jax.Array], Callable[[Params], tuple[jax.Array, jax.Array]]]:
    """Make the functions `loss` and `held_out` of a task.

    Args:
        load: Returns the data, the same every time; called whenever one of the functions is.
        logits: As in Model.
    """

    def loss(params: Params, batch: Batch) -> jax.Array:
        rows = jnp.asarray(load().training_rows)[batch]
        labels = jnp.asarray(load().training_labels)[batch]
        return cross_entropy(logits(params, rows), labels)

    def held_out(params: Params) -> tuple[jax.Array, jax.Array]:
        labels = jnp.asarray(load().held_out_labels)
        predicted = logits(params, jnp.asarray(load().held_out_rows))
        return cross_entropy(predicted, labels), accuracy(predicted, labels)

    return loss, held_out
