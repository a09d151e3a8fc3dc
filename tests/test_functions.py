"""Every row of the function table: NumPy, JAX and the exported text agree, even at extreme points.

The reference is the row's body in NumPy and float64, at exactly the numbers that JAX gets, rounded to their dtype.
Errors are counted in units: the distance from 1 to the next larger number of the dtype, times the size of the result.
"""

import itertools
import string

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from program_cases import assert_same_bits, behave_alike, import_module, program, rng_seeds, run_numpy, seeds

import programs
from programs import FUNCTIONS, Kind

UNITS = {"float32": 8, "float64": 16, "bfloat16": 2}  # the largest error, unless LOOSER allows more
EXTENSIONS = {name for name, row in FUNCTIONS.items() if not row.paper}
_numbers = itertools.count()  # of the modules that were exported

# name: (what is added to the size of the result before units are counted, from arguments and result; why)
LOOSER = {
    "exp2": (lambda x, y, r: np.abs(x * r), "XLA gives exp(x log 2): the rounding of the exponent grows with it"),
    "sinh": (lambda x, y, r: np.abs(x * r), "the same, with exp(x - log 2)"),
    "cosh": (lambda x, y, r: np.abs(x * r), "the same"),
    "arctanh": (lambda x, y, r: 4 * np.abs(r), "XLA's own formula in float64 loses five bits near 0.4"),
    "log1p": (lambda x, y, r: 1.0, "log|1 + x| by its definition: 1 + x is rounded"),
    "interp": (lambda x, y, r: np.maximum(np.abs(x), np.abs(y)), "a sum of rounded products: it can cancel"),
    "orthogonalize": (lambda x, y, r: 4.0, "each of five steps multiplies the rounding of small parts by up to 3.4"),
}
# name: (which points, from the arguments and the dtype; why)
LEFT_OUT = {
    "exp2": (
        lambda x, y, dtype: np.abs(x - jnp.finfo(dtype).maxexp) < 1,
        "the rounding of the exponent decides whether it overflows",
    ),
    "cbrt": (lambda x, y, dtype: is_subnormal(x, dtype), "XLA's own is wrong there, neither the root nor zero"),
    "power": (lambda x, y, dtype: is_subnormal(x, dtype), "the same"),
    "interp": (lambda x, y, dtype: is_huge(x, dtype) | is_huge(y, dtype), "its products overflow, or not, by rounding"),
    "divide": (
        lambda x, y, dtype: y == np.asarray(-1e-8, dtype),
        "the divisor cancels: what is left of it is rounding",
    ),
}
ZERO_OF_EITHER_SIGN = {
    "sign": "NumPy turns -0 into 0, JAX does not",
    "max": "which of two zeros is the larger is open",
    "min": "which of two zeros is the smaller is open",
    "mod": "NumPy gives a zero the sign of y, JAX that of x",
}


def is_subnormal(x, dtype):
    return (np.abs(x) < float(jnp.finfo(dtype).tiny)) & (x != 0)


def is_huge(x, dtype):
    return (np.abs(x) > float(jnp.finfo(dtype).max) / 4) & ~np.isinf(x)


def points(dtype):
    """Return pairs of numbers at which rows are compared: all pairs of extreme numbers, and drawn ones."""
    info = jnp.finfo(dtype)
    top, tiny, least = float(info.max), float(info.tiny), float(info.smallest_subnormal)
    ordinary = [0.1, 0.5, 0.9, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 7.25, 40.0, 88.0, 1e4]
    nasty = [0.0, 1e-8, 1e-3, 1e30, top / 2, top, tiny, tiny / 8, least, np.inf]
    chosen = np.array([*ordinary, *nasty])
    crossed = np.array(list(itertools.product([*chosen, *-chosen, np.nan], repeat=2)))
    rng = np.random.default_rng(0)
    drawn = rng.choice([-1, 1], size=(500, 2)) * 10 ** rng.uniform(-9, 6, size=(500, 2))
    return np.concatenate([crossed, drawn]).T.astype(dtype)


