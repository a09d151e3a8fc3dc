"""The functions of the language: one table, with one row per function.

A row defines a function: its parameters, the kind of its result, one body for both NumPy and JAX, the text that a
module for Optax uses, and its cost. Everything else about functions is in other tables, which are checked against this
one when they are loaded: their signs (SIGNS in programs/algebra/signs.py), their definitions in modules for Optax
(programs/exports/definitions.py), their texts for PyTorch and Keras (programs/exports/torch_dialect.py and
keras_dialect.py) and for LaTeX (programs/exports/latex.py). A missing entry is an error that names the function and
the table. Rows whose source is not the paper (Chen et al., 2023, https://arxiv.org/abs/2302.06675) are extensions.
"""

import importlib
import math
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from programs.kinds import PER_ARRAY, SCALAR, Function

EPS = 1e-8  # what division adds to its divisor
_PRACTICE = "an extension, for optimizers used in practice"
_MUON = 'Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024, https://kellerjordan.github.io/posts/muon/'
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_NEWTON_SCHULZ_STEPS = 5
_SHORT_SIDE = 64  # of the matrix to which the cost of orthogonalize refers


def _dot(xp: Any, x: tuple, y: tuple) -> Any:
    return sum((xp.sum(a * b) for a, b in zip(x, y, strict=True)), start=0.0)


def _global_norm(xp: Any, x: tuple) -> Any:
    return xp.sqrt(_dot(xp, x, x))


def _clip(xp: Any, x: tuple, c: tuple) -> tuple:
    scale = xp.minimum(1.0, c[0] / _global_norm(xp, x))
    return tuple(leaf * scale for leaf in x)


def _erf(xp: Any, x: Any) -> Any:
    return importlib.import_module("scipy.special" if xp.__name__ == "numpy" else "jax.lax").erf(x)


def _mean(xp: Any, x: Any) -> Any:
    return xp.sum(x) / (1.0 * x.size)  # JAX refuses an int from 2 ** 31 on


def _std(xp: Any, x: Any) -> Any:
    return xp.sqrt(_mean(xp, xp.square(x - _mean(xp, x))))


def _orthogonalize(xp: Any, x: Any) -> Any:
    if x.ndim < 2 or not x.size:
        return x
    rows = x.reshape(x.shape[0], -1)
    wide = rows if rows.shape[0] <= rows.shape[1] else rows.T
    wide = wide / (xp.sqrt(xp.sum(xp.square(wide))) + EPS)
    a, b, c = _NEWTON_SCHULZ
    for _ in range(_NEWTON_SCHULZ_STEPS):
        gram = xp.matmul(wide, wide.T)
        wide = a * wide + xp.matmul(b * gram + c * xp.matmul(gram, gram), wide)
    return (wide if rows.shape[0] <= rows.shape[1] else wide.T).reshape(x.shape)


def _constant(name: str, value: float, summary: str) -> Function:
    return Function(name, (), lambda xp: value, repr(value), summary, multiply_adds=0)


def _unary(name: str, body: Callable[..., Any], text: str, summary: str, **flags: Any) -> Function:
    return Function(name, ("x",), body, text, summary, **flags)


def _transcendental(
    name: str,
    body: Callable[..., Any],
    text: str,
    summary: str,
    multiply_adds: int = 0,
    transcendentals: int = 1,
    **flags: Any,
) -> Function:
    return _unary(name, body, text, summary, multiply_adds=multiply_adds, transcendentals=transcendentals, **flags)


def _binary(name: str, body: Callable[..., Any], text: str, summary: str, **flags: Any) -> Function:
    return Function(name, ("x", "y"), body, text, summary, **flags)


def _numpy_name(name: str, summary: str, **flags: Any) -> Function:
    """Make the row of a transcendental function that has the same name in NumPy and JAX."""
    return _transcendental(name, lambda xp, x: getattr(xp, name)(x), f"jnp.{name}({{x}})", summary, **flags)


