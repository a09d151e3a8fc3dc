"""The functions of the language: one table, a row each.

Every row holds the whole meaning of a function: its parameters, the kind of its result, one body that
serves NumPy and JAX alike, and the text that an exported module uses. Adding a function is adding a row.

Source of the set and of the protected semantics: Chen et al., "Symbolic Discovery of Optimization
Algorithms", 2023, https://arxiv.org/abs/2302.06675. Rows with ``paper=False`` are not in it.
"""

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

EPS = 1e-8  # what division adds to its divisor


class Kind(enum.IntEnum):
    """How much a value holds, ordered: the kind of an elementwise result is the largest of its arguments'."""

    SCALAR = 0  # one number
    PER_ARRAY = 1  # one number per weight array
    TENSOR = 2  # shaped like the weights

    def __str__(self) -> str:
        """Give the name as people write it."""
        return self.name.lower().replace("_", "-")


class Result(enum.Enum):
    """How the kind of a result follows from the kinds of the arguments."""

    JOIN = "join"  # the largest kind among the arguments
    REDUCE_ARRAY = "reduce array"  # tensor -> per-array; lower kinds stay as they are
    REDUCE_ALL = "reduce all"  # always a scalar


@dataclass(frozen=True)
class Function:
    """One function of the language.

    ``body(xp, *arguments)`` takes an array module (``numpy`` or ``jax.numpy``). For ``leafwise`` functions
    every argument is one array; for the others it is the tuple of all arrays of a value, and the body
    returns one number, or a tuple again where ``result`` is ``JOIN``.
    """

    name: str
    parameters: tuple[str, ...]
    body: Callable[..., Any]
    text: str  # JAX expression on one array, the parameters in braces
    summary: str
    result: Result = Result.JOIN
    scalars: frozenset[str] = frozenset()  # parameters that must be scalars
    leafwise: bool = True
    commutative: bool = False
    infix: str | None = None  # the operator that stands for it in program text
    paper: bool = True  # part of the paper's language

    @property
    def arity(self) -> int:
        """The number of arguments."""
        return len(self.parameters)

    @property
    def elementwise(self) -> bool:
        """Whether each element of the result depends on the same element of the arguments alone."""
        return self.leafwise and self.result is Result.JOIN

    def must_be_scalar(self, position: int) -> bool:
        """Tell whether the argument at ``position`` (from 0) must be a scalar."""
        return self.parameters[position] in self.scalars

    def kind(self, arguments: tuple[Kind, ...]) -> Kind:
        """Give the kind of the result for arguments of these kinds."""
        if self.result is Result.REDUCE_ALL:
            return Kind.SCALAR
        joined = max(arguments, default=Kind.SCALAR)
        if self.result is Result.REDUCE_ARRAY:
            return min(joined, Kind.PER_ARRAY)
        return joined


def _dot(xp: Any, x: tuple, y: tuple) -> Any:
    return sum((xp.sum(a * b) for a, b in zip(x, y, strict=True)), start=0.0)


def _global_norm(xp: Any, x: tuple) -> Any:
    return xp.sqrt(_dot(xp, x, x))


def _clip(xp: Any, x: tuple, c: tuple) -> tuple:
    scale = xp.minimum(1.0, c[0] / _global_norm(xp, x))
    return tuple(leaf * scale for leaf in x)


def _constant(name: str, value: float, summary: str) -> Function:
    return Function(name, (), lambda xp: value, repr(value), summary)


def _unary(name: str, body: Callable[..., Any], text: str, summary: str, **flags: Any) -> Function:
    return Function(name, ("x",), body, text, summary, **flags)


def _binary(name: str, body: Callable[..., Any], text: str, summary: str, **flags: Any) -> Function:
    return Function(name, ("x", "y"), body, text, summary, **flags)


