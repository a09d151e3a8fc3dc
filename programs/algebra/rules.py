"""The algebra of the language: rewrite rules as data, one per line.

Every rule makes an expression smaller (fewer calls; or as many, with fewer variables, or else fewer arguments, or else
lr less deep, or else numbers deeper; nothing counts as shared, and a call on numbers alone is a number), so rewriting
ends. The rules of KEY_RULES decide keys, on which stored runs rely: a new rule must not be added to them, even if it
holds for all floats.
"""

import enum
from dataclasses import dataclass


class Holds(enum.Enum):
    """In what sense the two sides of a rule are equal, under the protected semantics."""

    ALWAYS = "for all floats, up to rounding and the sign of zero; only such rules decide a key"
    EXACTLY = "in real arithmetic; a float may overflow, underflow or be NaN"
    NEARLY = "up to the 1e-8 that division adds"


class Given(enum.Enum):
    """What the numbers c and d of a rule must be for it to fit."""

    NUMBERS = "c and d are numbers"
    ASCENDING = "c <= d"
    COMPLEMENTS = "c + d = 1 and c < d"
    RECIPROCALS = "c d = 1"


@dataclass(frozen=True)
class Rule:
    """``pattern`` may be replaced by ``replacement``.

    Some letters stand for values: x, y, z and u for any value, n for one that is never negative, a for a scalar, r for
    lr or a number times lr, s for a value that is not a number and does not depend on lr, o for such a value that is
    not a scalar. Others stand for numbers: b, c and d for any but 0, k for one above 0, e for one above 1, p for one
    between 0 and 1, both excluded. If no function can distinguish kinds, a fits every value. In the replacement, a
    call on numbers alone is computed.

    Attributes:
        pattern: What the rule fits.
        replacement: What replaces the pattern.
        holds: In what sense the two are equal.
        given: What must hold for c and d.
        growth: If given, the rule is applied only at places where the program then has at most this many more
            statements than before. Values that are also read elsewhere stay, so even -1 can rule out a place.
    """

    pattern: str
    replacement: str
    holds: Holds = Holds.ALWAYS
    given: Given = Given.NUMBERS
    growth: int | None = None

    @property
    def exact(self) -> bool:
        """Whether both sides are equal in real arithmetic."""
        return self.holds is not Holds.NEARLY

    def __str__(self) -> str:
        """Return the rule as people write it."""
        condition = "" if self.given is Given.NUMBERS else f" if {self.given.value}"
        return f"{self.pattern} -> {self.replacement}{condition}"


def _shorter(pattern: str, replacement: str, holds: Holds = Holds.EXACTLY, given: Given = Given.NUMBERS) -> Rule:
    return Rule(pattern, replacement, holds, given, growth=-1)