def every_bfloat16():
    return np.arange(2**16, dtype=np.uint16).view(jnp.bfloat16)


def weight_arrays(dtype):
    """Return the leaves on which functions of whole arrays are compared: pairs of lists."""
    rng = np.random.default_rng(0)
    x, y = ([rng.normal(size=shape).astype(dtype) for shape in ((4, 6), ())] for _ in range(2))
    plain = np.array([0.0, -0.0, 0.1, -0.5, 1.0, 1e-8, -1e-3, 7.25, 40.0, -40.0, 0.9, -2.5] * 2, dtype).reshape(4, 6)
    zero, nan, infinite = ([np.asarray(number, dtype) * leaf for leaf in x] for number in (0.0, np.nan, np.inf))
    mixed = [plain, *x[1:]]
    return [(x, y), (y, x), (x, x), (zero, x), (x, zero), (nan, x), (infinite, y), (mixed, mixed), (mixed, y)]


def inputs(row, dtype):
    """Return the inputs to call a row on: a list of (g, w, lr), with g and w lists of arrays of the dtype."""
    if not row.elementwise:
        rates = (0.0, 0.5, 100.0, -1.0) if row.scalars else (0.0,)
        return [(g, w, lr) for g, w in weight_arrays(dtype) for lr in rates]
    x, y = [every_bfloat16()] * 2 if dtype == "bfloat16" and row.arity < 2 else points(dtype)
    return [([x], [y], lr) for lr in ((0.0, 0.9, 1.0, -0.5, 1.109) if row.arity > 2 else (0.0,))]


def roles(row):
    """Return the input for each parameter of a row: g, w and lr in this order, lr if it must be a scalar."""
    return ["lr" if name in row.scalars else role for name, role in zip(row.parameters, ("g", "w", "lr"), strict=False)]


def one_statement(row):
    statement = programs.Statement("update", row.name, tuple(roles(row)))
    return programs.Program(("w", "g", "lr"), (statement,), "update")


def exported(subject, folder):
    """Export a program under a new name, so that Python does not use an older module's compiled code."""
    return import_module(programs.export_optax(subject, name="one"), folder, f"module{next(_numbers)}").one


def reference(row, dtype, g, w, lr):
    """Call a row's body on float64 arrays and round to the dtype; return one float64 array per weight array."""
    values = {"g": g, "w": w, "lr": [lr] * len(g)}
    arguments = [tuple(np.asarray(leaf, np.float64) for leaf in values[role]) for role in roles(row)]
    if not row.leafwise:
        result = row.body(np, *arguments)
        results = result if isinstance(result, tuple) else [result] * len(g)
    else:
        results = [row.body(np, *leaves) for leaves in zip(*arguments, strict=True)] or [row.body(np)] * len(g)
    rounded = [np.asarray(x, np.float64).astype(dtype).astype(np.float64) for x in results]
    return [np.broadcast_to(x, np.shape(leaf)) for x, leaf in zip(rounded, g, strict=True)]


def flushed(leaves, dtype):
    """Replace subnormal numbers by zeros, as XLA may on a CPU."""
    return [np.where(is_subnormal(leaf, dtype), np.copysign(0.0, leaf), leaf) for leaf in leaves]


def agree(row, dtype, x, y, got, wanted):
    """Return, element by element, whether a result agrees with the reference: within its units, or flushed to zero."""
    info = jnp.finfo(dtype)
    size = np.abs(wanted) + (LOOSER[row.name][0](x, y, wanted) if row.name in LOOSER else 0.0)
    error = np.abs(got - wanted)
    close = np.isfinite(error) & (error <= UNITS[dtype] * float(info.eps) * size + 2 * float(info.tiny))
    mirrored = (got == 0) & (wanted == 0) & (np.signbit(got) != np.signbit(wanted))
    same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
    unclear = LEFT_OUT[row.name][0](x, y, dtype) if row.name in LEFT_OUT else False
    return unclear | ((same | close) & (~mirrored | (row.name in ZERO_OF_EITHER_SIGN)))