_ROWS = (
    _constant("get_pi", math.pi, "the number pi"),
    _constant("get_e", math.e, "Euler's number"),
    _constant("get_eps", EPS, "the small number 1e-8"),
    _unary("abs", lambda xp, x: xp.abs(x), "jnp.abs({x})", "absolute value"),
    _unary("cos", lambda xp, x: xp.cos(x), "jnp.cos({x})", "cosine"),
    _unary("sin", lambda xp, x: xp.sin(x), "jnp.sin({x})", "sine"),
    _unary("tan", lambda xp, x: xp.tan(x), "jnp.tan({x})", "tangent"),
    _unary("arcsin", lambda xp, x: xp.arcsin(x), "jnp.arcsin({x})", "inverse sine"),
    _unary("arccos", lambda xp, x: xp.arccos(x), "jnp.arccos({x})", "inverse cosine"),
    _unary("arctan", lambda xp, x: xp.arctan(x), "jnp.arctan({x})", "inverse tangent"),
    _unary("sinh", lambda xp, x: xp.sinh(x), "jnp.sinh({x})", "hyperbolic sine"),
    _unary("cosh", lambda xp, x: xp.cosh(x), "jnp.cosh({x})", "hyperbolic cosine"),
    _unary("tanh", lambda xp, x: xp.tanh(x), "jnp.tanh({x})", "hyperbolic tangent"),
    _unary("arcsinh", lambda xp, x: xp.arcsinh(x), "jnp.arcsinh({x})", "inverse hyperbolic sine"),
    _unary("arccosh", lambda xp, x: xp.arccosh(x), "jnp.arccosh({x})", "inverse hyperbolic cosine"),
    _unary("arctanh", lambda xp, x: xp.arctanh(x), "jnp.arctanh({x})", "inverse hyperbolic tangent"),
    _unary("exp", lambda xp, x: xp.exp(x), "jnp.exp({x})", "e to the power x"),
    _unary("exp2", lambda xp, x: xp.exp2(x), "jnp.exp2({x})", "2 to the power x"),
    _unary("exp10", lambda xp, x: xp.power(10.0, x), "jnp.power(10.0, {x})", "10 to the power x"),
    _unary("expm1", lambda xp, x: xp.expm1(x), "jnp.expm1({x})", "e to the power x, less 1"),
    _unary("log", lambda xp, x: xp.log(xp.abs(x)), "jnp.log(jnp.abs({x}))", "natural logarithm of |x|"),
    _unary(
        "log10",
        lambda xp, x: xp.log10(xp.abs(x)),
        "jnp.log10(jnp.abs({x}))",
        "decimal logarithm of |x|",
    ),
    _unary(
        "log2",
        lambda xp, x: xp.log2(xp.abs(x)),
        "jnp.log2(jnp.abs({x}))",
        "binary logarithm of |x|",
    ),
    _unary(
        "log1p",
        lambda xp, x: xp.log(xp.abs(1.0 + x)),
        "jnp.log(jnp.abs(1.0 + {x}))",
        "natural logarithm of |1 + x|",
    ),
    _unary("sqrt", lambda xp, x: xp.sqrt(xp.abs(x)), "jnp.sqrt(jnp.abs({x}))", "square root of |x|"),
    _unary("square", lambda xp, x: xp.square(x), "jnp.square({x})", "x times x"),
    _unary("cube", lambda xp, x: x * x * x, "{x} * {x} * {x}", "x times x times x"),
    _unary("cbrt", lambda xp, x: xp.cbrt(x), "jnp.cbrt({x})", "cube root"),
    _unary("sign", lambda xp, x: xp.sign(x), "jnp.sign({x})", "-1, 0 or 1"),
    _unary("reciprocal", lambda xp, x: 1.0 / x, "1.0 / {x}", "1 / x, infinite at 0"),
    _unary(
        "norm",
        lambda xp, x: xp.sqrt(xp.sum(xp.square(x))),
        "jnp.sqrt(jnp.sum(jnp.square({x})))",
        "Euclidean norm of each weight array; |x| where x is one number an array or less",
        result=Result.REDUCE_ARRAY,
    ),
    _unary(
        "global_norm",
        _global_norm,
        "global_norm({x})",
        "Euclidean norm over all weight arrays together",
        result=Result.REDUCE_ALL,
        leafwise=False,
    ),
    _binary(
        "dot",
        _dot,
        "dot({x}, {y})",
        "sum of x times y over all weight arrays",
        result=Result.REDUCE_ALL,
        leafwise=False,
        commutative=True,
    ),
    _binary(
        "cosine_sim",
        lambda xp, x, y: _dot(xp, x, y) / (_global_norm(xp, x) * _global_norm(xp, y)),
        "cosine_sim({x}, {y})",
        "cosine of the angle between x and y over all weight arrays; no epsilon",
        result=Result.REDUCE_ALL,
        leafwise=False,
        commutative=True,
    ),
    Function(
        "clip",
        ("x", "c"),
        _clip,
        "clip({x}, {c})",
        "x scaled down so that its global norm is at most c",
        scalars=frozenset({"c"}),
        leafwise=False,
    ),
    Function(
        "interp",
        ("x", "y", "a"),
        lambda xp, x, y, a: (1.0 - a) * x + a * y,
        "(1.0 - {a}) * {x} + {a} * {y}",
        "(1 - a) x + a y; a is free to leave [0, 1]",
        scalars=frozenset({"a"}),
    ),
    _binary("add", lambda xp, x, y: x + y, "{x} + {y}", "sum", infix="+", commutative=True),
    _binary("subtract", lambda xp, x, y: x - y, "{x} - {y}", "difference", infix="-"),
    _binary("multiply", lambda xp, x, y: x * y, "{x} * {y}", "product", infix="*", commutative=True),
    _binary("divide", lambda xp, x, y: x / (y + EPS), "{x} / ({y} + 1e-08)", "x / (y + 1e-8)", infix="/"),
    _binary(
        "max",
        lambda xp, x, y: xp.maximum(x, y),
        "jnp.maximum({x}, {y})",
        "the larger",
        commutative=True,
    ),
    _binary(
        "min",
        lambda xp, x, y: xp.minimum(x, y),
        "jnp.minimum({x}, {y})",
        "the smaller",
        commutative=True,
    ),
    _binary("power", lambda xp, x, y: xp.power(x, y), "jnp.power({x}, {y})", "x to the power y"),
    _unary("negative", lambda xp, x: -x, "-{x}", "-x", paper=False),
    _unary("copy", lambda xp, x: x, "{x}", "x itself, written as a plain assignment", paper=False),
)

FUNCTIONS = MappingProxyType({row.name: row for row in _ROWS})
INFIX = MappingProxyType({row.infix: row for row in _ROWS if row.infix})
