"""The structure of a program's values: sums, products, and the paths by which an input enters."""

import math
from collections.abc import Iterable, Set
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from programs.dataflow import Call, Graph, GraphBuilder, Input, Node, Number
from programs.functions import FUNCTIONS
from programs.kinds import SCALAR, Kind

NEAR = 1e-6  # relative: numbers this close count as equal, since programs round theirs to 32 bits
_LATE = 999983.0  # a late step, at which nothing special to the first steps, or to every k-th one, happens
_MOST_PATHS = 256


@dataclass(frozen=True)
class Product:
    """A number times the values ``tops``, divided by the values ``bottoms``."""

    number: float
    tops: tuple[int, ...]
    bottoms: tuple[int, ...]


@dataclass(frozen=True)
class Anatomy:
    """A program's graph, with what its values depend on and how they are composed.

    Places are those of the graph's nodes. ``where`` counts as the branch that it takes late in a training, if that
    depends on the step alone.
    """

    graph: Graph

    @cached_property
    def kinds(self) -> tuple[Kind, ...]:
        """The kind of every value."""
        builder = GraphBuilder(self.graph.state_kinds)
        for node in self.graph.nodes:
            builder.add(node)
        return tuple(builder.kinds)

    @cached_property
    def inputs(self) -> tuple[frozenset[str], ...]:
        """The inputs and state variables that every value depends on within the step."""
        found: list[frozenset[str]] = []
        for node in self.graph.nodes:
            if isinstance(node, Input):
                found.append(frozenset({node.name}))
            else:
                found.append(frozenset().union(*(found[place] for place in node.arguments)))
        return tuple(found)

    @cached_property
    def calls(self) -> tuple[tuple[int, str, tuple[int, ...]], ...]:
        """Every call: its place, the function, the places of its arguments."""
        calls = [(place, node) for place, node in enumerate(self.graph.nodes) if isinstance(node, Call)]
        return tuple((place, node.function, node.arguments) for place, node in calls)

    @cached_property
    def products(self) -> dict[int, Product]:
        """Every product and quotient, by its place."""
        return {place: self.product(place) for place, head, _ in self.calls if head in ("multiply", "divide")}

    @cached_property
    def next_of(self) -> dict[int, str]:
        """By place of a value, the state variable whose next value it is."""
        return {place: name for name, place in self.graph.state.items() if self.function(place)}

    @cached_property
    def late(self) -> tuple[float | None, ...]:
        """For every value that depends on the step alone, its value late in a training; None for the others."""
        found: list[float | None] = []
        with np.errstate(all="ignore"):
            for node, inputs, kind in zip(self.graph.nodes, self.inputs, self.kinds, strict=True):
                found.append(_late(node, kind, [found[place] for place in node.arguments]) if inputs <= {"t"} else None)
        return tuple(found)

    def function(self, place: int) -> str:
        """Return the function that a value is a call of; empty for an input and a number."""
        return self.graph.nodes[place].function

    def arguments(self, place: int) -> tuple[int, ...]:
        """Return the places of a value's arguments; none for an input and a number."""
        return self.graph.nodes[place].arguments

    def number(self, place: int) -> float | None:
        """Return the number that a value is; None if it is not a number."""
        node = self.graph.nodes[place]
        return node.value if isinstance(node, Number) else None

    def input(self, place: int) -> str:
        """Return the name of the input or state variable that a value is; empty if it is neither."""
        node = self.graph.nodes[place]
        return node.name if isinstance(node, Input) else ""

    def place_of(self, name: str) -> int:
        """Return the place of an input or state variable; -1 if it is not read."""
        node = Input(name)
        return self.graph.nodes.index(node) if node in self.graph.nodes else -1

    def is_input(self, place: int, name: str) -> bool:
        """Return whether a value is this input or state variable."""
        return self.graph.nodes[place] == Input(name)

    def depends_on_gradient(self, place: int) -> bool:
        """Return whether a value depends on this step's gradient."""
        return "g" in self.inputs[place]

    def one_less_power(self, place: int) -> tuple[int, int] | None:
        """Return the places of b and t if a value is 1 - power(b, t); None if it is not."""
        if self.function(place) != "subtract":
            return None
        one, power = self.arguments(place)
        if self.number(one) != 1.0 or self.function(power) != "power":
            return None
        base, exponent = self.arguments(power)
        return base, exponent

    def usual(self, place: int) -> int:
        """Follow choices by the step to the branch that they take late in a training, and return its place."""
        while self.function(place) == "where":
            condition, one, other = self.arguments(place)
            if self.late[condition] is None:
                break
            place = one if self.late[condition] else other
        return place

    def core(self, place: int) -> int:
        """Return the core of a value, without numbers, factors of the step, bounds by numbers and added scalars."""
        place = self.usual(place)
        while place not in self.next_of:
            head, rest = self.function(place), self.arguments(place)
            if head not in ("add", "max", "multiply", "min", "divide"):
                break
            smaller = [self.kinds[argument] is SCALAR and head == "add" for argument in rest]
            plain = smaller if sum(smaller) == 1 else [self.late[argument] is not None for argument in rest]
            if head != "divide" and sum(plain) == 1:
                place = self.usual(rest[plain.index(False)])
            elif head == "divide" and plain == [False, True]:
                place = self.usual(rest[0])
            else:
                break
        return place

    def terms(self, place: int, of: str | None = None, closed: Set[int] = frozenset()) -> dict[int, float]:
        """Read a value as a sum of numbers times values.

        Args:
            place: The place of the value.
            of: If given, values that do not depend on this state variable are not looked into; otherwise, the next
                values of state variables are not, except for the value itself.
            closed: Further values that are not looked into, except for the value itself.

        Returns:
            The factor of every value by its place. Factors that only depend on the step count as 1; with ``of``, the
            products that contain them are not looked into. In a very long sum, some parts are not looked into.
        """

        def is_whole(at: int) -> bool:
            return of not in self.inputs[at] if of else at != place and (at in self.next_of or at in closed)

        parts: dict[int, list[tuple[int, float]]] = {}
        waiting = [place]
        while waiting:
            at = waiting.pop()
            if at not in parts:
                few = len(parts) < _MOST_PATHS
                parts[at] = [] if is_whole(at) or not few else self._parts(at, every_step=of is not None)
                waiting += [part for part, _ in parts[at]]
        known: dict[int, dict[int, float]] = {}
        for at in sorted(parts):
            found: dict[int, float] = {}
            for part, factor in parts[at]:
                for atom, own in known[part].items():
                    found[atom] = found.get(atom, 0.0) + factor * own
            known[at] = found if parts[at] and all(map(math.isfinite, found.values())) else {at: 1.0}
        return {atom: factor for atom, factor in known[place].items() if factor}

    def _parts(self, place: int, every_step: bool) -> list[tuple[int, float]]:
        """Read a value as a sum of numbers times other values; empty if it is not such a sum."""
        head, rest = self.function(place), self.arguments(place)
        numbers = [self.late[argument] for argument in rest]
        parts: list[tuple[int, float]] = []
        if head == "where" and numbers[0] is not None:
            parts = [(self.usual(place), 1.0)]
        elif head == "negative":
            parts = [(rest[0], -1.0)]
        elif head in ("add", "subtract"):
            parts = [(rest[0], 1.0), (rest[1], 1.0 if head == "add" else -1.0)]
        elif head == "interp" and (weight := self.number(rest[2])) is not None:
            parts = [(rest[0], 1.0 - weight), (rest[1], weight)]
        elif head in ("multiply", "divide"):
            for one, other in ((0, 1), (1, 0)) if head == "multiply" else ((0, 1),):
                varies = every_step and self.inputs[rest[other]]
                if numbers[other] is not None and numbers[one] is None and not varies:
                    factor = self._factor(rest[other])
                    parts = [(rest[one], factor if head == "multiply" else 1.0 / factor if factor else 0.0)]
        return parts

    def _factor(self, place: int) -> float:
        return 1.0 if self.inputs[place] else self.late[place] or 0.0

    def product(self, place: int) -> Product:
        """Read a value as a product of powers: a number times values, divided by other values."""
        number, tops, bottoms = 1.0, [], []
        waiting = [(place, True)]
        for _ in range(_MOST_PATHS):
            if not waiting:
                break
            place, on_top = waiting.pop()
            place = self.usual(place)
            head, rest = self.function(place), self.arguments(place)
            if own := self.number(place):
                number = number * own if on_top else number / own
            elif head == "negative":
                number = -number
                waiting.append((rest[0], on_top))
            elif head == "multiply":
                waiting += [(argument, on_top) for argument in rest]
            elif head == "divide":
                waiting += [(rest[0], on_top), (rest[1], not on_top)]
            elif head == "reciprocal":
                waiting.append((rest[0], not on_top))
            elif head == "square":
                waiting += [(rest[0], on_top)] * 2
            else:
                (tops if on_top else bottoms).append(place)
        tops += [place for place, on_top in waiting if on_top]
        bottoms += [place for place, on_top in waiting if not on_top]
        return Product(number, tuple(tops), tuple(bottoms))

    def powers(self, place: int) -> frozenset[tuple[int, int, bool]]:
        """Read a value as a product of powers, looking into roots and past bounds that depend on the step alone.

        Returns:
            The place of each factor, the sign of its exponent, and whether it is under a root.
        """
        found = set()
        waiting = [(place, 1, False)]
        for _ in range(_MOST_PATHS):
            if not waiting:
                break
            at, sign, rooted = waiting.pop()
            product = self.product(at)
            for side, factors in ((sign, product.tops), (-sign, product.bottoms)):
                for factor in set(factors):
                    found.add((factor, side, rooted))
                    root = self.function(factor) in ("sqrt", "cbrt")
                    inner = self.arguments(factor)[0] if root else self._without_bound(factor)
                    if inner != factor:
                        waiting.append((inner, side, rooted or root))
        return frozenset(found)

    def _without_bound(self, place: int) -> int:
        """Return a value without a bound or summand that depends on the step alone; the value itself if none."""
        if self.function(place) in ("max", "min", "add"):
            open_sides = [argument for argument in self.arguments(place) if self.late[argument] is None]
            if len(open_sides) == 1:
                return self.usual(open_sides[0])
        return place

    def paths(self, name: str, barred: Set[int]) -> list[tuple[float, tuple[int, ...]]]:
        """Find the paths by which an input enters the update linearly: a number and the other factors of each path.

        Args:
            name: The name of the input or state variable.
            barred: The values that a path may not pass through; the input itself is always allowed.
        """
        end, found = self.place_of(name), []
        waiting: list[tuple[int, float, tuple[int, ...]]] = [(self.graph.update, 1.0, ())]
        for _ in range(_MOST_PATHS):
            if not waiting:
                break
            place, number, factors = waiting.pop()
            place = self.usual(place)
            if place == end:
                found.append((number, factors))
                continue
            if place in barred or name not in self.inputs[place]:
                continue
            head, rest = self.function(place), self.arguments(place)
            if head in ("add", "subtract"):
                waiting += [(rest[0], number, factors), (rest[1], number if head == "add" else -number, factors)]
            elif head == "negative":
                waiting.append((rest[0], -number, factors))
            elif head == "multiply":
                waiting += [(rest[0], *self._times(number, factors, rest[1]))]
                waiting += [(rest[1], *self._times(number, factors, rest[0]))] * (rest[0] != rest[1])
            elif head == "divide":
                if divisor := self.number(rest[1]):
                    waiting.append((rest[0], number / divisor, factors))
            elif head == "interp" and (weight := self.number(rest[2])) is not None:
                waiting += [(rest[0], number * (1.0 - weight), factors), (rest[1], number * weight, factors)]
        return found

    def _times(self, number: float, factors: tuple[int, ...], place: int) -> tuple[float, tuple[int, ...]]:
        product = self.product(place)
        if product.bottoms:
            return number, (*factors, place)
        return number * product.number, (*factors, *product.tops)

    def reached(self, without: Iterable[int]) -> frozenset[int]:
        """Find the values on which the update and the state depend other than through the values ``without``."""
        closed = set(without)
        found: set[int] = set()
        waiting = [self.graph.update, *(place for place in self.graph.state.values() if place not in closed)]
        while waiting:
            place = waiting.pop()
            if place not in found and place not in closed:
                found.add(place)
                waiting.extend(self.arguments(place))
        return frozenset(found)


def _late(node: Node, kind: Kind, arguments: list[float | None]) -> float | None:
    """Return the value, late in a training, of a node that depends on the step alone; None if it is not known."""
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Input):
        return _LATE
    row = FUNCTIONS[node.function]
    if kind is not SCALAR or not row.elementwise or None in arguments:
        return None
    return float(row.body(np, *map(np.float64, arguments)))  # type: ignore[arg-type]