RULES = (
    Rule("x * 1.0", "x"),
    Rule("x * -1.0", "negative(x)"),
    Rule("x + 0.0", "x"),
    Rule("x + -0.0", "x"),
    Rule("x - 0.0", "x"),
    Rule("x * 0.0", "0.0", Holds.EXACTLY),
    Rule("x - x", "0.0", Holds.EXACTLY),
    Rule("0.0 / x", "0.0", Holds.EXACTLY),
    Rule("x + x", "x * 2.0"),
    Rule("x * x", "square(x)"),
    Rule("square(x) * x", "cube(x)"),
    Rule("negative(negative(x))", "x"),
    Rule("negative(x) + negative(y)", "negative(x + y)"),  # before the next, which could take either for its y
    Rule("x + negative(y)", "x - y"),
    Rule("x - negative(y)", "x + y"),
    Rule("negative(x) * negative(y)", "x * y"),
    Rule("0.0 - x", "negative(x)", Holds.EXACTLY),
    Rule("reciprocal(reciprocal(x))", "x", Holds.EXACTLY),
    Rule("power(x, 0.0)", "1.0"),
    Rule("power(x, 1.0)", "x"),
    Rule("power(x, 2.0)", "square(x)"),
    Rule("max(x, x)", "x"),
    Rule("min(x, x)", "x"),
    Rule("max(x, max(x, y))", "max(x, y)"),
    Rule("min(x, min(x, y))", "min(x, y)"),
    Rule("max(x, min(x, y))", "x", Holds.EXACTLY),  # absorption
    Rule("min(x, max(x, y))", "x", Holds.EXACTLY),
    Rule("interp(x, x, p)", "x"),  # (1 - p) x + p x = x
    Rule("interp(x, x, a)", "x", Holds.EXACTLY),
    Rule("interp(x, y, 0.0)", "x", Holds.EXACTLY),
    Rule("interp(x, y, 1.0)", "y", Holds.EXACTLY),
    Rule("abs(abs(x))", "abs(x)"),
    Rule("abs(square(x))", "square(x)"),
    Rule("abs(negative(x))", "abs(x)"),
    Rule("abs(sqrt(x))", "sqrt(x)"),
    Rule("abs(norm(x))", "norm(x)"),
    Rule("abs(global_norm(x))", "global_norm(x)"),
    Rule("square(abs(x))", "square(x)"),
    Rule("square(negative(x))", "square(x)"),
    Rule("square(sqrt(x))", "abs(x)"),  # sqrt is of |x|
    Rule("sqrt(square(x))", "abs(x)", Holds.EXACTLY),
    Rule("sqrt(abs(x))", "sqrt(x)"),
    Rule("sqrt(negative(x))", "sqrt(x)"),
    Rule("log(abs(x))", "log(x)"),  # logarithms are of |x|
    Rule("log(negative(x))", "log(x)"),
    Rule("log(exp(x))", "x", Holds.EXACTLY),
    Rule("cbrt(cube(x))", "x", Holds.EXACTLY),
    Rule("cube(cbrt(x))", "x", Holds.EXACTLY),
    Rule("sign(sign(x))", "sign(x)"),
    Rule("sign(cube(x))", "sign(x)", Holds.EXACTLY),
    Rule("sign(cbrt(x))", "sign(x)", Holds.EXACTLY),
    Rule("cos(abs(x))", "cos(x)"),  # even functions
    Rule("cos(negative(x))", "cos(x)"),
    Rule("cosh(abs(x))", "cosh(x)"),
    Rule("cosh(negative(x))", "cosh(x)"),
    Rule("norm(abs(x))", "norm(x)"),
    Rule("norm(negative(x))", "norm(x)"),
    Rule("global_norm(abs(x))", "global_norm(x)"),
    Rule("global_norm(negative(x))", "global_norm(x)"),
    Rule("where(a, x, x)", "x"),
    Rule("less(x, x)", "0.0"),
    Rule("equal(x, x)", "1.0", Holds.EXACTLY),
    Rule("floor(floor(x))", "floor(x)"),
    Rule("floor(round(x))", "round(x)"),
    Rule("round(floor(x))", "floor(x)"),
    Rule("round(round(x))", "round(x)"),
    Rule("heaviside(sign(x))", "heaviside(x)"),
    Rule("mean(a)", "a"),
    Rule("orthogonalize(a)", "a"),
    Rule("mean(mean(x))", "mean(x)"),
    Rule("mean(norm(x))", "norm(x)"),
    Rule("norm(norm(x))", "norm(x)", Holds.EXACTLY),
    Rule("std(negative(x))", "std(x)"),
    Rule("x / 1.0", "x", Holds.NEARLY),
    Rule("x / abs(x)", "sign(x)", Holds.NEARLY),
    Rule("abs(x) / x", "sign(x)", Holds.NEARLY),
    Rule("square(x) / x", "x", Holds.NEARLY),
    # interp(x, y, a) = (1 - a) x + a y, written out: before its numbers are merged with others.
    _shorter("x * (1.0 - d) + y * d", "interp(x, y, d)"),
    _shorter("x * c + y * d", "interp(x, y, d)", given=Given.COMPLEMENTS),
    # Numbers are merged: associativity.
    _shorter("x * c * d", "x", given=Given.RECIPROCALS),
    _shorter("x * c * d", "x * (c * d)"),
    _shorter("c / x * d", "(c * d) / x"),
    _shorter("negative(x * c)", "x * negative(c)"),
    _shorter("negative(x) * c", "x * negative(c)"),
    _shorter("x + c + d", "x + (c + d)"),
    _shorter("x + c - d", "x + (c - d)"),
    _shorter("x - c + d", "x + (d - c)"),
    _shorter("x - c - d", "x - (c + d)"),
    _shorter("c - x + d", "(c + d) - x"),
    _shorter("c - x - d", "(c - d) - x"),
    _shorter("c - (x + d)", "(c - d) - x"),
    _shorter("c - (d - x)", "x + (c - d)"),
    _shorter("max(max(x, c), d)", "max(x, max(c, d))"),
    _shorter("min(min(x, c), d)", "min(x, min(c, d))"),
    # Common factors: distributivity.
    _shorter("x * c + x * d", "x * (c + d)"),
    _shorter("x * c - x * d", "x * (c - d)"),
    _shorter("x + x * c", "x * (c + 1.0)"),
    _shorter("x - x * c", "x * (1.0 - c)"),
    _shorter("x * c - x", "x * (c - 1.0)"),
    _shorter("(x * b + y * d) * c", "x * (b * c) + y * (d * c)"),
    _shorter("(x * b - y * d) * c", "x * (b * c) - y * (d * c)"),
    _shorter("(x * b + c) * d", "x * (b * d) + c * d"),
    _shorter("(x * b - c) * d", "x * (b * d) - c * d"),
    _shorter("(c - x * b) * d", "c * d - x * (b * d)"),
    _shorter("x * y + z * y", "(x + z) * y"),
    _shorter("x * y - z * y", "(x - z) * y"),
    _shorter("x / y + z / y", "(x + z) / y"),
    _shorter("x / y - z / y", "(x - z) / y"),
    _shorter("x * y + z * y * u", "(x + z * u) * y"),
    _shorter("x * y - z * y * u", "(x - z * u) * y"),
    _shorter("z * y * u - x * y", "(z * u - x) * y"),
    _shorter("x * (y * c) + z * (y * d)", "(x + z * (d * reciprocal(c))) * (y * c)"),
    _shorter("x * (y * c) - z * (y * d)", "(x - z * (d * reciprocal(c))) * (y * c)"),
    # The rate is multiplied last, but before that with scalars, which is cheap.
    Rule("o * r * s", "o * s * r", Holds.EXACTLY, growth=0),
    Rule("o * r / s", "o / s * r", Holds.EXACTLY, growth=0),
    Rule("o * r * c", "o * (r * c)", Holds.EXACTLY, growth=0),
    # Sums in which values cancel.
    _shorter("negative(x - y)", "y - x"),
    _shorter("x + y - y", "x"),
    _shorter("x - y + y", "x"),
    _shorter("x - (x - y)", "y"),
    _shorter("x - (x + y)", "negative(y)"),
    _shorter("x - (y - y)", "x"),
    _shorter("x + (y - y)", "x"),
    # Nested interps of the same two values become one.
    Rule("interp(x, interp(x, y, p), e)", "interp(x, y, p * e)", Holds.EXACTLY),  # even if read elsewhere: e is no mean
    _shorter("interp(x, interp(x, y, c), d)", "interp(x, y, c * d)"),
    _shorter("interp(interp(x, y, c), y, d)", "interp(x, y, c + d - c * d)"),
    _shorter("interp(interp(x, y, c), x, d)", "interp(x, y, c - c * d)"),
    _shorter("interp(y, interp(x, y, c), d)", "interp(y, x, d - c * d)"),
    _shorter("interp(x * y, z * y, a)", "interp(x, z, a) * y"),  # linear in both
    _shorter("interp(negative(x), negative(y), a)", "negative(interp(x, y, a))"),
    _shorter("(y - x) * c + x", "interp(x, y, c)"),
    _shorter("x - (x - y) * c", "interp(x, y, c)"),
    # What a sign ignores: positive factors, and increasing odd functions.
    _shorter("sign(x * k)", "sign(x)"),
    _shorter("sign(x / n)", "sign(x)"),
    _shorter("sign(clip(x, k))", "sign(x)"),
    _shorter("sign(tanh(x))", "sign(x)"),
    _shorter("sign(arctan(x))", "sign(x)"),
    _shorter("sign(arcsinh(x))", "sign(x)"),
    _shorter("sign(sinh(x))", "sign(x)"),
    _shorter("x * sign(x)", "abs(x)"),
    _shorter("abs(x) * sign(x)", "x"),
    # What a normalisation ignores: positive factors.
    _shorter("cosine_sim(x * k, y)", "cosine_sim(x, y)"),
    _shorter("x * k / norm(x * k)", "x / norm(x)", Holds.NEARLY),
    # Bounds that hold already.
    _shorter("abs(n)", "n"),
    _shorter("max(n, 0.0)", "n"),
    _shorter("min(sign(x), 1.0)", "sign(x)"),
    _shorter("max(sign(x), -1.0)", "sign(x)"),
    _shorter("min(tanh(x), 1.0)", "tanh(x)"),
    _shorter("max(tanh(x), -1.0)", "tanh(x)"),
    _shorter("max(min(max(x, c), d), c)", "min(max(x, c), d)", given=Given.ASCENDING),
    _shorter("min(max(min(x, d), c), d)", "max(min(x, d), c)", given=Given.ASCENDING),
    _shorter("clip(clip(x, k), k)", "clip(x, k)"),
    _shorter("where(k, x, y)", "x"),
    _shorter("where(0.0, x, y)", "y"),
    _shorter("where(x, y, y)", "y"),
    _shorter("exp(log(x))", "abs(x)"),  # logarithms are of |x|
    # Quotients that cancel.
    _shorter("x * y / y", "x", Holds.NEARLY),
    _shorter("x / y * y", "x", Holds.NEARLY),
    _shorter("x * y / abs(x)", "sign(x) * y", Holds.NEARLY),
)
KEY_RULES = tuple(rule for rule in RULES if rule.holds is Holds.ALWAYS)
