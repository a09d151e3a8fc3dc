"""The algebra of the language: rewrite rules as data, one a line.

Every rule makes an expression smaller (fewer calls; or as many, with fewer variables or else fewer arguments; nothing
counted as shared), so rewriting ends.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from programs.dataflow import INPUT, NUMBER, Graph, GraphBuilder, fold, from_program, renumbered
from programs.functions import FUNCTIONS
from programs.parsing import parse


class Holds(enum.Enum):
    """Where the two sides of a rule are equal, under the protected semantics."""

    ALWAYS = "for all floats up to rounding; only such rules decide a key"
    EXACTLY = "in real arithmetic, not where a float overflows, underflows or is no number"
    NEARLY = "up to the 1e-8 that division adds"


@dataclass(frozen=True)
class Rule:
    """``pattern`` may be replaced by ``replacement``; x and y stand for any value, a for any scalar."""

    pattern: str
    replacement: str
    holds: Holds = Holds.ALWAYS

    @property
    def exact(self) -> bool:
        """Whether both sides are equal in real arithmetic."""
        return self.holds is not Holds.NEARLY

    def __str__(self) -> str:
        """Give the rule as people write it."""
        return f"{self.pattern} -> {self.replacement}"


RULES = (
    Rule("x * 1.0", "x"),
    Rule("x + 0.0", "x"),
    Rule("x - 0.0", "x"),
    Rule("x * 0.0", "0.0", Holds.EXACTLY),
    Rule("x - x", "0.0", Holds.EXACTLY),
    Rule("0.0 / x", "0.0", Holds.EXACTLY),
    Rule("x + x", "x * 2.0"),
    Rule("x * x", "square(x)"),
    Rule("negative(negative(x))", "x"),
    Rule("negative(x) + negative(y)", "negative(x + y)"),  # before the next, which could take either for its y
    Rule("x + negative(y)", "x - y"),
    Rule("x - negative(y)", "x + y"),
    Rule("negative(x) * negative(y)", "x * y"),
    Rule("0.0 - x", "negative(x)"),
    Rule("reciprocal(reciprocal(x))", "x"),
    Rule("power(x, 0.0)", "1.0"),
    Rule("power(x, 1.0)", "x"),
    Rule("power(x, 2.0)", "square(x)"),
    Rule("max(x, x)", "x"),
    Rule("min(x, x)", "x"),
    Rule("max(x, min(x, y))", "x", Holds.EXACTLY),  # absorption
    Rule("min(x, max(x, y))", "x", Holds.EXACTLY),
    Rule("interp(x, x, a)", "x"),  # (1 - a) x + a x = x
    Rule("interp(x, y, 0.0)", "x", Holds.EXACTLY),
    Rule("interp(x, y, 1.0)", "y", Holds.EXACTLY),
    Rule("abs(abs(x))", "abs(x)"),
    Rule("abs(square(x))", "square(x)"),
    Rule("abs(negative(x))", "abs(x)"),
    Rule("abs(sqrt(x))", "sqrt(x)"),
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
    Rule("cube(cbrt(x))", "x"),
    Rule("sign(sign(x))", "sign(x)"),
    Rule("sign(cube(x))", "sign(x)", Holds.EXACTLY),
    Rule("sign(cbrt(x))", "sign(x)"),
    Rule("cos(abs(x))", "cos(x)"),  # even functions
    Rule("cos(negative(x))", "cos(x)"),
    Rule("cosh(abs(x))", "cosh(x)"),
    Rule("cosh(negative(x))", "cosh(x)"),
    Rule("norm(abs(x))", "norm(x)"),
    Rule("norm(negative(x))", "norm(x)"),
    Rule("global_norm(abs(x))", "global_norm(x)"),
    Rule("global_norm(negative(x))", "global_norm(x)"),
    Rule("x / 1.0", "x", Holds.NEARLY),
    Rule("x / abs(x)", "sign(x)", Holds.NEARLY),
    Rule("abs(x) / x", "sign(x)", Holds.NEARLY),
    Rule("square(x) / x", "x", Holds.NEARLY),
)
KEY_RULES = tuple(rule for rule in RULES if rule.holds is Holds.ALWAYS)


@cache
def _side(text: str) -> Graph:
    """Read one side of a rule; its variables are state variables to the parser, which makes them scalars."""
    return from_program(parse(f"def train(x, y, a):\n    side = {text}\n    return side, x, y, a\n"))


@cache
def _rules_by_function(rules: tuple[Rule, ...]) -> dict[str, tuple[Rule, ...]]:
    table: dict[str, tuple[Rule, ...]] = {}
    for rule in rules:
        side = _side(rule.pattern)
        root = side.nodes[side.update][0]
        table[root] = (*table.get(root, ()), rule)
    return table


def _match(
    side: Graph, wanted: int, builder: GraphBuilder, place: int, bound: dict[str, int]
) -> Iterator[dict[str, int]]:
    """Find the ways in which the pattern's node ``wanted`` fits the value at ``place``."""
    pattern, node = side.nodes[wanted], builder.nodes[place]
    if pattern[0] == INPUT:
        if bound.get(pattern[1], place) == place:
            yield bound | {pattern[1]: place}
    elif pattern[0] == NUMBER:
        if node == pattern:
            yield bound
    elif pattern[0] == node[0]:
        orders = [node[1:]]
        if FUNCTIONS[node[0]].commutative:
            orders.append(node[:0:-1])
        for order in orders:
            yield from _match_all(side, pattern[1:], builder, order, bound)


def _match_all(
    side: Graph,
    wanted: tuple[int, ...],
    builder: GraphBuilder,
    places: tuple[int, ...],
    bound: dict[str, int],
) -> Iterator[dict[str, int]]:
    if not wanted:
        yield bound
        return
    for extended in _match(side, wanted[0], builder, places[0], bound):
        yield from _match_all(side, wanted[1:], builder, places[1:], extended)


def simplify_node(
    builder: GraphBuilder, node: tuple, hint: str, rules: tuple[Rule, ...], folding: bool
) -> tuple[int, bool]:
    """Add a node, or what the first rule that applies makes of it.

    Where there are functions of whole arrays, which can tell kinds apart, a rule must leave the kind of the value.

    Args:
        builder: where to add.
        node: what to add; its arguments are places in the builder.
        hint: a name for the value.
        rules: the rules to try, in this order.
        folding: whether a call on numbers becomes its value.

    Returns:
        The value's place, and whether anything was applied.
    """
    if folding and node[0] in FUNCTIONS and all(builder.nodes[place][0] == NUMBER for place in node[1:]):
        value = fold(node[0], tuple(builder.nodes[place][1] for place in node[1:]))
        if value is not None:
            return builder.add((NUMBER, value)), True
    place = builder.add(node, hint)
    for rule in _rules_by_function(rules).get(node[0], ()):
        side = _side(rule.pattern)
        for bound in _match(side, side.update, builder, place, {}):
            result = _construct(builder, _side(rule.replacement), bound, hint)
            if not builder.kinds_matter or builder.kinds[result] is builder.kinds[place]:
                return result, True
    return place, False


def _construct(builder: GraphBuilder, side: Graph, bound: dict[str, int], hint: str) -> int:
    moved: dict[int, int] = {}
    for index, node in enumerate(side.nodes):
        if node[0] == INPUT:
            moved[index] = bound[node[1]]
        else:
            moved[index] = builder.add(renumbered(node, moved), hint)
    return moved[side.update]
