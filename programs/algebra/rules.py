"""The algebra of the language: rewrite rules as data, one per line.

Every rule makes an expression smaller (fewer calls; or as many, with fewer variables, or else fewer arguments, or else
lr less deep, or else numbers deeper; nothing counts as shared, and a call on numbers alone is a number), so rewriting
ends. Each rule states whether it decides keys, on which stored runs rely: a new rule must not, even if it is exact.
"""

import enum
from dataclasses import dataclass, replace

from programs.algebra.derivation import Gap, Proof


class Given(enum.Enum):
    """What the numbers c and d of a rule must be for it to fit; ``=`` is up to the rounding of a 64-bit float."""

    NUMBERS = "c and d are numbers"
    ASCENDING = "c <= d"
    COMPLEMENTS = "c + d = 1 and c < d"
    RECIPROCALS = "c d = 1"
    NEAR_COMPLEMENTS = "c + d is nearly 1 and c < d"  # up to the rounding of a 32-bit float


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
        proof: In what sense the two sides are equal: exact, real or nearly.
        gaps: Why the two sides differ in 32-bit floats; empty if the rule is exact. For a rule that holds nearly, the
            reasons besides the 1e-8.
        given: What must hold for c and d.
        growth: If given, the rule is applied only at places where the program then has at most this many more
            statements than before. Values that are also read elsewhere stay, so even -1 can rule out a place.
        decides_keys: Whether the rule is applied before a key is made.
    """

    pattern: str
    replacement: str
    proof: Proof = Proof.EXACT
    gaps: tuple[Gap, ...] = ()
    given: Given = Given.NUMBERS
    growth: int | None = None
    decides_keys: bool = False

    def __str__(self) -> str:
        """Return the rule as people write it."""
        condition = "" if self.given is Given.NUMBERS else f" if {self.given.value}"
        return f"{self.pattern} -> {self.replacement}{condition}"


def _key(pattern: str, replacement: str) -> Rule:
    """Make an exact rule that decides keys."""
    return Rule(pattern, replacement, decides_keys=True)


def _real(pattern: str, replacement: str, *gaps: Gap) -> Rule:
    return Rule(pattern, replacement, Proof.REAL, gaps)


def _nearly(pattern: str, replacement: str, *gaps: Gap) -> Rule:
    return Rule(pattern, replacement, Proof.NEARLY, gaps)


def _shorter(rule: Rule, given: Given = Given.NUMBERS) -> Rule:
    """Make a rule that is applied only at places where it makes the program shorter."""
    return replace(rule, given=given, growth=-1)


_OVERFLOW, _UNDERFLOW, _NAN, _ROUNDING = Gap.OVERFLOW, Gap.UNDERFLOW, Gap.NAN, Gap.ROUNDING
_LOSS = (_UNDERFLOW, _ROUNDING)
_ANY = (_OVERFLOW, _UNDERFLOW, _NAN, _ROUNDING)

RULES = (
    _key("x * 1.0", "x"),
    _key("x * -1.0", "negative(x)"),
    _key("x + 0.0", "x"),
    _key("x + -0.0", "x"),
    _key("x - 0.0", "x"),
    _real("x * 0.0", "0.0", _NAN),
    _real("x - x", "0.0", _NAN),
    _real("0.0 / x", "0.0", _NAN),
    _key("x + x", "x * 2.0"),
    _key("x * x", "square(x)"),
    _key("square(x) * x", "cube(x)"),
    _key("negative(negative(x))", "x"),
    _key("negative(x) + negative(y)", "negative(x + y)"),  # before the next, which could take either for its y
    _key("x + negative(y)", "x - y"),
    _key("x - negative(y)", "x + y"),
    _key("negative(x) * negative(y)", "x * y"),
    Rule("0.0 - x", "negative(x)"),
    _real("reciprocal(reciprocal(x))", "x", _OVERFLOW),
    _key("power(x, 0.0)", "1.0"),
    _key("power(x, 1.0)", "x"),
    _key("power(x, 2.0)", "square(x)"),
    _key("max(x, x)", "x"),
    _key("min(x, x)", "x"),
    _key("max(x, max(x, y))", "max(x, y)"),
    _key("min(x, min(x, y))", "min(x, y)"),
    _real("max(x, min(x, y))", "x", _NAN),  # absorption
    _real("min(x, max(x, y))", "x", _NAN),
    _key("interp(x, x, p)", "x"),  # (1 - p) x + p x = x
    _real("interp(x, x, a)", "x", *_ANY),
    _real("interp(x, y, 0.0)", "x", _NAN),
    _real("interp(x, y, 1.0)", "y", _NAN),
    _key("abs(abs(x))", "abs(x)"),
    _key("abs(square(x))", "square(x)"),
    _key("abs(negative(x))", "abs(x)"),
    _key("abs(sqrt(x))", "sqrt(x)"),
    _key("abs(norm(x))", "norm(x)"),
    _key("abs(global_norm(x))", "global_norm(x)"),
    _key("square(abs(x))", "square(x)"),
    _key("square(negative(x))", "square(x)"),
    _key("square(sqrt(x))", "abs(x)"),  # sqrt is of |x|
    _real("sqrt(square(x))", "abs(x)", _OVERFLOW, _UNDERFLOW),
    _key("sqrt(abs(x))", "sqrt(x)"),
    _key("sqrt(negative(x))", "sqrt(x)"),
    _key("log(abs(x))", "log(x)"),  # logarithms are of |x|
    _key("log(negative(x))", "log(x)"),
    _real("log(exp(x))", "x", _OVERFLOW, _UNDERFLOW),
    _real("cbrt(cube(x))", "x", _OVERFLOW, _UNDERFLOW),
    _real("cube(cbrt(x))", "x", _OVERFLOW),
    _key("sign(sign(x))", "sign(x)"),
    _real("sign(cube(x))", "sign(x)", _UNDERFLOW),
    Rule("sign(cbrt(x))", "sign(x)"),
    _key("cos(abs(x))", "cos(x)"),  # even functions
    _key("cos(negative(x))", "cos(x)"),
    _key("cosh(abs(x))", "cosh(x)"),
    _key("cosh(negative(x))", "cosh(x)"),
    _key("norm(abs(x))", "norm(x)"),
    _key("norm(negative(x))", "norm(x)"),
    _key("global_norm(abs(x))", "global_norm(x)"),
    _key("global_norm(negative(x))", "global_norm(x)"),
    _key("where(a, x, x)", "x"),
    _key("less(x, x)", "0.0"),
    _real("equal(x, x)", "1.0", _UNDERFLOW),
    _key("floor(floor(x))", "floor(x)"),
    _key("floor(round(x))", "round(x)"),
    _key("round(floor(x))", "floor(x)"),
    _key("round(round(x))", "round(x)"),
    _key("heaviside(sign(x))", "heaviside(x)"),
    _key("mean(a)", "a"),
    _key("orthogonalize(a)", "a"),
    _key("mean(mean(x))", "mean(x)"),
    _key("mean(norm(x))", "norm(x)"),
    Rule("norm(norm(x))", "norm(x)"),
    _key("std(negative(x))", "std(x)"),
    _nearly("x / 1.0", "x"),
    _nearly("x / abs(x)", "sign(x)", _NAN),
    _nearly("abs(x) / x", "sign(x)", _OVERFLOW, _NAN),
    _nearly("square(x) / x", "x", _OVERFLOW, _UNDERFLOW, _NAN),
    # interp(x, y, a) = (1 - a) x + a y, written out: before its numbers are merged with others.
    _shorter(Rule("x * (1.0 - d) + y * d", "interp(x, y, d)")),
    _shorter(Rule("x * c + y * d", "interp(x, y, d)"), Given.COMPLEMENTS),
    _shorter(_nearly("x * c + y * d", "interp(x, y, d)", _OVERFLOW), Given.NEAR_COMPLEMENTS),
    # Numbers are merged: associativity.
    _shorter(_real("x * c * d", "x", _OVERFLOW, _UNDERFLOW, _ROUNDING), Given.RECIPROCALS),
    _shorter(_real("x * c * d", "x * (c * d)", _OVERFLOW, _UNDERFLOW, _ROUNDING)),
    _shorter(_real("c / x * d", "(c * d) / x", *_LOSS)),
    _shorter(Rule("negative(x * c)", "x * negative(c)")),
    _shorter(Rule("negative(x) * c", "x * negative(c)")),
    _shorter(_real("x + c + d", "x + (c + d)", *_LOSS)),
    _shorter(_real("x + c - d", "x + (c - d)", *_LOSS)),
    _shorter(_real("x - c + d", "x + (d - c)", *_LOSS)),
    _shorter(_real("x - c - d", "x - (c + d)", _UNDERFLOW)),
    _shorter(_real("c - x + d", "(c + d) - x", _UNDERFLOW)),
    _shorter(_real("c - x - d", "(c - d) - x", *_LOSS)),
    _shorter(_real("c - (x + d)", "(c - d) - x", *_LOSS)),
    _shorter(_real("c - (d - x)", "x + (c - d)", *_LOSS)),
    _shorter(Rule("max(max(x, c), d)", "max(x, max(c, d))")),
    _shorter(Rule("min(min(x, c), d)", "min(x, min(c, d))")),
    # Common factors: distributivity.
    _shorter(_real("x * c + x * d", "x * (c + d)", _OVERFLOW, _NAN)),
    _shorter(_real("x * c - x * d", "x * (c - d)", _OVERFLOW, _NAN)),
    _shorter(_real("x + x * c", "x * (c + 1.0)", _OVERFLOW, _NAN)),
    _shorter(_real("x - x * c", "x * (1.0 - c)", _OVERFLOW, _NAN)),
    _shorter(_real("x * c - x", "x * (c - 1.0)", _OVERFLOW, _NAN)),
    _shorter(_real("(x * b + y * d) * c", "x * (b * c) + y * (d * c)", *_ANY)),
    _shorter(_real("(x * b - y * d) * c", "x * (b * c) - y * (d * c)", *_ANY)),
    _shorter(_real("(x * b + c) * d", "x * (b * d) + c * d", _OVERFLOW)),
    _shorter(_real("(x * b - c) * d", "x * (b * d) - c * d", _OVERFLOW)),
    _shorter(_real("(c - x * b) * d", "c * d - x * (b * d)", _OVERFLOW)),
    _shorter(_real("x * y + z * y", "(x + z) * y", _OVERFLOW, _NAN)),
    _shorter(_real("x * y - z * y", "(x - z) * y", _OVERFLOW, _NAN)),
    _shorter(_real("x / y + z / y", "(x + z) / y", _OVERFLOW, _NAN)),
    _shorter(_real("x / y - z / y", "(x - z) / y", _OVERFLOW, _NAN)),
    _shorter(_real("x * y + z * y * u", "(x + z * u) * y", *_ANY)),
    _shorter(_real("x * y - z * y * u", "(x - z * u) * y", *_ANY)),
    _shorter(_real("z * y * u - x * y", "(z * u - x) * y", *_ANY)),
    _shorter(_real("x * (y * c) + z * (y * d)", "(x + z * (d * reciprocal(c))) * (y * c)", *_ANY)),
    _shorter(_real("x * (y * c) - z * (y * d)", "(x - z * (d * reciprocal(c))) * (y * c)", *_ANY)),
    # The rate goes last, but with scalars, which are cheap, first.
    replace(_real("o * r * s", "o * s * r", *_ANY), growth=0),
    replace(_real("o * r / s", "o / s * r", *_ANY), growth=0),
    replace(_real("o * r * c", "o * (r * c)", *_ANY), growth=0),
    # Sums in which values cancel.
    _shorter(Rule("negative(x - y)", "y - x")),
    _shorter(_real("x + y - y", "x", *_ANY)),
    _shorter(_real("x - y + y", "x", *_ANY)),
    _shorter(_real("x - (x - y)", "y", *_ANY)),
    _shorter(_real("x - (x + y)", "negative(y)", *_ANY)),
    _shorter(_real("x - (y - y)", "x", _NAN)),
    _shorter(_real("x + (y - y)", "x", _NAN)),
    # Nested interps of the same two values become one.
    _real("interp(x, interp(x, y, p), e)", "interp(x, y, p * e)", *_ANY),  # even if read elsewhere: e is no mean
    _shorter(_real("interp(x, interp(x, y, c), d)", "interp(x, y, c * d)", *_ANY)),
    _shorter(_real("interp(interp(x, y, c), y, d)", "interp(x, y, c + d - c * d)", *_ANY)),
    _shorter(_real("interp(interp(x, y, c), x, d)", "interp(x, y, c - c * d)", *_ANY)),
    _shorter(_real("interp(y, interp(x, y, c), d)", "interp(y, x, d - c * d)", *_ANY)),
    _shorter(_real("interp(x * y, z * y, a)", "interp(x, z, a) * y", *_ANY)),  # linear in both
    _shorter(Rule("interp(negative(x), negative(y), a)", "negative(interp(x, y, a))")),
    _shorter(_real("(y - x) * c + x", "interp(x, y, c)", _OVERFLOW, _UNDERFLOW, _NAN)),
    _shorter(_real("x - (x - y) * c", "interp(x, y, c)", _OVERFLOW, _UNDERFLOW, _NAN)),
    # What a sign ignores: positive factors, and increasing odd functions.
    _shorter(_real("sign(x * k)", "sign(x)", _UNDERFLOW)),
    _shorter(_real("sign(x / n)", "sign(x)", _UNDERFLOW, _NAN)),
    _shorter(_real("sign(clip(x, k))", "sign(x)", _UNDERFLOW, _NAN)),
    _shorter(Rule("sign(tanh(x))", "sign(x)")),
    _shorter(Rule("sign(arctan(x))", "sign(x)")),
    _shorter(Rule("sign(arcsinh(x))", "sign(x)")),
    _shorter(Rule("sign(sinh(x))", "sign(x)")),
    _shorter(Rule("x * sign(x)", "abs(x)")),
    _shorter(Rule("abs(x) * sign(x)", "x")),
    # What a normalisation ignores: positive factors.
    _shorter(_real("cosine_sim(x * k, y)", "cosine_sim(x, y)", *_ANY)),
    _shorter(_nearly("x * k / norm(x * k)", "x / norm(x)", _UNDERFLOW, _NAN)),
    # Bounds that hold already.
    _shorter(Rule("abs(n)", "n")),
    _shorter(Rule("max(n, 0.0)", "n")),
    _shorter(Rule("min(sign(x), 1.0)", "sign(x)")),
    _shorter(Rule("max(sign(x), -1.0)", "sign(x)")),
    _shorter(Rule("min(tanh(x), 1.0)", "tanh(x)")),
    _shorter(Rule("max(tanh(x), -1.0)", "tanh(x)")),
    _shorter(Rule("max(min(max(x, c), d), c)", "min(max(x, c), d)"), Given.ASCENDING),
    _shorter(Rule("min(max(min(x, d), c), d)", "max(min(x, d), c)"), Given.ASCENDING),
    _shorter(_real("clip(clip(x, k), k)", "clip(x, k)", _NAN)),
    _shorter(Rule("where(k, x, y)", "x")),
    _shorter(Rule("where(0.0, x, y)", "y")),
    _shorter(Rule("where(x, y, y)", "y")),
    _shorter(_real("exp(log(x))", "abs(x)", _OVERFLOW)),  # logarithms are of |x|
    # Quotients that cancel.
    _shorter(_nearly("x * y / y", "x", _OVERFLOW, _UNDERFLOW, _NAN)),
    _shorter(_nearly("x / y * y", "x", _OVERFLOW, _UNDERFLOW, _NAN)),
    _shorter(_nearly("x * y / abs(x)", "sign(x) * y", _OVERFLOW, _UNDERFLOW, _NAN)),
)
KEY_RULES = tuple(rule for rule in RULES if rule.decides_keys)