_ROWS = (
    _constant("get_pi", math.pi, "the number pi"),
    _constant("get_e", math.e, "Euler's number"),
    _constant("get_eps", EPS, "the small number 1e-8"),
    _unary("abs", lambda xp, x: xp.abs(x), "jnp.abs({x})", "absolute value"),
    _numpy_name("cos", "cosine"),
    _numpy_name("sin", "sine"),
    _numpy_name("tan", "tangent"),
    _numpy_name("arcsin", "inverse sine"),
    _numpy_name("arccos", "inverse cosine"),
    _numpy_name("arctan", "inverse tangent"),
    _numpy_name("sinh", "hyperbolic sine"),
    _numpy_name("cosh", "hyperbolic cosine"),
    _numpy_name("tanh", "hyperbolic tangent"),
    _numpy_name("arcsinh", "inverse hyperbolic sine"),
    _numpy_name("arccosh", "inverse hyperbolic cosine"),
    _numpy_name("arctanh", "inverse hyperbolic tangent"),
    _numpy_name("exp", "e to the power x"),
    _numpy_name("exp2", "2 to the power x"),
    _transcendental("exp10", lambda xp, x: xp.power(10.0, x), "jnp.power(10.0, {x})", "10 to the power x"),
    _numpy_name("expm1", "e to the power x, minus 1"),
    _transcendental(
        "log",
        lambda xp, x: xp.log(xp.abs(x)),
        "jnp.log(jnp.abs({x}))",
        "natural logarithm of |x|",
        multiply_adds=1,
    ),
    _transcendental(
        "log10",
        lambda xp, x: xp.log10(xp.abs(x)),
        "jnp.log10(jnp.abs({x}))",
        "decimal logarithm of |x|",
        multiply_adds=1,
    ),
    _transcendental(
        "log2",
        lambda xp, x: xp.log2(xp.abs(x)),
        "jnp.log2(jnp.abs({x}))",
        "binary logarithm of |x|",
        multiply_adds=1,
    ),
    _transcendental(
        "log1p",
        lambda xp, x: xp.log(xp.abs(1.0 + x)),
        "jnp.log(jnp.abs(1.0 + {x}))",
        "natural logarithm of |1 + x|",
        multiply_adds=2,
    ),
    _unary("sqrt", lambda xp, x: xp.sqrt(xp.abs(x)), "jnp.sqrt(jnp.abs({x}))", "square root of |x|", multiply_adds=2),
    _unary("square", lambda xp, x: xp.square(x), "jnp.square({x})", "x times x"),
    _unary("cube", lambda xp, x: x * x * x, "{x} * {x} * {x}", "x times x times x", multiply_adds=2),
    _numpy_name("cbrt", "cube root"),
    _unary("sign", lambda xp, x: xp.sign(x), "jnp.sign({x})", "-1, 0 or 1"),
    _unary("reciprocal", lambda xp, x: 1.0 / x, "1.0 / {x}", "1 / x, infinite at 0"),
    _unary(
        "norm",
        lambda xp, x: xp.sqrt(xp.sum(xp.square(x))),
        "jnp.sqrt(jnp.sum(jnp.square({x})))",
        "Euclidean norm per weight array; of a number, |x|",
        largest=PER_ARRAY,
    ),
    _unary(
        "global_norm",
        _global_norm,
        "_global_norm({x})",
        "Euclidean norm over all weight arrays together",
        largest=SCALAR,
        leafwise=False,
    ),
    _binary(
        "dot",
        _dot,
        "_dot({x}, {y})",
        "sum of x times y over all weight arrays",
        largest=SCALAR,
        leafwise=False,
        commutative=True,
    ),
    _binary(
        "cosine_sim",
        lambda xp, x, y: _dot(xp, x, y) / (_global_norm(xp, x) * _global_norm(xp, y)),
        "_cosine_sim({x}, {y})",
        "cosine of the angle between x and y over all arrays",
        largest=SCALAR,
        leafwise=False,
        commutative=True,
        multiply_adds=3,
    ),
    Function(
        "clip",
        ("x", "c"),
        _clip,
        "_clip({x}, {c})",
        "x scaled so that its global norm is at most c",
        scalars=frozenset({"c"}),
        leafwise=False,
        multiply_adds=2,
    ),
    Function(
        "interp",
        ("x", "y", "a"),
        lambda xp, x, y, a: (1.0 - a) * x + a * y,
        "(1.0 - {a}) * {x} + {a} * {y}",
        "(1 - a) x + a y; a may lie outside [0, 1]",
        scalars=frozenset({"a"}),
        multiply_adds=2,
    ),
    _binary("add", lambda xp, x, y: x + y, "{x} + {y}", "sum", infix="+", commutative=True),
    _binary("subtract", lambda xp, x, y: x - y, "{x} - {y}", "difference", infix="-"),
    _binary("multiply", lambda xp, x, y: x * y, "{x} * {y}", "product", infix="*", commutative=True),
    _binary(
        "divide", lambda xp, x, y: x / (y + EPS), "{x} / ({y} + 1e-08)", "x / (y + 1e-8)", infix="/", multiply_adds=2
    ),
    _binary("max", lambda xp, x, y: xp.maximum(x, y), "jnp.maximum({x}, {y})", "larger of x and y", commutative=True),
    _binary("min", lambda xp, x, y: xp.minimum(x, y), "jnp.minimum({x}, {y})", "smaller of x and y", commutative=True),
    _binary(
        "power",
        lambda xp, x, y: xp.power(x, y),
        "jnp.power({x}, {y})",
        "x to the power y",
        multiply_adds=0,
        transcendentals=1,
    ),
    _unary("negative", lambda xp, x: -x, "-{x}", "-x", source=_PRACTICE),
    _unary(
        "copy", lambda xp, x: x, "{x}", "x itself, written as a plain assignment", multiply_adds=0, source=_PRACTICE
    ),
    _binary(
        "mod",
        lambda xp, x, y: xp.mod(x, y),
        "jnp.mod({x}, {y})",
        "remainder of x divided by y, with the sign of y",
        multiply_adds=2,
        source=_PRACTICE,
    ),
    _binary(
        "less",
        lambda xp, x, y: xp.where(x < y, 1.0, 0.0),
        "jnp.less({x}, {y}).astype({dtype})",
        "1 if x < y, else 0",
        source=_PRACTICE,
    ),
    _binary(
        "equal",
        lambda xp, x, y: xp.where(x == y, 1.0, 0.0),
        "jnp.equal({x}, {y}).astype({dtype})",
        "1 if x = y, else 0",
        commutative=True,
        source=_PRACTICE,
    ),
    Function(
        "where",
        ("c", "x", "y"),
        lambda xp, c, x, y: xp.where(c != 0.0, x, y),
        "jnp.where(jnp.not_equal({c}, 0.0), {x}, {y}).astype({dtype})",
        "x if c is not 0, else y",
        multiply_adds=2,
        source=_PRACTICE,
    ),
    _unary("floor", lambda xp, x: xp.floor(x), "jnp.floor({x})", "largest whole number up to x", source=_PRACTICE),
    _unary(
        "round",
        lambda xp, x: xp.round(x),
        "jnp.round({x})",
        "nearest whole number, halves to even",
        source=_PRACTICE,
    ),
    _unary(
        "heaviside",
        lambda xp, x: xp.heaviside(x, 0.0),
        "jnp.heaviside({x}, 0.0)",
        "1 if x > 0, else 0",
        source=_PRACTICE,
    ),
    _transcendental(
        "sigmoid",
        lambda xp, x: 1.0 / (1.0 + xp.exp(-x)),
        "1.0 / (1.0 + jnp.exp(-{x}))",
        "1 / (1 + exp(-x))",
        multiply_adds=3,
        source=_PRACTICE,
    ),
    _transcendental(
        "softplus",
        lambda xp, x: xp.logaddexp(x, 0.0),
        "jnp.logaddexp({x}, 0.0)",
        "log(1 + exp(x))",
        multiply_adds=3,
        transcendentals=2,
        source=_PRACTICE,
    ),
    _transcendental("erf", _erf, "jax.lax.erf({x})", "error function", source=_PRACTICE),
    _unary(
        "mean",
        _mean,
        "jnp.sum({x}) / (1.0 * {x}.size)",
        "mean per weight array; of a number, x",
        largest=PER_ARRAY,
        source=_PRACTICE,
    ),
    _unary(
        "std",
        _std,
        "_std({x})",
        "standard deviation per weight array; of a number, 0",
        largest=PER_ARRAY,
        multiply_adds=3,
        source=_PRACTICE,
    ),
    _unary(
        "orthogonalize",
        _orthogonalize,
        "_orthogonalize({x})",
        "each matrix made nearly orthogonal; vectors unchanged",
        matrix=True,
        multiply_adds=3 * _SHORT_SIDE * _NEWTON_SCHULZ_STEPS,
        source=_MUON,
    ),
)

FUNCTIONS = MappingProxyType({row.name: row for row in _ROWS})
PAPER_FUNCTIONS = tuple(sorted(row.name for row in _ROWS if row.paper))
SCALAR_PLACES = MappingProxyType({row.name: row.scalar_places for row in _ROWS if row.scalars})
