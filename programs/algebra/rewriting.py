"""Applying rules to a graph while it is built: every value is simplified before others are computed from it."""

import itertools
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from programs.algebra.folding import fold
from programs.algebra.rules import Given, Rule
from programs.algebra.signs import is_never_negative
from programs.dataflow import (
    INPUT,
    Add,
    Call,
    Graph,
    GraphBuilder,
    Input,
    Node,
    Number,
    from_program,
    renumbered,
)
from programs.functions import FUNCTIONS
from programs.kinds import SCALAR, Kind
from programs.parsing import parse

_SAME, _ANY = "the same value twice", "any values"
_VARIABLES = "xyzunarosbcdkep"
RULE_NUMBERS = {Input(name) for name in "bcdkep"}
_RATE = Input("lr")
_ROUNDING = 1e-15  # of a few operations on 64-bit floats near 1
_NARROW_ROUNDING = 1e-7  # of a 32-bit float near 1


class Site(NamedTuple):
    """A place of a graph at which a rule fits.

    Attributes:
        place: The place of the fitting value.
        bound: The places of the values that the rule's variables stand for.
        numbers: The numbers that the replacement computes, by their places in the replacement.
    """

    place: int
    bound: dict[str, int]
    numbers: dict[int, Number]


@dataclass(frozen=True, eq=False)
class ReadRule:
    """A rule whose sides are graphs.

    Attributes:
        order: Its place among the rules it is used with.
        pattern: What it fits.
        replacement: What replaces the pattern.
        numeric: The places in the replacement that are computed from numbers alone.
        given: What must hold for its numbers c and d.
    """

    order: int
    pattern: Graph
    replacement: Graph
    numeric: frozenset[int]
    given: Given


def simplifier(
    rules: tuple[Rule, ...], folding: bool, never_negative: Set[str] = frozenset(), only: int | None = None
) -> Add:
    """Make a function that adds a value to a graph after rewriting it by rules.

    If there are functions of whole arrays, which can distinguish kinds, a rule must keep the kind of the value.

    Args:
        rules: The rules to try, in this order, until none fits.
        folding: Whether a call on numbers becomes its value.
        never_negative: The state variables that are never negative.
        only: If given, only the fitting place of this number, counted from 0, is rewritten; the function then serves
            one graph only.
    """
    triggers = triggers_of(rules)
    count = itertools.count()

    def add(builder: GraphBuilder, node: Node, hint: str) -> int:
        if type(node) is not Call:
            return builder.add(node, hint)
        for place in node.arguments if folding else ():
            if type(builder.heads[place]) is str:
                break
        else:
            number = fold(node.function, [builder.nodes[place] for place in node.arguments]) if folding else None  # type: ignore[misc]
            if number is not None:
                builder.has_leftovers = True
                return builder.add(number)
        place = builder.add(node, hint)
        by_head = triggers.get(node.function)
        for rule in candidates(by_head, builder.heads, node.arguments) if by_head else ():
            for site in fitting(rule, builder, place, never_negative):
                if only is None or next(count) == only:
                    builder.has_leftovers = True
                    return construct(builder, rule.replacement, site.bound, site.numbers, hint)
        return place

    def construct(
        builder: GraphBuilder, side: Graph, bound: dict[str, int], numbers: dict[int, Number], hint: str
    ) -> int:
        moved: dict[int, int] = {}
        for index, node in enumerate(side.nodes):
            if index in numbers:
                moved[index] = builder.add(numbers[index])
            else:
                moved[index] = (
                    bound[node.name] if isinstance(node, Input) else add(builder, renumbered(node, moved), hint)
                )
        return moved[side.update]

    return add


_ByHead = dict[str | float, tuple[ReadRule, ...]]


def candidates(by_head: _ByHead, heads: Sequence[str | float], arguments: tuple[int, ...]) -> Sequence[ReadRule]:
    """Return the rules that may fit a call, given the rules of its function by argument head, in their order."""
    found: tuple[ReadRule, ...] = by_head.get(_ANY, ())
    for place in arguments:
        head = heads[place]
        if head in by_head:
            found += by_head[head]
    if _SAME in by_head and len(set(arguments)) < len(arguments):
        found += by_head[_SAME]
    return sorted(set(found), key=lambda rule: rule.order) if len(found) > 1 else found


def fitting(rule: ReadRule, builder: GraphBuilder, place: int, never_negative: Set[str]) -> Iterator[Site]:
    """Yield the ways in which a rule fits at a place and may be taken."""
    for bound in _match(rule.pattern, rule.pattern.update, builder, place, {}, never_negative):
        if _may_take(rule, builder, place, bound) and (numbers := _computed(rule, builder, bound)) is not None:
            yield Site(place, bound, numbers)


@cache
def triggers_of(rules: tuple[Rule, ...]) -> dict[str, _ByHead]:
    """Sort rules by the function at the root and by what one of its arguments must be for the rule to fit.

    That is a function or a number; if all arguments are variables, it is the same value twice or any values.
    """
    table: dict[str, _ByHead] = {}
    for order, rule in enumerate(rules):
        replacement = side_of(rule.replacement)
        read = ReadRule(order, side_of(rule.pattern), replacement, _numeric(replacement), rule.given)
        nodes = read.pattern.nodes
        root, arguments = nodes[read.pattern.update].function, nodes[read.pattern.update].arguments
        heads = [_head(nodes[place]) for place in arguments]
        variables = _SAME if len(set(arguments)) < len(arguments) else _ANY
        trigger = next((head for head in heads if head != INPUT), variables)
        by_head = table.setdefault(root, {})
        by_head[trigger] = (*by_head.get(trigger, ()), read)
    return table


