"""The structure of a program's values: sums, products, and the paths by which an input enters."""

import math
from collections.abc import Iterable, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from programs.dataflow import INPUT, NUMBER, Graph, GraphBuilder
from programs.function import SCALAR, Kind
from programs.functions import FUNCTIONS

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
            if node[0] == INPUT:
                found.append(frozenset({node[1]}))
            else:
                found.append(frozenset().union(*(found[place] for place in self.arguments(node))))
        return tuple(found)

    @cached_property
    def calls(self) -> tuple[tuple[int, str, tuple[int, ...]], ...]:
        """Every call: its place, the function, the places of its arguments."""
        return tuple((p, node[0], node[1:]) for p, node in enumerate(self.graph.nodes) if node[0] in FUNCTIONS)

    @cached_property
    def products(self) -> dict[int, Product]:
        """Every product and quotient, by its place."""
        return {place: self.product(place) for place, head, _ in self.calls if head in ("multiply", "divide")}

    @cached_property
    def next_of(self) -> dict[int, str]:
        """By place of a value, the state variable whose next value it is."""
        return {place: name for name, place in self.graph.state.items() if self.graph.nodes[place][0] in FUNCTIONS}

    @cached_property
    def late(self) -> tuple[float | None, ...]:
        """For every value that depends on the step alone, its value late in a training; None for the others."""
        found: list[float | None] = []
        with np.errstate(all="ignore"):
            for node, inputs, kind in zip(self.graph.nodes, self.inputs, self.kinds, strict=True):
                arguments = [found[place] for place in self.arguments(node)]
                if node[0] == NUMBER:
                    found.append(node[1])
                elif node[0] == INPUT:
                    found.append(_LATE if node[1] == "t" else None)
                elif inputs <= {"t"} and kind is SCALAR and FUNCTIONS[node[0]].elementwise and None not in arguments:
                    found.append(float(FUNCTIONS[node[0]].body(np, *(np.float64(x) for x in arguments))))  # type: ignore[arg-type]
                else:
                    found.append(None)
        return tuple(found)

    def arguments(self, node: tuple[Any, ...]) -> tuple[int, ...]:
        """Return the places of a node's arguments."""
        return node[1:] if node[0] in FUNCTIONS else ()

    def place_of(self, name: str) -> int:
        """Return the place of an input or state variable; -1 if it is not read."""
        node = (INPUT, name)
        return self.graph.nodes.index(node) if node in self.graph.nodes else -1

    def is_input(self, place: int, name: str) -> bool:
        """Return whether a value is this input or state variable."""
        return self.graph.nodes[place] == (INPUT, name)

    def depends_on_gradient(self, place: int) -> bool:
        """Return whether a value depends on this step's gradient."""
        return "g" in self.inputs[place]

    def usual(self, place: int) -> int:
        """Follow choices by the step to the branch that they take late in a training, and return its place."""
        node = self.graph.nodes[place]
        while node[0] == "where" and self.late[node[1]] is not None:
            place = node[2] if self.late[node[1]] else node[3]
            node = self.graph.nodes[place]
        return place

    def core(self, place: int) -> int:
        """Return the core of a value, without numbers, factors of the step, bounds by numbers and added scalars."""
        place = self.usual(place)
        while place not in self.next_of:
            head, *rest = self.graph.nodes[place]
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
            products that contain them are not looked into.
        """
        known: dict[int, dict[int, float]] = {}
        for index in self.graph.cone([place]):
            whole = (
                of not in self.inputs[index] if of else index != place and (index in self.next_of or index in closed)
            )
            known[index] = {index: 1.0} if whole else self._terms(index, known, every_step=of is not None)
        return {atom: factor for atom, factor in known[place].items() if factor}

    def _terms(self, place: int, known: dict[int, dict[int, float]], every_step: bool) -> dict[int, float]:
        head, *rest = self.graph.nodes[place]
        numbers = [self.late[argument] for argument in rest] if head in FUNCTIONS else []
        parts: list[tuple[int, float]] = []
        if head == "where" and numbers[0] is not None:
            parts = [(self.usual(place), 1.0)]
        elif head == "negative":
            parts = [(rest[0], -1.0)]
        elif head in ("add", "subtract"):
            parts = [(rest[0], 1.0), (rest[1], 1.0 if head == "add" else -1.0)]
        elif head == "interp" and self.graph.nodes[rest[2]][0] == NUMBER:
            weight = self.graph.nodes[rest[2]][1]
            parts = [(rest[0], 1.0 - weight), (rest[1], weight)]
        elif head in ("multiply", "divide"):
            for one, other in ((0, 1), (1, 0)) if head == "multiply" else ((0, 1),):
                varies = every_step and self.inputs[rest[other]]
                if numbers[other] is not None and numbers[one] is None and not varies:
                    factor = self._factor(rest[other])
                    parts = [(rest[one], factor if head == "multiply" else 1.0 / factor if factor else 0.0)]
        if not parts:
            return {place: 1.0}
        found: dict[int, float] = {}
        for part, factor in parts:
            for atom, own in known[part].items():
                found[atom] = found.get(atom, 0.0) + factor * own
        return found if all(map(math.isfinite, found.values())) else {place: 1.0}

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
            head, *rest = self.graph.nodes[place]
            if head == NUMBER and rest[0]:
                number = number * rest[0] if on_top else number / rest[0]
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
            head, *rest = self.graph.nodes[place]
            if head in ("add", "subtract"):
                waiting += [(rest[0], number, factors), (rest[1], number if head == "add" else -number, factors)]
            elif head == "negative":
                waiting.append((rest[0], -number, factors))
            elif head == "multiply":
                waiting += [(rest[0], *self._times(number, factors, rest[1]))]
                waiting += [(rest[1], *self._times(number, factors, rest[0]))] * (rest[0] != rest[1])
            elif head == "divide":
                if self.graph.nodes[rest[1]][0] == NUMBER and self.graph.nodes[rest[1]][1]:
                    waiting.append((rest[0], number / self.graph.nodes[rest[1]][1], factors))
            elif head == "interp" and self.graph.nodes[rest[2]][0] == NUMBER:
                weight = self.graph.nodes[rest[2]][1]
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
                waiting.extend(self.arguments(self.graph.nodes[place]))
        return frozenset(found)