@pytest.mark.parametrize("dtype", UNITS)
@pytest.mark.parametrize("row", FUNCTIONS.values(), ids=FUNCTIONS)
@np.errstate(all="ignore")
def test_numpy_jax_and_exported_text_agree(row, dtype, tmp_path):
    subject = one_statement(row)
    factory = exported(subject, tmp_path)
    for g, w, lr in inputs(row, dtype):
        with jax.enable_x64(dtype == "float64"):
            gradients, weights = ([jnp.asarray(leaf) for leaf in leaves] for leaves in (g, w))
            given = {"learning_rate": lr} if "lr" in roles(row) else {}
            transform, other = programs.to_optax(subject, **given), factory(**given)
            updates, _ = transform.update(gradients, transform.init(weights), weights)
            assert_same_bits(other.update(gradients, other.init(weights), weights)[0], updates)
        x, y = ([leaf.astype(np.float64) for leaf in leaves] for leaves in (g, w))
        rate = np.asarray(lr, dtype).astype(np.float64)
        wanted = reference(row, dtype, x, y, rate)
        wanted_flushed = reference(row, dtype, flushed(x, dtype), flushed(y, dtype), rate)
        for place, update in enumerate(jax.tree.leaves(updates)):
            assert update.dtype == dtype
            got = -np.asarray(update).astype(np.float64)
            right = agree(row, dtype, x[place], y[place], got, wanted[place])
            right |= agree(row, dtype, x[place], y[place], got, wanted_flushed[place])
            wrong = np.stack([x[place], y[place], got, wanted[place]], axis=-1)[~right].tolist()
            assert not wrong, f"lr {lr}: {len(wrong)} of {right.size}, [g, w, got, wanted] = {wrong[:5]}"


PRELUDE = ("s = lr - 0.25", "p = mean(g)", "q = mean(w)", "r = p * q", "m = g - w")
OF_KIND = {
    "number": ("0.5", "-1.5", "2.0"),
    Kind.SCALAR: ("s", "t", "s"),
    Kind.PER_ARRAY: ("p", "q", "r"),
    Kind.TENSOR: ("g", "w", "m"),
}
# These and their means have few binary digits: bfloat16 rounds none of them.
GRADIENTS = (0.25, [[0.5, -0.75, 1.5, 0.0], [-1.25, 0.625, 2.0, -0.625]])
WEIGHTS = (-0.5, [[1.0, 0.5, -1.0, 0.25], [1.5, -0.25, -0.5, 2.5]])


def kinds_of_arguments(row):
    """Return the choices of kinds for the arguments of a row, or every fifth one if there are many."""
    kinds = [list(OF_KIND)[: 2 if name in row.scalars else None] for name in row.parameters]
    choices = list(itertools.product(*kinds))
    return choices if len(choices) <= 16 else choices[::5]


@pytest.mark.slow
@pytest.mark.parametrize("row", FUNCTIONS.values(), ids=FUNCTIONS)
def test_arguments_of_every_kind_and_arrays_of_two_dtypes(row, tmp_path):
    g, w = ([np.array(leaf) for leaf in leaves] for leaves in (GRADIENTS, WEIGHTS))
    dtypes = ("float32", "bfloat16")
    gradients, weights = ([jnp.asarray(x, dtype) for x, dtype in zip(leaves, dtypes, strict=True)] for leaves in (g, w))
    for kinds in kinds_of_arguments(row):
        arguments = ", ".join(OF_KIND[kind][place] for place, kind in enumerate(kinds))
        subject = program("w, g, t, lr", *PRELUDE, f"update = {row.name}({arguments})", returns="update")
        transform, other = programs.to_optax(subject), exported(subject, tmp_path)()
        updates, _ = transform.update(gradients, transform.init(weights), weights)
        assert_same_bits(other.update(gradients, other.init(weights), weights)[0], updates)
        for update, dtype, wanted in zip(jax.tree.leaves(updates), dtypes, run_numpy(subject, w, [g])[0], strict=True):
            assert (update.shape, update.dtype) == (wanted.shape, dtype)
            tolerance = 4 * UNITS[dtype] * float(jnp.finfo(dtype).eps)
            np.testing.assert_allclose(-update.astype(float), wanted, tolerance, tolerance, err_msg=arguments)


