"""Train a perceptron in Equinox with an optimizer that Pride exported.

`pride export PROGRAM --to optax --name found -o found.py` writes the module that is imported here; put it beside this
file. The batches are split over a mesh of all devices, each of which holds all weights. Run again with the same
checkpoint, it continues where it stopped.
"""

import argparse
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import optax
from found import found
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from sklearn.datasets import load_digits

BATCH = 64


def loss(model: eqx.nn.MLP, images: jax.Array, labels: jax.Array) -> jax.Array:
    """Return the mean cross-entropy, nats, of images (batch, 64)."""
    logits = jax.vmap(model)(images)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def make_optimizer(peak: float, steps: int) -> optax.MultiSteps:
    """Make an optimizer that clips, follows a learning-rate schedule, and updates once for every two batches."""
    schedule = optax.warmup_cosine_decay_schedule(peak / 10, peak, warmup_steps=steps // 10, decay_steps=steps // 2)
    scheduled = optax.inject_hyperparams(found)(learning_rate=schedule)  # other settings: b1=0.95, weight_decay=0.2
    return optax.MultiSteps(optax.chain(optax.clip_by_global_norm(1.0), scheduled), every_k_schedule=2)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a perceptron on 8 x 8 digits.")
    parser.add_argument("--steps", type=int, default=200, help="batches until the schedule ends (default 200)")
    parser.add_argument("--learning-rate", type=float, default=0.001, help="the schedule's peak (default 0.001)")
    parser.add_argument("--stop-after", type=int, help="stop early, after this many batches in total")
    parser.add_argument("--checkpoint", type=Path, help="an .eqx file to continue from, if it exists, and to save to")
    options = parser.parse_args()

    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
    everywhere, by_row = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("data"))
    print(f"{jax.device_count()} devices: {dict(mesh.shape)}")

    model = eqx.nn.MLP(64, 10, width_size=64, depth=2, key=jax.random.key(0))
    optimizer = make_optimizer(options.learning_rate, options.steps)
    state = optimizer.init(eqx.filter(model, eqx.is_inexact_array))
    if options.checkpoint and options.checkpoint.exists():
        model, state = eqx.tree_deserialise_leaves(options.checkpoint, (model, state))
    model, state = eqx.filter_shard((model, state), everywhere)

    @eqx.filter_jit
    def step(model, state, images, labels):
        value, gradient = eqx.filter_value_and_grad(loss)(model, images, labels)
        updates, state = optimizer.update(gradient, state, eqx.filter(model, eqx.is_inexact_array))
        return eqx.apply_updates(model, updates), state, value

    digits = load_digits()
    images, labels = digits.data / 16.0, digits.target
    done = 2 * int(state.gradient_step) + int(state.mini_step)
    print(f"batch {done}: loss {eqx.filter_jit(loss)(model, images, labels):.4f} on all images")
    while done < (options.stop_after or options.steps):
        done += 1
        rows = np.random.default_rng(done).choice(len(images), BATCH, replace=False)
        model, state, value = step(model, state, *jax.device_put((images[rows], labels[rows]), by_row))
        if done % 10 == 0:
            rate = state.inner_opt_state[1].hyperparams["learning_rate"]
            print(f"batch {done}: loss {value:.4f}, learning rate {rate:.6g}")
    print(f"batch {done}: loss {eqx.filter_jit(loss)(model, images, labels):.4f} on all images")

    if options.checkpoint:
        eqx.tree_serialise_leaves(options.checkpoint, (model, state))


if __name__ == "__main__":
    main()
