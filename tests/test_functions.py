"""Every row of the function table: NumPy, JAX and the exported text mean the same, also at nasty points."""

import itertools
import string

import jax.numpy as jnp
import numpy as np
import pytest
from program_cases import assert_same_bits, import_module

import programs
from programs import FUNCTIONS, Kind

TINY = float(np.finfo(np.float32).tiny)  # the smallest normal number
ORDINARY = [0.0, 0.1, -0.1, 0.5, -0.5, 0.9, 1.0, -1.0, 1.5, -1.5, 2.0, -2.0, 3.0, 7.25, -7.25, 40.0, -40.0, 1e4, -1e4]
NASTY = [-0.0, 1e-8, -1e-8, 1e30, -1e30, 3e38, -3e38, TINY, -TINY, 1e-42, -1e-42, np.inf, -np.inf, np.nan]
POINTS = np.array([*ORDINARY, *NASTY], np.float32)
PLAIN = POINTS[(np.abs(POINTS) < 100) & ((np.abs(POINTS) >= 1e-8) | (POINTS == 0))]

RTOL = 2e-6  # some 16 units in the last place of float32: what XLA's own functions keep to

# Where a row is looser than that, or looks at fewer points, and why.
LOOSER = {  # name: relative tolerance, absolute, why
    "exp10": (1e-5, 0.0, "computed as a power: the rounding of x log2(10) is multiplied by the exponent's size"),
    "power": (1e-5, 0.0, "the same"),
    "log1p": (RTOL, 1.2e-7, "log|1 + x| by its definition: 1 + x is rounded to float32"),
}
CANCELS = {"interp": "a sum of two rounded products: the error is relative to the larger of these"}
LEFT_OUT = {  # name: tells from (g, w) which points, why
    "sin": (lambda g, w: is_huge(g, 1e5), "float32 reduces an argument modulo 2 pi with an error that grows with it"),
    "cos": (lambda g, w: is_huge(g, 1e5), "the same"),
    "tan": (lambda g, w: is_huge(g, 1e5), "the same"),
    "cbrt": (lambda g, w: is_subnormal(g), "XLA's own is wrong there, neither the root nor zero"),
    "power": (lambda g, w: is_subnormal(g), "the same"),
    "interp": (lambda g, w: is_huge(g, 1e38) | is_huge(w, 1e38), "its products overflow in float32 alone"),
    "divide": (lambda g, w: w == np.float32(-1e-8), "the divisor cancels: what is left of it is rounding"),
}


def is_huge(x, bound):
    return (np.abs(x) > bound) & ~np.isinf(x)


def is_subnormal(x):
    return (np.abs(x) < TINY) & (x != 0)


def inputs(row):
    """Give the weight arrays to call a row on: a list of (g, w, lr)."""
    if row.elementwise:
        x, y = np.array(list(itertools.product(POINTS, repeat=2)), np.float32).T if row.arity > 1 else (POINTS, POINTS)
        left_out = LEFT_OUT.get(row.name, (lambda g, w: np.zeros(g.shape, bool),))[0](x, y)
        x, y = x[~left_out], y[~left_out]
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


def flushed(leaves):
    """Take subnormal numbers as zeros, as XLA may on a CPU."""
    return [np.where(np.abs(leaf) < TINY, np.copysign(np.float32(0), leaf), leaf) for leaf in leaves]


def disagreements(row, g, w, got, wanted, wanted_flushed):
    """Find the elements that equal neither reference; a result may be flushed to zero, like the arguments."""
    rtol, atol, _ = LOOSER.get(row.name, (RTOL, 0.0, ""))
    atol = np.full(np.shape(got), atol + 2 * TINY)
    if row.name in CANCELS:
        atol += RTOL * np.nan_to_num(np.maximum(np.abs(g), np.abs(w)), posinf=0.0)
    close = [np.isclose(got, want, rtol=rtol, atol=atol, equal_nan=True) for want in (wanted, wanted_flushed)]
    return np.flatnonzero(~(close[0] | close[1]))


@pytest.mark.parametrize("row", FUNCTIONS.values(), ids=FUNCTIONS)
def test_numpy_jax_and_exported_text_agree(row, tmp_path):
    subject = one_statement(row)
    module = import_module(programs.export_optax(subject, name="one"), tmp_path)
    for g, w, lr in inputs(row):
        wanted, wanted_flushed = numpy_body(row, g, w, lr), numpy_body(row, flushed(g), flushed(w), lr)
        tree, weights = ([jnp.asarray(leaf, jnp.float32) for leaf in leaves] for leaves in (g, w))
        transform = programs.to_optax(subject, learning_rate=lr)
        updates, _ = transform.update(tree, transform.init(weights), weights)
        exported = module.one(learning_rate=lr)
        assert_same_bits(exported.update(tree, exported.init(weights), weights)[0], updates)
        for place, got in enumerate(updates):
            assert got.dtype == jnp.float32
            got = -np.asarray(got)
            wrong = disagreements(row, g[place], w[place], got, wanted[place], wanted_flushed[place])
            seen = [tuple(np.ravel(a)[i] for a in (g[place], w[place], got, wanted[place])) for i in wrong]
            assert not seen, f"{row.name}, lr {lr}: (g, w, got, wanted) = {seen[:5]}"


@pytest.mark.parametrize("row", FUNCTIONS.values(), ids=FUNCTIONS)
def test_text_names_every_parameter_and_nothing_else(row):
    named = [name for _, name, _, _ in string.Formatter().parse(row.text) if name is not None]
    assert set(named) == set(row.parameters)
    assert row.scalars <= set(row.parameters)
    assert len(set(row.parameters)) == row.arity


