"""Train a small transformer in plain JAX with an optimizer that Pride exported.

`pride export PROGRAM --to optax --name found -o found.py` writes the module that is imported here; put it beside this
file. The batches are split over one axis of a mesh of all devices, the weights and the optimizer's state over the
other. Run again with the same checkpoint, it continues where it stopped.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from found import found
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from sklearn.datasets import load_digits

WIDTH, HEADS, HIDDEN, BATCH = 32, 4, 128, 64

WEIGHTS = {  # the shape of each array, and how it is split: heads and hidden units over the axis "model"
    "embed": ((8, WIDTH), PartitionSpec()),
    "place": ((8, WIDTH), PartitionSpec()),
    "attend": ((3, HEADS, WIDTH, WIDTH // HEADS), PartitionSpec(None, "model")),
    "gather": ((HEADS, WIDTH // HEADS, WIDTH), PartitionSpec("model")),
    "expand": ((WIDTH, HIDDEN), PartitionSpec(None, "model")),
    "bias": ((HIDDEN,), PartitionSpec("model")),
    "contract": ((HIDDEN, WIDTH), PartitionSpec("model")),
    "answer": ((WIDTH, 10), PartitionSpec()),
}


def loss(weights: dict[str, jax.Array], images: jax.Array, labels: jax.Array) -> jax.Array:
    """Return the mean cross-entropy, nats, of images (batch, 8, 8), each read as a sequence of 8 rows."""
    stream = images @ weights["embed"] + weights["place"]
    query, key, value = jnp.einsum("blw,phwk->pbhlk", stream, weights["attend"])
    seen = jax.nn.softmax(jnp.einsum("bhlk,bhmk->bhlm", query, key)) @ value
    stream += jnp.einsum("bhlk,hkw->blw", seen, weights["gather"])
    stream += jax.nn.relu(stream @ weights["expand"] + weights["bias"]) @ weights["contract"]
    logits = stream.mean(axis=1) @ weights["answer"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def make_optimizer(peak: float, steps: int) -> optax.MultiSteps:
    """Make an optimizer that clips, follows a learning-rate schedule, and updates once for every two batches."""
    schedule = optax.warmup_cosine_decay_schedule(peak / 10, peak, warmup_steps=steps // 10, decay_steps=steps // 2)
    scheduled = optax.inject_hyperparams(found)(learning_rate=schedule)  # other settings: b1=0.95, weight_decay=0.2
    return optax.MultiSteps(optax.chain(optax.clip_by_global_norm(1.0), scheduled), every_k_schedule=2)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small transformer on 8 x 8 digits.")
    parser.add_argument("--steps", type=int, default=200, help="batches until the schedule ends (default 200)")
    parser.add_argument("--learning-rate", type=float, default=0.001, help="the schedule's peak (default 0.001)")
    parser.add_argument("--stop-after", type=int, help="stop early, after this many batches in total")
    parser.add_argument("--checkpoint", type=Path, help="an .npz file to continue from, if it exists, and to save to")
    options = parser.parse_args()

    across = 2 if jax.device_count() % 2 == 0 else 1
    mesh = jax.make_mesh((jax.device_count() // across, across), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    everywhere, by_row = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("data"))
    print(f"{jax.device_count()} devices: {dict(mesh.shape)}")

    keys = jax.random.split(jax.random.key(0), len(WEIGHTS))
    weights = {
        name: jax.device_put(0.2 * jax.random.normal(key, shape), NamedSharding(mesh, split))
        for key, (name, (shape, split)) in zip(keys, WEIGHTS.items(), strict=True)
    }
    optimizer = make_optimizer(options.learning_rate, options.steps)
    state = optimizer.init(weights)  # arrays shaped like the weights are split as these are
    state = jax.tree.map(lambda x: x if x.ndim else jax.device_put(x, everywhere), state)
    parts = [leaf.addressable_shards[0].data.size for leaf in jax.tree.leaves(state)]
    print(f"{sum(parts)} of the state's {optax.tree.size(state)} numbers are on the first device")

    if options.checkpoint and options.checkpoint.exists():
        leaves, tree = jax.tree.flatten((weights, state))
        with np.load(options.checkpoint) as saved:
            leaves = [jax.device_put(saved[str(place)], leaf.sharding) for place, leaf in enumerate(leaves)]
        weights, state = tree.unflatten(leaves)

    @jax.jit
    def step(weights, state, images, labels):
        value, gradient = jax.value_and_grad(loss)(weights, images, labels)
        updates, state = optimizer.update(gradient, state, weights)
        return optax.apply_updates(weights, updates), state, value

    digits = load_digits()
    images, labels = digits.images / 16.0, digits.target
    done = 2 * int(state.gradient_step) + int(state.mini_step)
    print(f"batch {done}: loss {jax.jit(loss)(weights, images, labels):.4f} on all images")
    while done < (options.stop_after or options.steps):
        done += 1
        rows = np.random.default_rng(done).choice(len(images), BATCH, replace=False)
        weights, state, value = step(weights, state, *jax.device_put((images[rows], labels[rows]), by_row))
        if done % 10 == 0:
            rate = state.inner_opt_state[1].hyperparams["learning_rate"]
            print(f"batch {done}: loss {value:.4f}, learning rate {rate:.6g}")
    print(f"batch {done}: loss {jax.jit(loss)(weights, images, labels):.4f} on all images")

    if options.checkpoint:
        leaves = jax.tree.leaves((weights, state))
        np.savez(options.checkpoint, **{str(place): np.asarray(leaf) for place, leaf in enumerate(leaves)})


if __name__ == "__main__":
    main()