def assert_kept(transform, shapes, dtypes):
    arrays = [jax.ShapeDtypeStruct(shape, jnp.dtype(dtype)) for shape in shapes for dtype in dtypes]
    updates, _ = jax.eval_shape(lambda x: transform.update(x, transform.init(x), x), arrays)
    assert [(x.shape, x.dtype) for x in updates] == [(x.shape, x.dtype) for x in arrays]


@pytest.mark.parametrize("row", FUNCTIONS.values(), ids=FUNCTIONS)
def test_shape_and_dtype_are_kept(row, tmp_path):
    subject = one_statement(row)
    few = ((), (0,), (0, 3), (3, 0), (2, 0, 3))
    very_many = (2**16, 2**16 + 1)  # elements: an int32 cannot count them
    for transform in (programs.to_optax(subject), exported(subject, tmp_path)()):
        assert_kept(transform, [very_many], ["bfloat16", "float32"])
        with jax.enable_x64(True):
            assert_kept(transform, few, ["float16", "bfloat16", "float32", "float64"])


@pytest.mark.parametrize("name", [name for name, row in FUNCTIONS.items() if not row.elementwise])
def test_functions_of_arrays_that_have_no_elements(name, tmp_path):
    call = f"x = {name}({', '.join(roles(FUNCTIONS[name]))})"
    subject = program("w, g, lr", call, "update = dot(x, x)", returns="update")
    g = [np.zeros((0, 3)), np.zeros((3, 0)), np.array(-3.0)]
    gradients = [jnp.asarray(leaf, jnp.float32) for leaf in g]
    transform, other = programs.to_optax(subject), exported(subject, tmp_path)()
    updates, _ = transform.update(gradients, transform.init(gradients), gradients)
    assert_same_bits(other.update(gradients, other.init(gradients), gradients)[0], updates)
    np.testing.assert_allclose(-jax.tree.leaves(updates)[2], run_numpy(subject, g, [g])[0][2], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "of_huge", "of_tiny"),
    [
        ("norm", np.inf, 0.0),
        ("global_norm", np.inf, 0.0),
        ("dot", np.inf, 0.0),
        ("cosine_sim", np.nan, np.nan),
        ("clip", 0.0, 1e-30),
        ("mean", np.inf, 1e-30),
        ("std", np.inf, 0.0),
        ("orthogonalize", 0.0, 1e-22 * 3.4445**5),
    ],
)
def test_squares_and_sums_overflow_and_vanish_in_the_dtype_of_the_weights(name, of_huge, of_tiny):
    transform = programs.to_optax(one_statement(FUNCTIONS[name]))
    for size, wanted in ((3e38, of_huge), (1e-30, of_tiny)):
        x = [jnp.full((2, 2), size, jnp.float32)]
        (update,) = jax.tree.leaves(transform.update(x, transform.init(x), x)[0])
        np.testing.assert_allclose(-update, wanted, rtol=1e-5)


LIMITS = programs.Limits(functions=tuple(sorted(FUNCTIONS)))
LEAVES = [[np.random.default_rng([step, leaf]).normal(size=((), (4, 6))[leaf]) for leaf in (0, 1)] for step in range(4)]


def extended(start, extension, rng_seed, names):
    """Insert a few calls of an extension, then edit with every function of the table."""
    rng, changed = np.random.default_rng(rng_seed), start
    for _ in range(3):
        changed = programs.EDITS["insert"].apply(changed, rng, programs.Limits(functions=(extension,)))
    for name in names:
        if programs.EDITS[name].applies(changed, LIMITS):
            changed = programs.EDITS[name].apply(changed, rng, LIMITS)
    return changed