def test_the_table():
    assert all(name == row.name and name.isidentifier() for name, row in FUNCTIONS.items())
    paper = {name for name, row in FUNCTIONS.items() if row.paper}
    assert paper == {
        "get_pi",
        "get_e",
        "get_eps",
        "abs",
        "cos",
        "sin",
        "tan",
        "arcsin",
        "arccos",
        "arctan",
        "sinh",
        "cosh",
        "tanh",
        "arcsinh",
        "arccosh",
        "arctanh",
        "exp",
        "exp2",
        "exp10",
        "expm1",
        "square",
        "cube",
        "cbrt",
        "sign",
        "reciprocal",
        "log",
        "log10",
        "log2",
        "sqrt",
        "log1p",
        "norm",
        "global_norm",
        "dot",
        "cosine_sim",
        "clip",
        "interp",
        "add",
        "subtract",
        "multiply",
        "divide",
        "max",
        "min",
        "power",
    }
    commutative = {name for name, row in FUNCTIONS.items() if row.commutative}
    assert commutative == {"add", "multiply", "max", "min", "dot", "cosine_sim"}
    assert {name: row.infix for name, row in FUNCTIONS.items() if row.infix} == {
        "add": "+",
        "subtract": "-",
        "multiply": "*",
        "divide": "/",
    }


HALF_PI = np.pi / 2
BY_HAND = [  # function, arguments, result; worked out without the table
    ("get_pi", (), 3.141592653589793),
    ("get_e", (), 2.718281828459045),
    ("get_eps", (), 1e-8),
    ("divide", (1.0, 0.0), 1e8),
    ("divide", (0.0, 0.0), 0.0),
    ("divide", (-3.0, 1.0), -2.9999999700000003),
    ("reciprocal", (0.0,), np.inf),
    ("reciprocal", (-0.0,), -np.inf),
    ("reciprocal", (-4.0,), -0.25),
    ("sqrt", (-9.0,), 3.0),
    ("sqrt", (0.0,), 0.0),
    ("log", (-np.e,), 1.0),
    ("log", (0.0,), -np.inf),
    ("log10", (-1000.0,), 3.0),
    ("log2", (-8.0,), 3.0),
    ("log1p", (-1.0,), -np.inf),
    ("log1p", (-3.0,), np.log(2.0)),
    ("arcsin", (2.0,), np.nan),
    ("arcsin", (1.0,), HALF_PI),
    ("arccosh", (0.5,), np.nan),
    ("arctanh", (1.0,), np.inf),
    ("exp2", (10.0,), 1024.0),
    ("exp10", (-2.0,), 0.01),
    ("expm1", (0.0,), 0.0),
    ("square", (-3.0,), 9.0),
    ("cube", (-2.0,), -8.0),
    ("cbrt", (-27.0,), -3.0),
    ("sign", (-0.5,), -1.0),
    ("sign", (0.0,), 0.0),
    ("sign", (np.nan,), np.nan),
    ("power", (-2.0, 3.0), -8.0),
    ("power", (-2.0, 0.5), np.nan),
    ("power", (0.0, 0.0), 1.0),
    ("max", (np.nan, 1.0), np.nan),
    ("min", (-2.0, 3.0), -2.0),
    ("interp", (10.0, 20.0, 0.25), 12.5),
    ("interp", (10.0, 20.0, 1.5), 25.0),
    ("interp", (10.0, 20.0, -1.0), 0.0),
]


@pytest.mark.parametrize(("name", "arguments", "wanted"), BY_HAND)
def test_values_worked_out_by_hand(name, arguments, wanted):
    with np.errstate(all="ignore"):
        got = FUNCTIONS[name].body(np, *(np.float64(x) for x in arguments))
    np.testing.assert_allclose(got, wanted, rtol=1e-14)


X = (np.array([3.0, 0.0]), np.array([[4.0]]))
Y = (np.array([1.0, 2.0]), np.array([[-2.0]]))
ZERO = (np.zeros(2), np.zeros((1, 1)))


@pytest.mark.parametrize(
    ("name", "arguments", "wanted"),
    [
        ("global_norm", (X,), 5.0),
        ("global_norm", (ZERO,), 0.0),
        ("dot", (X, Y), -5.0),
        ("cosine_sim", (X, Y), -5.0 / (5.0 * 3.0)),
        ("cosine_sim", (X, X), 1.0),
        ("cosine_sim", (X, ZERO), np.nan),
        ("clip", (X, (2.5,)), (np.array([1.5, 0.0]), np.array([[2.0]]))),
        ("clip", (X, (7.0,)), X),
        ("clip", (X, (-5.0,)), (np.array([-3.0, 0.0]), np.array([[-4.0]]))),
        ("clip", (ZERO, (1.0,)), ZERO),
    ],
)
def test_functions_of_all_arrays_by_hand(name, arguments, wanted):
    with np.errstate(all="ignore"):
        got = FUNCTIONS[name].body(np, *(tuple(np.float64(x) for x in leaves) for leaves in arguments))
    got, wanted = (value if isinstance(value, tuple) else (value,) for value in (got, wanted))
    for x, y in zip(got, wanted, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-14)


def test_norm_is_of_each_array_and_the_size_of_a_number():
    norm = FUNCTIONS["norm"]
    assert norm.body(np, np.array([[3.0, -4.0]])) == 5.0
    assert norm.body(np, np.float64(-2.0)) == 2.0
    assert norm.kind((Kind.TENSOR,)) is Kind.PER_ARRAY
    assert norm.kind((Kind.PER_ARRAY,)) is Kind.PER_ARRAY
    assert norm.kind((Kind.SCALAR,)) is Kind.SCALAR
