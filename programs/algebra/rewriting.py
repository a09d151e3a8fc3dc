"""Applying rules to a graph while it is built: every value is simplified before others are computed from it."""

import itertools
from collections.abc import Iterator, Set
from dataclasses import dataclass
from functools import cache, lru_cache

from programs.algebra.folding import fold
from programs.algebra.rules import Given, Rule
from programs.algebra.signs import is_never_negative
from programs.dataflow import INPUT, NUMBER, Add, Graph, GraphBuilder, Node, cone, from_program, rebuilt, renumbered
from programs.function import SCALAR, Kind
from programs.functions import FUNCTIONS
from programs.parsing import parse

_SAME, _ANY = "the same value twice", "any values"
_VARIABLES = "xyzunarosbcdkep"
_NUMBERS = {(name,) for name in "bcdkep"}
_RATE, _STEP = (INPUT, "lr"), (INPUT, "t")
_ROUNDING = 1e-7  # of a 32-bit float near 1


@dataclass(frozen=True, eq=False)
class _ReadRule:
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


def may_fit(rule: Rule, graph: Graph) -> bool:
    """Return whether a graph has all the links, from a function to an argument's, that the rule's pattern has."""
    return _pattern_links(rule) <= _links(graph.nodes)


@lru_cache(maxsize=1)  # all rules are tried on one graph in turn
def _links(nodes: tuple[Node, ...]) -> frozenset[tuple[str, str]]:
    """Return each function paired with the head of each of its arguments, and paired with an empty name."""
    calls = [node for node in nodes if node[0] not in (INPUT, NUMBER)]
    return frozenset({(call[0], nodes[place][0]) for call in calls for place in call[1:]} | {(c[0], "") for c in calls})


@cache
def _pattern_links(rule: Rule) -> frozenset[tuple[str, str]]:
    """Return the pairs of ``_links`` that a graph must have for the rule to fit."""
    nodes = _side(rule.pattern).nodes
    made = [NUMBER if node[1:] in _NUMBERS else node[0] for node in nodes]
    calls = [node for node in nodes if node[0] not in (INPUT, NUMBER)]
    pairs = {(call[0], made[place]) for call in calls for place in call[1:] if made[place] != INPUT}
    return frozenset(pairs | {(call[0], "") for call in calls})


def rewritten(graph: Graph, rule: Rule, never_negative: Set[str]) -> Iterator[Graph]:
    """Yield the graphs that a rule produces when it is applied at one place only, for each place in turn."""
    for site in itertools.count():
        changed = rebuilt(graph, simplifier((rule,), False, never_negative, site))
        if changed == graph:
            return
        yield changed


def simplifier(
    rules: tuple[Rule, ...], folding: bool, never_negative: Set[str] = frozenset(), site: int | None = None
) -> Add:
    """Make a function that adds a value to a graph after rewriting it by rules.

    If there are functions of whole arrays, which can distinguish kinds, a rule must keep the kind of the value.

    Args:
        rules: The rules to try, in this order, until none fits.
        folding: Whether a call on numbers becomes its value.
        never_negative: The state variables that are never negative.
        site: If given, only the fitting place of this number, counted from 0, is rewritten; the function then serves
            one graph only.
    """
    triggers = _triggers(rules)
    sites = itertools.count()

    def add(builder: GraphBuilder, node: Node, hint: str) -> int:
        function = node[0]
        if function is INPUT or function is NUMBER:
            return builder.add(node, hint)
        heads = builder.heads
        by_head = triggers.get(function)
        numbers, candidates = True, ()
        for place in node[1:]:
            head = heads[place]
            if isinstance(head, str):
                numbers = False
            if by_head and head in by_head:
                candidates += by_head[head]
        if numbers and folding:
            number = fold(function, tuple(builder.nodes[place] for place in node[1:]))
            if number is not None:
                builder.has_leftovers = True
                return builder.add(number)
        place = builder.add(node, hint)
        if by_head and _SAME in by_head and len(set(node[1:])) < len(node) - 1:
            candidates += by_head[_SAME]
        if by_head and _ANY in by_head:
            candidates += by_head[_ANY]
        for rule in sorted(set(candidates), key=lambda rule: rule.order) if candidates else ():
            for bound in _match(rule.pattern, rule.pattern.update, builder, place, {}, never_negative):
                if not _may_take(rule, builder, place, bound):
                    continue
                numbers = _computed(rule, builder, bound)
                if numbers is None or (site is not None and next(sites) != site):
                    continue
                builder.has_leftovers = True
                return construct(builder, rule.replacement, bound, numbers, hint)
        return place

    def construct(
        builder: GraphBuilder, side: Graph, bound: dict[str, int], numbers: dict[int, Node], hint: str
    ) -> int:
        moved: dict[int, int] = {}
        for index, node in enumerate(side.nodes):
            if index in numbers:
                moved[index] = builder.add(numbers[index])
            else:
                moved[index] = bound[node[1]] if node[0] == INPUT else add(builder, renumbered(node, moved), hint)
        return moved[side.update]

    return add


