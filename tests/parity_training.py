"""How a parity case is compared: both sides train on one noisy quadratic, and their weights are compared."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import parity_contrib
import parity_numpy
import parity_optax
from parity_cases import NumpyCase, ParityCase
from program_cases import QUICK, tree

import programs

CASES: tuple[ParityCase | NumpyCase, ...] = (*parity_optax.CASES, *parity_contrib.CASES, *parity_numpy.CASES)
STEPS = 300


@dataclass(frozen=True)
class Agreement:
    """How close two trajectories of weights are, and how far they went; relative to the largest weight of an array.

    Attributes:
        error: The largest difference of any array at any step; NaN if a weight is not finite.
        movement: The largest change since the start, of the array that moved least.
    """

    error: float
    movement: float


def start():
    """Return the weights that a training starts from: mixed shapes, one of them all zero as biases are at first."""
    weights = tree(1)
    weights["layers"]["scale"] = jnp.zeros_like(weights["layers"]["scale"])
    return weights


def noise():
    """Draw one gradient per step, stacked: noise, to which the loop adds the pull towards zero."""
    rng = np.random.default_rng(2)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=(STEPS, *leaf.shape)), leaf.dtype), start())


def train(transform, weights, errors):
    """Train on a noisy quadratic; return the weights after every step, stacked."""

    def step(carry, error):
        weights, state = carry
        updates, state = transform.update(jax.tree.map(jnp.add, weights, error), state, weights)
        weights = jax.tree.map(jnp.add, weights, updates)
        return (weights, state), weights

    return jax.lax.scan(step, (weights, transform.init(weights)), errors)[1]


def train_numpy(reference):
    """Train with a NumPy reference in float64; return the weights after every step, stacked."""
    leaves, structure = jax.tree.flatten(start())
    weights, state, course = [np.asarray(leaf, np.float64) for leaf in leaves], None, []
    errors = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(noise())]
    for t in range(1, STEPS + 1):
        gradient = [w + error[t - 1] for w, error in zip(weights, errors, strict=True)]
        update, state = reference(weights, gradient, state, t)
        weights = [w - u for w, u in zip(weights, update, strict=True)]
        course.append(weights)
    return structure.unflatten([np.stack(leaf) for leaf in zip(*course, strict=True)])


def agreement(got, wanted):
    """Compare two trajectories of weights that began at ``start()``."""
    errors, movements = [], []
    for x, y, first in zip(*map(jax.tree.leaves, (got, wanted, start())), strict=True):
        assert x.shape == y.shape == (STEPS, *first.shape)
        x, y, first = (np.asarray(leaf, np.float64) for leaf in (x, y, first))
        scale = max(np.abs(y).max(), np.abs(first).max())
        errors.append(np.abs(x - y).max() / scale)
        movements.append(np.abs(y - first).max() / scale)
    return Agreement(float(np.max(errors)), float(np.min(movements)))


def compare(transform, other):
    """Train with a program's transformation, and with Optax's under JAX's standard dtype promotion."""

    def both(weights, errors):
        ours = train(transform, weights, errors)
        with jax.numpy_dtype_promotion("standard"):
            return ours, train(other, weights, errors)

    return agreement(*jax.jit(both, compiler_options=QUICK)(start(), noise()))


def measure(program, case):
    """Train with a program and with the reference of its case, and compare them."""
    transform = programs.to_optax(program)
    if isinstance(case, NumpyCase):
        ours = jax.jit(lambda *given: train(transform, *given), compiler_options=QUICK)(start(), noise())
        return agreement(ours, train_numpy(case.reference))
    with jax.numpy_dtype_promotion("standard"):
        other = case.make()
    return compare(transform, other)
