"""Values of functions of the language, worked out without the table that holds them."""

import numpy as np
import pytest

from programs import FUNCTIONS, Kind

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
    ("negative", (-2.5,), 2.5),
    ("copy", (-2.5,), -2.5),
    ("mod", (7.0, 3.0), 1.0),
    ("mod", (-7.0, 3.0), 2.0),
    ("mod", (7.0, -3.0), -2.0),
    ("mod", (-7.0, -3.0), -1.0),
    ("mod", (5.5, 2.0), 1.5),
    ("mod", (5.0, 0.0), np.nan),
    ("mod", (np.inf, 2.0), np.nan),
    ("mod", (5.0, np.inf), 5.0),
    ("mod", (-5.0, np.inf), np.inf),
    ("less", (1.0, 2.0), 1.0),
    ("less", (2.0, 1.0), 0.0),
    ("less", (1.0, 1.0), 0.0),
    ("less", (-np.inf, np.inf), 1.0),
    ("less", (np.nan, 1.0), 0.0),
    ("less", (1.0, np.nan), 0.0),
    ("equal", (2.0, 2.0), 1.0),
    ("equal", (2.0, -2.0), 0.0),
    ("equal", (0.0, -0.0), 1.0),
    ("equal", (np.inf, np.inf), 1.0),
    ("equal", (np.nan, np.nan), 0.0),
    ("where", (1.0, 3.0, 4.0), 3.0),
    ("where", (-0.5, 3.0, 4.0), 3.0),
    ("where", (0.0, 3.0, 4.0), 4.0),
    ("where", (-0.0, 3.0, 4.0), 4.0),
    ("where", (np.nan, 3.0, 4.0), 3.0),
    ("where", (1.0, 3.0, np.nan), 3.0),
    ("where", (0.0, np.inf, 4.0), 4.0),
    ("floor", (2.7,), 2.0),
    ("floor", (-0.5,), -1.0),
    ("floor", (-2.0,), -2.0),
    ("round", (0.5,), 0.0),
    ("round", (1.5,), 2.0),
    ("round", (2.5,), 2.0),
    ("round", (-2.5,), -2.0),
    ("round", (-2.6,), -3.0),
    ("heaviside", (0.0,), 0.0),
    ("heaviside", (-0.0,), 0.0),
    ("heaviside", (1e-300,), 1.0),
    ("heaviside", (-3.0,), 0.0),
    ("heaviside", (np.nan,), np.nan),
    ("sigmoid", (0.0,), 0.5),
    ("sigmoid", (np.log(3.0),), 0.75),
    ("sigmoid", (-np.log(3.0),), 0.25),
    ("sigmoid", (-40.0,), 4.248354255291589e-18),
    ("sigmoid", (800.0,), 1.0),
    ("sigmoid", (-800.0,), 0.0),
    ("softplus", (0.0,), 0.6931471805599453),
    ("softplus", (np.log(3.0),), np.log(4.0)),
    ("softplus", (-40.0,), 4.248354255291589e-18),
    ("softplus", (1000.0,), 1000.0),
    ("softplus", (-1000.0,), 0.0),
    ("softplus", (np.inf,), np.inf),
    ("softplus", (-np.inf,), 0.0),
    ("erf", (0.0,), 0.0),
    ("erf", (0.5,), 0.520499877813047),
    ("erf", (-1.0,), -0.842700792949715),
    ("erf", (np.inf,), 1.0),
    ("mean", (-2.0,), -2.0),
    ("std", (-2.0,), 0.0),
    ("orthogonalize", (-2.0,), -2.0),
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


@pytest.mark.parametrize(
    ("name", "x", "wanted"),
    [
        ("norm", [[3.0, -4.0]], 5.0),
        ("norm", -2.0, 2.0),
        ("norm", [], 0.0),
        ("mean", [[1.0, 2.0], [3.0, 6.0]], 3.0),
        ("mean", [1.0, -np.inf], -np.inf),
        ("mean", [1.0, np.nan], np.nan),
        ("mean", [], np.nan),
        ("std", [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0], 2.0),  # of the whole population: the squares are divided by 8
        ("std", [[0.1, 0.1, 0.1]], 0.0),
        ("std", [1.0, np.inf], np.nan),
        ("std", [], np.nan),
    ],
)
@np.errstate(all="ignore")
def test_functions_of_each_array_by_hand(name, x, wanted):
    row = FUNCTIONS[name]
    np.testing.assert_allclose(row.body(np, np.array(x)), wanted, rtol=1e-14, atol=1e-16)
    assert row.kind((Kind.TENSOR,)) is Kind.PER_ARRAY
    assert row.kind((Kind.PER_ARRAY,)) is Kind.PER_ARRAY
    assert row.kind((Kind.SCALAR,)) is Kind.SCALAR


def orthogonalize(x):
    return FUNCTIONS["orthogonalize"].body(np, x)


def drawn(*shape):
    return np.random.default_rng(3).normal(size=shape)


def test_orthogonalize_brings_singular_values_near_1_and_keeps_directions():
    left, values, right = np.linalg.svd(drawn(4, 7), full_matrices=False)
    found = left.T @ orthogonalize(left @ np.diag(values) @ right) @ right.T
    np.testing.assert_allclose(found, np.diag(np.diag(found)), atol=1e-12)
    assert (np.diag(found) > 0.68).all()
    assert (np.diag(found) < 1.14).all()


def test_orthogonalize_of_a_diagonal_matrix_is_a_polynomial_of_each_number():
    diagonal = np.array([3.0, -1.0, 0.5, 0.1, 0.0])
    wanted = diagonal / np.sqrt(10.26)
    for _ in range(5):
        wanted = wanted * (3.4445 + wanted**2 * (-4.775 + wanted**2 * 2.0315))
    found = orthogonalize(np.diag(diagonal))
    np.testing.assert_allclose(found, np.diag(wanted), rtol=1e-6, atol=1e-15)
    assert ((np.abs(wanted[:4]) > 0.68) & (np.abs(wanted[:4]) < 1.14)).all()
    np.testing.assert_array_equal(np.sign(np.diag(found)), np.sign(diagonal))


def test_orthogonalize_does_not_look_at_scale_or_orientation():
    x = drawn(4, 7)
    np.testing.assert_allclose(orthogonalize(-1000 * x), -orthogonalize(x), rtol=1e-6)
    np.testing.assert_allclose(orthogonalize(x.T), orthogonalize(x).T, rtol=1e-12)


def test_orthogonalize_takes_the_first_axis_by_the_others():
    x = drawn(3, 2, 2, 2)
    np.testing.assert_array_equal(orthogonalize(x), orthogonalize(x.reshape(3, 8)).reshape(x.shape))
    thin = drawn(7, 2, 2)
    np.testing.assert_array_equal(orthogonalize(thin), orthogonalize(thin.reshape(7, 4)).reshape(thin.shape))


@pytest.mark.parametrize("x", [drawn(5), drawn(), drawn(0), drawn(0, 3), drawn(3, 0), np.zeros((2, 3))], ids=np.shape)
def test_orthogonalize_leaves_vectors_and_zeros_as_they_are(x):
    np.testing.assert_array_equal(orthogonalize(x), x)
