"""What the tests of programs/ share: program texts, random mutants, and ways to run a program."""

import importlib.util
import itertools
import sys
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

import programs
from programs.execution import execute

SEEDS = programs.seed_programs()


def first_and_slow(cases: Sequence[Any], count: int) -> list[Any]:
    """Return cases to parametrize with: `count`, spread evenly, as they are, and the others marked slow."""
    chosen = {place * len(cases) // count for place in range(count)}
    return [case if place in chosen else pytest.param(case, marks=pytest.mark.slow) for place, case in enumerate(cases)]


# Options for compiling: without optimization, and with its older emitters, XLA takes a quarter of the time.
QUICK = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}

# The raw winner of the paper's search, as in DESIGN section 8.
RAW_WINNER = """\
def train(w, g, m, v, lr):
    g = clip(g, lr)
    m = clip(m, lr)
    v845 = sqrt(0.6270633339881897)
    v968 = sign(v)
    v968 = v - v
    g = arcsin(g)
    m = interp(g, v, 0.8999999761581421)
    v1 = m * m
    v = interp(g, m, 1.109133005142212)
    v845 = tanh(v845)
    lr = lr * 0.0002171761734643951
    update = m * lr
    v1 = sqrt(v1)
    update = update / v1
    wd = lr * 0.4601978361606598
    v1 = square(v1)
    wd = wd * w
    m = cosh(update)
    lr = tan(1.4572199583053589)
    update = update + wd
    lr = cos(v845)
    return update, m, v
"""


def program(parameters, *body, returns):
    """Parse a program with these parameters, lines and returned names."""
    lines = "".join(f"    {line}\n" for line in body)
    return programs.parse(f"def train({parameters}):\n{lines}    return {returns}\n")


def edited(start, rng_seed, names):
    """Apply the edits with these names, one after another, leaving out those that do not apply."""
    rng, limits = np.random.default_rng(rng_seed), programs.Limits()
    changed = start
    for name in names:
        edit = programs.EDITS[name]
        if edit.applies(changed, limits):
            changed = edit.apply(changed, rng, limits)
    return changed


edit_names = st.lists(st.sampled_from(sorted(programs.EDITS)), max_size=8)
rng_seeds = st.integers(0, 2**32 - 1)
seeds = st.sampled_from(SEEDS).map(programs.load)
mutants = st.builds(edited, seeds, rng_seeds, edit_names)


def random_mutants(count, edits=6, starts=SEEDS):
    """Return mutants of seed programs, the same ones at every call."""
    names = sorted(programs.EDITS)
    found = []
    for rng_seed, seed in zip(range(count), itertools.cycle(starts), strict=False):
        drawn = np.random.default_rng([rng_seed, 1]).integers(len(names), size=edits)
        found.append(edited(programs.load(seed), rng_seed, [names[place] for place in drawn]))
    return found


def run_numpy(subject, weights, gradients, lr=1.0, dtype=np.float64):
    """Run a program in NumPy, one step for each tuple of gradients; the weights do not change.

    Returns:
        The updates, a list of tuples of arrays.
    """
    facts = programs.check(subject)
    shapes = {
        programs.Kind.SCALAR: [()],
        programs.Kind.PER_ARRAY: [()] * len(weights),
        programs.Kind.TENSOR: [w.shape for w in weights],
    }
    state = {
        name: (facts.state_kinds[name], tuple(np.zeros(shape, dtype) for shape in shapes[facts.state_kinds[name]]))
        for name in facts.live_state
    }
    updates = []
    with np.errstate(all="ignore"):
        for step, gradient in enumerate(gradients, start=1):
            inputs = state | {
                "w": (programs.Kind.TENSOR, tuple(weights)),
                "g": (programs.Kind.TENSOR, tuple(gradient)),
                "lr": (programs.Kind.SCALAR, (dtype(lr),)),
                "t": (programs.Kind.SCALAR, (dtype(step),)),
            }
            update, state = execute(subject, facts, np, weights, inputs, dtype)
            updates.append(update)
    return updates


def run_transform(transform, params, gradients):
    """Return the updates of an Optax transformation in eager mode; the weights move with them."""
    state, updates = transform.init(params), []
    for gradient in gradients:
        update, state = transform.update(gradient, state, params)
        params = jax.tree.map(jnp.add, params, update)
        updates.append(update)
    return updates


def tree(rng_seed, dtype=jnp.float32):
    """Draw weights, or gradients, of mixed shapes: a scalar, a vector, a matrix and an array of four dimensions."""
    rng = np.random.default_rng(rng_seed)
    shapes = {"bias": (), "layers": {"kernel": (3, 4), "scale": (5,)}, "filters": (2, 3, 2, 2)}
    return jax.tree.map(
        lambda shape: jnp.asarray(rng.normal(size=shape), dtype), shapes, is_leaf=lambda x: isinstance(x, tuple)
    )


def import_module(text, folder, name="exported") -> Any:
    """Write a module's text to a file and import it from there."""
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # in which a NamedTuple looks up its module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[name]
    return module


def assert_close(got, wanted, rtol, atol=0.0):
    """Compare pytrees of arrays, leaf by leaf; NaN equals NaN."""
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert np.shape(x) == np.shape(y)
        np.testing.assert_allclose(np.asarray(x, np.float64), np.asarray(y, np.float64), rtol=rtol, atol=atol)


def assert_same_bits(got, wanted):
    """Compare pytrees of arrays, leaf by leaf, bit for bit; every NaN equals every NaN."""
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        x, y = np.asarray(x), np.asarray(y)
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        np.testing.assert_array_equal(np.where(np.isnan(x), 0, x), np.where(np.isnan(y), 0, y))
        np.testing.assert_array_equal(np.isnan(x), np.isnan(y))
        np.testing.assert_array_equal(np.signbit(x[~np.isnan(x)]), np.signbit(y[~np.isnan(y)]))


def behave_alike(first, second, rtol=1e-6):
    """Return whether two lists of updates agree for as long as both are finite."""
    for one, other in zip(first, second, strict=True):
        if not all(np.isfinite(x).all() and np.isfinite(y).all() for x, y in zip(one, other, strict=True)):
            return True
        if not all(np.allclose(x, y, rtol=rtol, atol=1e-12) for x, y in zip(one, other, strict=True)):
            return False
    return True