@cache
def _triggers(rules: tuple[Rule, ...]) -> dict[str, dict[str | float, tuple[_ReadRule, ...]]]:
    """Sort rules by the function at the root and by what one of its arguments must be for the rule to fit.

    That is a function or a number; if all arguments are variables, it is the same value twice or any values.
    """
    table: dict[str, dict[str | float, tuple[_ReadRule, ...]]] = {}
    for order, rule in enumerate(rules):
        replacement = _side(rule.replacement)
        read = _ReadRule(order, _side(rule.pattern), replacement, _numeric(replacement), rule.given)
        nodes = read.pattern.nodes
        root, *arguments = nodes[read.pattern.update]
        heads = [nodes[place][1] if nodes[place][0] == NUMBER else nodes[place][0] for place in arguments]
        variables = _SAME if len(set(arguments)) < len(arguments) else _ANY
        trigger = next((head for head in heads if head != INPUT), variables)
        by_head = table.setdefault(root, {})
        by_head[trigger] = (*by_head.get(trigger, ()), read)
    return table


@cache
def _side(text: str) -> Graph:
    """Parse one side of a rule; the parser takes its variables for state variables, which makes them scalars."""
    names = ", ".join(_VARIABLES)
    return from_program(parse(f"def train({names}):\n    side = {text}\n    return side, {names}\n"))


def _numeric(side: Graph) -> frozenset[int]:
    """Find the calls of a rule's side that are on numbers alone."""
    numbers = {place for place, node in enumerate(side.nodes) if node[0] == NUMBER or node[1:] in _NUMBERS}
    calls = set()
    for place, node in enumerate(side.nodes):
        if node[0] not in (INPUT, NUMBER) and numbers.issuperset(node[1:]):
            numbers.add(place)
            calls.add(place)
    return frozenset(calls)


def _may_take(rule: _ReadRule, builder: GraphBuilder, place: int, bound: dict[str, int]) -> bool:
    """Return whether a rule that fits may be used: the value keeps its kind, and c and d are as the rule requires."""
    if builder.kinds_matter and _kind(builder, rule.replacement, bound) is not builder.kinds[place]:
        return False
    if rule.given is Given.NUMBERS:
        return True
    c, d = (builder.nodes[bound[name]][1] for name in "cd")
    if rule.given is Given.ASCENDING:
        return c <= d
    if rule.given is Given.RECIPROCALS:
        return abs(c * d - 1.0) <= _ROUNDING
    return c < d and abs(c + d - 1.0) <= _ROUNDING


def _computed(rule: _ReadRule, builder: GraphBuilder, bound: dict[str, int]) -> dict[int, Node] | None:
    """Compute the replacement's numbers by their places; None if 32-bit floats would not give the same."""
    found: dict[int, Node] = {}
    for place in sorted(rule.numeric):
        function, *arguments = rule.replacement.nodes[place]
        numbers = []
        for argument in arguments:
            node = rule.replacement.nodes[argument]
            numbers.append(found.get(argument) or (builder.nodes[bound[node[1]]] if node[0] == INPUT else node))
        number = fold(function, tuple(numbers))
        if number is None:
            return None
        found[place] = number
    return found


def _kind(builder: GraphBuilder, side: Graph, bound: dict[str, int]) -> Kind:
    """Find the kind of a side of a rule, given the values bound to its variables."""
    kinds: list[Kind] = []
    for head, *rest in side.nodes:
        if head == INPUT:
            kinds.append(builder.kinds[bound[rest[0]]])
        elif head == NUMBER:
            kinds.append(SCALAR)
        else:
            kinds.append(FUNCTIONS[head].kind(tuple(kinds[place] for place in rest)))
    return kinds[side.update]


def _match(
    side: Graph, wanted: int, builder: GraphBuilder, place: int, bound: dict[str, int], never_negative: Set[str]
) -> Iterator[dict[str, int]]:
    """Yield the ways in which the pattern's node ``wanted`` fits the value at ``place``."""
    pattern, node = side.nodes[wanted], builder.nodes[place]
    if pattern[0] == INPUT:
        variable = pattern[1]
        if bound.get(variable, place) == place and _may_be(variable, builder, place, never_negative):
            yield bound | {variable: place}
    elif pattern[0] == NUMBER:
        if node[0] == NUMBER and node[1].hex() == pattern[1].hex():  # hex distinguishes -0.0 from 0.0
            yield bound
    elif pattern[0] == node[0]:
        orders = [node[1:]]
        if FUNCTIONS[node[0]].commutative:
            orders.append(node[:0:-1])
        for order in orders:
            yield from _match_all(side, pattern[1:], builder, order, bound, never_negative)


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
        inputs = {builder.nodes[index] for index in cone(builder.nodes, [place]) if builder.heads[index] == INPUT}
        scalar = builder.kinds[place] is SCALAR if builder.kinds_matter else inputs <= {_STEP}
        return node[0] != NUMBER and _RATE not in inputs and not (variable == "o" and scalar)
    if node[0] != NUMBER:
        return False
    number = node[1]
    if variable == "p":
        return 0.0 < number < 1.0
    return number != 0.0 if variable in "bcd" else number > (0.0 if variable == "k" else 1.0)


def _is_rate(builder: GraphBuilder, place: int) -> bool:
    node = builder.nodes[place]
    if node[0] == "multiply":
        one, two = (builder.nodes[argument] for argument in node[1:])
        return (one == _RATE and two[0] == NUMBER) or (two == _RATE and one[0] == NUMBER)
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
