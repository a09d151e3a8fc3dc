"""Small transformer blocks for small tasks.

The weights of all layers are stacked on a leading axis: the time to compile an optimizer's update
grows with the number of arrays, not with their size.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

WIDTH = 32
HEADS = 2
LAYERS = 2


class Blocks(eqx.Module):
    """Layers of attention followed by a perceptron, with normalisation before each and no biases.

    Source: A. Vaswani et al., 2017, https://arxiv.org/abs/1706.03762
    """

    attend: jax.Array  # f32 (layers, width, 3 width): queries, keys and values
    gather: jax.Array  # f32 (layers, width, width)
    expand: jax.Array  # f32 (layers, width, 4 width)
    contract: jax.Array  # f32 (layers, 4 width, width)

    def __init__(self, keys: jax.Array):
        """Draw the weights from four rng keys, (4,)."""
        self.attend = _layers(keys[0], WIDTH, 3 * WIDTH)
        self.gather = _layers(keys[1], WIDTH, WIDTH)
        self.expand = _layers(keys[2], WIDTH, 4 * WIDTH)
        self.contract = _layers(keys[3], 4 * WIDTH, WIDTH)

    def __call__(self, stream: jax.Array, visible: jax.Array | None = None) -> jax.Array:
        """Pass tokens through all layers.

        Args:
            stream: f32 (..., length, width).
            visible: bool (length, length), whether the row's token sees the column's token; None if
                every token sees all.

        Returns:
            f32 (..., length, width), not normalised.
        """
        for layer in range(LAYERS):
            projected = normalise(stream) @ self.attend[layer]
            stream += _attention(projected, visible) @ self.gather[layer]
            hidden = jax.nn.relu(normalise(stream) @ self.expand[layer])
            stream += hidden @ self.contract[layer]
        return stream


def normalise(stream: jax.Array) -> jax.Array:
    """Divide each token, f32 (..., width), by its root mean square, without weights."""
    return stream * jax.lax.rsqrt(jnp.square(stream).mean(axis=-1, keepdims=True) + 1e-6)


def _layers(key: jax.Array, inputs: int, outputs: int) -> jax.Array:
    return jax.random.normal(key, (LAYERS, inputs, outputs)) * inputs**-0.5


def _attention(projected: jax.Array, visible: jax.Array | None) -> jax.Array:
    """Mix the values of what each token sees: f32 (..., length, 3 width) -> (..., length, width)."""
    heads = projected.reshape(*projected.shape[:-1], 3, HEADS, WIDTH // HEADS)
    queries, keys, values = heads[..., 0, :, :], heads[..., 1, :, :], heads[..., 2, :, :]
    agreement = jnp.einsum("...qhd,...khd->...hqk", queries, keys) * (WIDTH // HEADS) ** -0.5
    if visible is not None:
        agreement = jnp.where(jnp.broadcast_to(visible, agreement.shape), agreement, -jnp.inf)
    mixed = jnp.einsum("...hqk,...khd->...qhd", jax.nn.softmax(agreement), values)
    return mixed.reshape(*projected.shape[:-1], WIDTH)
