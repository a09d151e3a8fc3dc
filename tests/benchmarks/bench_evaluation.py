"""Seconds a candidate on each task of the suite ``first``: compiling the update alone against the whole loop."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

import programs
import tasks

CANDIDATES = 4
RNG_SEEDS = (0, 1, 2)


def whole_loop(task: tasks.Task, optimizer: optax.GradientTransformation) -> None:
    """Train as one compiled loop, the common way: it compiles anew for every candidate."""

    @jax.jit
    def train(rng_seed: jax.Array) -> jax.Array:
        start, order = jax.random.split(jax.random.key(rng_seed))
        weights = task.init(start)
        batches = jax.random.randint(order, (task.steps, task.batch_size), 0, task.training_examples)

        def step(carry: tuple, batch: jax.Array) -> tuple:
            weights, state = carry
            gradient = jax.grad(task.loss)(weights, batch)
            updates, state = optimizer.update(gradient, state, weights)
            return (optax.apply_updates(weights, updates), state), None

        (weights, _), _ = jax.lax.scan(step, (weights, optimizer.init(weights)), batches)
        return task.held_out(weights)[0]

    for rng_seed in RNG_SEEDS:
        train(jnp.uint32(rng_seed)).block_until_ready()


def main() -> None:
    """Time different programs, each new to the process, and print a table."""
    rng = np.random.default_rng(0)
    limits = programs.Limits()
    parent = programs.load("adamw")
    ways = {
        "update alone": lambda task, optimizer: tasks.evaluate((task,), optax.flatten(optimizer), RNG_SEEDS),
        "whole loop": whole_loop,
    }
    print(f"{'task':<12}{'compiled':<14}seconds a candidate, {len(RNG_SEEDS)} rng seeds (median)")
    for task in tasks.load_suite("first"):
        medians = []
        for way, evaluate in ways.items():
            evaluate(task, programs.to_optax(parent))  # what compiles once for the task
            times = []
            for _ in range(CANDIDATES):
                child = programs.EDITS["constants"].apply(parent, rng, limits)
                start = time.perf_counter()
                evaluate(task, programs.to_optax(child))
                times.append(time.perf_counter() - start)
            medians.append(float(np.median(times)))
            print(f"{task.name:<12}{way:<14}{medians[-1]:.2f}")
        print(f"{task.name:<12}{'ratio':<14}{medians[1] / medians[0]:.1f}")


if __name__ == "__main__":
    main()