def runs_finitely(subject, name):
    """Return whether a live statement calls a function and the first update is finite."""
    live = programs.check(subject).live
    called = {s.function for s, kept in zip(subject.statements, live, strict=True) if kept}
    return name in called and all(np.isfinite(x).all() for x in run_numpy(subject, LEAVES[0], LEAVES[1:2])[0])


@pytest.mark.slow
@pytest.mark.parametrize("extension", sorted(EXTENSIONS))
@given(seeds, rng_seeds, st.lists(st.sampled_from(["insert", "insert", *programs.EDITS]), max_size=16))
@settings(max_examples=3, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
def test_mutants_with_extensions(tmp_path_factory, extension, start, rng_seed, names):
    subject = extended(start, extension, rng_seed, names)
    assume(runs_finitely(subject, extension))
    w, *gradients = LEAVES
    courses = []
    with jax.enable_x64(True):
        for transform in (programs.to_optax(subject), exported(subject, tmp_path_factory.mktemp("mutant"))()):
            weights, course = [jnp.asarray(leaf) for leaf in w], []
            state = transform.init(weights)
            for gradient in gradients:
                updates, state = transform.update([jnp.asarray(leaf) for leaf in gradient], state, weights)
                course.append([-leaf for leaf in jax.tree.leaves(updates)])
            courses.append(course)
    assert_same_bits(*courses)
    assert behave_alike(courses[0], run_numpy(subject, w, gradients))


@pytest.mark.parametrize("row", FUNCTIONS.values(), ids=FUNCTIONS)
def test_text_names_every_parameter_and_nothing_else(row):
    named = {name for _, name, _, _ in string.Formatter().parse(row.text) if name is not None}
    assert named - {"dtype"} == set(row.parameters)
    assert row.leafwise or "dtype" not in named
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
    assert commutative == {"add", "multiply", "max", "min", "equal", "dot", "cosine_sim"}
    assert {name: row.infix for name, row in FUNCTIONS.items() if row.infix} == {
        "add": "+",
        "subtract": "-",
        "multiply": "*",
        "divide": "/",
    }
    assert {name for name, row in FUNCTIONS.items() if row.matrix} == {"orthogonalize"}
    assert {name for name, row in FUNCTIONS.items() if not row.elementwise} == {
        "norm",
        "global_norm",
        "dot",
        "cosine_sim",
        "clip",
        "mean",
        "std",
        "orthogonalize",
    }


def test_sources():
    (paper,) = {row.source for row in FUNCTIONS.values() if row.paper}
    assert "arxiv.org/abs/2302.06675" in paper
    for name in EXTENSIONS:
        assert FUNCTIONS[name].source.strip()
        assert "2302.06675" not in FUNCTIONS[name].source
    assert "Muon" in FUNCTIONS["orthogonalize"].source


@pytest.mark.parametrize(
    ("name", "multiply_adds", "transcendentals"),
    [
        ("get_pi", 0, 0),
        ("copy", 0, 0),
        ("add", 1, 0),
        ("divide", 2, 0),  # add 1e-8, divide
        ("sqrt", 2, 0),  # |x|, root
        ("cube", 2, 0),
        ("interp", 2, 0),  # multiply, multiply and add; 1 - a is one number
        ("exp", 0, 1),
        ("log", 1, 1),  # |x|
        ("log1p", 2, 1),  # 1 + x, its size
        ("power", 0, 1),
        ("norm", 1, 0),  # multiply and add; the root is one number
        ("dot", 1, 0),
        ("cosine_sim", 3, 0),  # three sums of products
        ("clip", 2, 0),  # a sum of squares, the scaling
        ("where", 2, 0),  # compare, select
        ("softplus", 3, 2),  # max(x, 0) + log(1 + exp(-|x|))
        ("mean", 1, 0),
        ("std", 3, 0),  # a sum, subtract, a sum of squares
        ("orthogonalize", 5 * 3 * 64, 0),  # five steps of three products, each with 64 rows
    ],
)
def test_costs_worked_out_by_hand(name, multiply_adds, transcendentals):
    row = FUNCTIONS[name]
    assert (row.multiply_adds, row.transcendentals) == (multiply_adds, transcendentals)