def _head(node: Node) -> str | float:
    return INPUT if isinstance(node, Input) else node.value if isinstance(node, Number) else node.function


@cache
def side_of(text: str) -> Graph:
    """Parse one side of a rule; the parser takes its variables for state variables, which makes them scalars."""
    names = ", ".join(_VARIABLES)
    return from_program(parse(f"def train({names}):\n    side = {text}\n    return side, {names}\n"))


def _numeric(side: Graph) -> frozenset[int]:
    """Find the calls of a rule's side that are on numbers alone."""
    numbers = {place for place, node in enumerate(side.nodes) if isinstance(node, Number) or node in RULE_NUMBERS}
    calls = set()
    for place, node in enumerate(side.nodes):
        if isinstance(node, Call) and numbers.issuperset(node.arguments):
            numbers.add(place)
            calls.add(place)
    return frozenset(calls)


def _may_take(rule: ReadRule, builder: GraphBuilder, place: int, bound: dict[str, int]) -> bool:
    """Return whether a rule that fits may be used: the value keeps its kind, and c and d are as the rule requires."""
    if builder.kinds_matter and _kind(builder, rule.replacement, bound) is not builder.kinds[place]:
        return False
    if rule.given is Given.NUMBERS:
        return True
    one, two = (builder.nodes[bound[name]] for name in "cd")
    c, d = one.value, two.value  # type: ignore[union-attr]
    if rule.given is Given.ASCENDING:
        return c <= d
    if rule.given is Given.RECIPROCALS:
        return abs(c * d - 1.0) <= _ROUNDING and fold("multiply", (one, two)) is not None  # type: ignore[arg-type]
    return c < d and abs(c + d - 1.0) <= (_ROUNDING if rule.given is Given.COMPLEMENTS else _NARROW_ROUNDING)


def _computed(rule: ReadRule, builder: GraphBuilder, bound: dict[str, int]) -> dict[int, Number] | None:
    """Compute the replacement's numbers by their places; None if 32-bit floats would not give the same."""
    found: dict[int, Number] = {}
    for place in sorted(rule.numeric):
        call = rule.replacement.nodes[place]
        numbers = []
        for argument in call.arguments:
            node = rule.replacement.nodes[argument]
            numbers.append(
                found.get(argument) or (builder.nodes[bound[node.name]] if isinstance(node, Input) else node)
            )
        number = fold(call.function, numbers)  # type: ignore[arg-type]
        if number is None:
            return None
        found[place] = number
    return found


def _kind(builder: GraphBuilder, side: Graph, bound: dict[str, int]) -> Kind:
    """Find the kind of a side of a rule, given the values bound to its variables."""
    kinds: list[Kind] = []
    for node in side.nodes:
        if isinstance(node, Input):
            kinds.append(builder.kinds[bound[node.name]])
        elif isinstance(node, Number):
            kinds.append(SCALAR)
        else:
            kinds.append(FUNCTIONS[node.function].kind(tuple(kinds[place] for place in node.arguments)))
    return kinds[side.update]


def _match(
    side: Graph, wanted: int, builder: GraphBuilder, place: int, bound: dict[str, int], never_negative: Set[str]
) -> Iterator[dict[str, int]]:
    """Yield the ways in which the pattern's node ``wanted`` fits the value at ``place``."""
    pattern, node = side.nodes[wanted], builder.nodes[place]
    if isinstance(pattern, Input):
        variable = pattern.name
        if bound.get(variable, place) == place and _may_be(variable, builder, place, never_negative):
            yield bound | {variable: place}
    elif isinstance(pattern, Number):
        if isinstance(node, Number) and node.value.hex() == pattern.value.hex():  # hex distinguishes -0.0 from 0.0
            yield bound
    elif pattern.function == node.function:
        orders = [node.arguments]
        if FUNCTIONS[node.function].commutative:
            orders.append(node.arguments[::-1])
        for order in orders:
            yield from _match_all(side, pattern.arguments, builder, order, bound, never_negative)


def _may_be(variable: str, builder: GraphBuilder, place: int, never_negative: Set[str]) -> bool:
    """Return whether a rule's variable may stand for a value."""
    if variable in "xyzu":
        return True
    if variable == "a":
        return not builder.kinds_matter or builder.kinds[place] is SCALAR
    if variable == "n":
        return is_never_negative(builder.nodes, place, never_negative)
    node = builder.nodes[place]
    if variable == "r":
        return _is_rate(builder, place)
    if variable in "os":
        inputs = builder.inputs_of(place)
        scalar = builder.kinds[place] is SCALAR if builder.kinds_matter else inputs <= {"t"}
        return not isinstance(node, Number) and "lr" not in inputs and not (variable == "o" and scalar)
    if not isinstance(node, Number):
        return False
    number = node.value
    if variable == "p":
        return 0.0 < number < 1.0
    return number != 0.0 if variable in "bcd" else number > (0.0 if variable == "k" else 1.0)


def _is_rate(builder: GraphBuilder, place: int) -> bool:
    node = builder.nodes[place]
    if node.function == "multiply":
        one, two = (builder.nodes[argument] for argument in node.arguments)
        return (one == _RATE and isinstance(two, Number)) or (two == _RATE and isinstance(one, Number))
    return node == _RATE


def _match_all(
    side: Graph,
    wanted: tuple[int, ...],
    builder: GraphBuilder,
    places: tuple[int, ...],
    bound: dict[str, int],
    never_negative: Set[str],
) -> Iterator[dict[str, int]]:
    if not wanted:
        yield bound
        return
    for extended in _match(side, wanted[0], builder, places[0], bound, never_negative):
        yield from _match_all(side, wanted[1:], builder, places[1:], extended, never_negative)
