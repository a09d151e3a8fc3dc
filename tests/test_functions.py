"""Every row of the function table: NumPy, JAX and the exported text mean the same, also at nasty points."""

import itertools
import string

import jax.numpy as jnp
import numpy as np
import pytest

import programs
from program_cases import assert_same_bits, import_module
from programs import FUNCTIONS, Kind

TINY = float(np.finfo(np.float32).tiny)  # the smallest normal number
POINTS = np.array(
    [0.0, -0.0, 1e-8, -1e-8, 0.1, -0.1, 0.5, -0.5, 0.9, 1.0, -1.0, 1.5, -1.5, 2.0, -2.0, 3.0, 7.25, -7.25]
    + [40.0, -40.0, 1e4, -1e4, 1e30, -1e30, 3e38, -3e38, TINY, -TINY, 1e-42, -1e-42, np.inf, -np.inf, np.nan],
    np.float32,
)
PLAIN = POINTS[(np.abs(POINTS) < 100) & ((np.abs(POINTS) >= 1e-8) | (POINTS == 0))]

RTOL = 2e-6  # some 16 units in the last place of float32: what XLA's own functions keep to

# Where a row is looser than that, or looks at fewer points, and why.
LOOSER = {
    "exp10": (1e-5, "computed as a power: the rounding of x log2(10) is multiplied by the exponent's size"),
    "power": (1e-5, "the same"),
}
FEWER = {
    "sin": (1e5, "float32 reduces an argument modulo 2 pi with an error that grows with it"),
    "cos": (1e5, "the same"),
    "tan": (1e5, "the same"),
}


def inputs(row):
    """Give the weight arrays to call a row on: a list of (g, w, lr)."""
    bound = FEWER.get(row.name, (np.inf,))[0]
    points = POINTS[~(np.abs(POINTS) > bound) | np.isinf(POINTS)]
    if row.elementwise:
        pairs = np.array(list(itertools.product(points, repeat=2)), np.float32)
        x, y = (points, points) if row.arity < 2 else pairs.T
        return [((x,), (y,), a) for a in ((0.0, 0.9, 1.0, -0.5, 1.109) if row.arity == 3 else (0.0,))]
    rng = np.random.default_rng(0)
    x, y = ([rng.normal(size=shape).astype(np.float32) for shape in ((3, 4), (5,), ())] for _ in range(2))
    zero, nan = [0 * leaf for leaf in x], [np.float32(np.nan) * leaf for leaf in x]
    plain = [PLAIN, PLAIN[:0], np.float32(2.0)]
    return [
        (given, other, a)
        for given, other in ((x, y), (y, x), (x, x), (zero, x), (x, zero), (nan, x), (plain, plain))
        for a in ((0.0, 0.5, 100.0, -1.0) if row.scalars else (0.0,))
    ]


def one_statement(row):
    """Make the program that is one call of a row: x is g, y is w, a scalar is lr."""
    names = ["lr" if name in row.scalars else {"x": "g", "y": "w"}[name] for name in row.parameters]
    return programs.Program(("w", "g", "lr"), (programs.Statement("update", row.name, tuple(names)),), "update")


def numpy_body(row, g, w, lr):
    """Call a row's body on float64 arrays, in the same roles, and give one array for each weight array."""
    values = {"x": g, "y": w, "a": [lr] * len(g), "c": [lr]}
    arguments = [tuple(np.asarray(leaf, np.float64) for leaf in values[name]) for name in row.parameters]
    with np.errstate(all="ignore"):
        if not row.leafwise:
            result = row.body(np, *arguments)
            results = result if isinstance(result, tuple) else [result] * len(g)
        elif row.arity:
            results = [row.body(np, *leaves) for leaves in zip(*arguments, strict=True)]
        else:
            results = [row.body(np)] * len(g)
        return [np.broadcast_to(np.float32(x), np.shape(leaf)) for x, leaf in zip(results, g, strict=True)]


def agree(row, got, wanted):
    """Compare float32 arrays.

    Results below the smallest normal number may be flushed to zero, as XLA does on a CPU; and a result at the very end
    of float32's range may be infinite.
    """
    rtol = LOOSER.get(row.name, (RTOL,))[0]
    np.testing.assert_allclose(got, wanted, rtol=rtol, atol=2 * TINY)


@pytest.mark.parametrize("row", FUNCTIONS.values(), ids=FUNCTIONS)
def test_numpy_jax_and_exported_text_agree(row, tmp_path):
    subject = one_statement(row)
    module = import_module(programs.export_optax(subject, name="one"), tmp_path)
    for g, w, lr in inputs(row):
        wanted = numpy_body(row, g, w, lr)
        tree, weights = ([jnp.asarray(leaf, jnp.float32) for leaf in leaves] for leaves in (g, w))
        transform = programs.to_optax(subject, learning_rate=lr)
        updates, _ = transform.update(tree, transform.init(weights), weights)
        exported = module.one(learning_rate=lr)
        assert_same_bits(exported.update(tree, exported.init(weights), weights)[0], updates)
        for got, want in zip(updates, wanted, strict=True):
            assert got.dtype == jnp.float32
            agree(row, -np.asarray(got), want)
