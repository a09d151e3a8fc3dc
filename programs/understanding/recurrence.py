"""How each state variable of a program changes from step to step, and the role that it thereby plays."""

import enum
import itertools
from collections.abc import Set
from dataclasses import dataclass
from functools import cached_property

from programs.algebra.signs import is_never_negative, never_negative_state
from programs.dataflow import Input
from programs.kinds import SCALAR
from programs.understanding.anatomy import NEAR, Anatomy


class Course(enum.Enum):
    """How a state variable s changes from step to step; x is the value it collects, d a decay between 0 and 1."""

    AVERAGE = "d s + (1 - d) x"
    MOMENTUM = "d s + c x, with c other than 1 - d"
    SUM = "s + c x"
    MAXIMUM = "the larger of d s (or s) and x"
    PREVIOUS = "x"
    FIRST = "x at the first step, then what it was"
    ADDITIVE = "s - c sign(s - x) x"
    OWN_DECAY = "s y + x (1 - y), with y a value of the program"
    PRODUCT = "s y, with y a value of the program"
    OTHER = "something else"


@dataclass(frozen=True)
class Recurrence:
    """The course of a state variable.

    Attributes:
        course: Which course it is.
        decay: What the old value is multiplied by.
        gain: What x is multiplied by.
        of: The place of x; if several values are summed or compared, of the first; None if there is none.
        others: The places of the other values, each with the number it is multiplied by.
        constant: A number that is also added.
    """

    course: Course
    decay: float = 0.0
    gain: float = 1.0
    of: int | None = None
    others: tuple[tuple[int, float], ...] = ()
    constant: float = 0.0


@dataclass(frozen=True)
class Roles:
    """The roles of a program's state variables."""

    anatomy: Anatomy

    @cached_property
    def recurrences(self) -> dict[str, Recurrence]:
        """How every live state variable changes from step to step."""
        return {name: _recurrence(self.anatomy, name) for name in self.anatomy.graph.state}

    @cached_property
    def second_moments(self) -> frozenset[str]:
        """The state variables that average, sum or bound values that are never negative: squares, magnitudes, norms."""
        collecting = {Course.AVERAGE, Course.MOMENTUM, Course.SUM, Course.MAXIMUM, Course.ADDITIVE}
        never_negative = never_negative_state(self.anatomy.graph)
        found: set[str] = set()
        for _ in self.recurrences:  # one second moment may bound another
            for name, way in self.recurrences.items():
                if way.course in collecting and way.of is not None and way.gain > 0.0:
                    of = self.anatomy.core(way.of)
                    if self.anatomy.next_of.get(of) in found or _is_square(self.anatomy, of, never_negative):
                        found.add(name)
        return frozenset(found)

    @cached_property
    def iterates(self) -> frozenset[str]:
        """The state variables that are points in the space of the weights: first weights, averages, other sequences."""
        found = set()
        nodes = self.anatomy.graph.nodes
        weights = self.anatomy.place_of("w")
        for name, place in self.anatomy.graph.state.items():
            starts = {Input("w"), Input(name)}
            for _, head, arguments in self.anatomy.calls:
                by_step = head == "where" and self.anatomy.late[arguments[0]] is not None
                if by_step and {nodes[branch] for branch in arguments[1:]} == starts:
                    found.add(name)
            if abs(self.anatomy.terms(place).get(weights, 0.0) - 1.0) <= NEAR:
                found.add(name)
        return frozenset(found)

    @cached_property
    def inside(self) -> frozenset[int]:
        """The values from which state other than iterates is computed, except those made of the weights alone."""
        anatomy = self.anatomy
        ends = [place for name, place in anatomy.graph.state.items() if name not in self.iterates]
        return frozenset(p for p in anatomy.graph.cone(ends) if not anatomy.inputs[p] <= {"w", "lr", "t"})

    @cached_property
    def momenta(self) -> frozenset[str]:
        """The state variables that average or accumulate, with a decay, values that depend on the gradient."""
        courses = {Course.AVERAGE, Course.MOMENTUM, Course.OWN_DECAY}
        return frozenset(
            name
            for name, way in self.recurrences.items()
            if way.course in courses
            and way.of is not None
            and name not in self.second_moments | self.iterates
            and self.anatomy.kinds[self.anatomy.graph.state[name]] is not SCALAR
            and self.anatomy.depends_on_gradient(way.of)
        )

    @cached_property
    def collected(self) -> frozenset[int]:
        """The places of the gradient and of the values that the momenta collect."""
        places = {self.recurrences[name].of for name in self.momenta} | {self.anatomy.place_of("g")}
        return frozenset(place for place in places if place is not None)


def _is_square(anatomy: Anatomy, place: int, never_negative: Set[str]) -> bool:
    """Return whether a value depends on the gradient and is never negative, apart from the sign of scalar factors."""
    nodes = anatomy.graph.nodes
    if not anatomy.depends_on_gradient(place):
        return False
    if is_never_negative(nodes, place, never_negative) or (
        anatomy.function(place) == "dot" and len(set(anatomy.arguments(place))) == 1
    ):
        return True
    product = anatomy.product(place)
    odd = {top for top in product.tops if anatomy.kinds[top] is not SCALAR and product.tops.count(top) % 2}
    signed = {top for top in odd if not is_never_negative(nodes, top, never_negative)}
    return product.number > 0.0 and not signed and len(product.tops) > 1 and not product.bottoms


def _recurrence(anatomy: Anatomy, name: str) -> Recurrence:
    """Find how a state variable changes from step to step."""
    graph = anatomy.graph
    old, place = anatomy.place_of(name), anatomy.usual(graph.state[name])
    if name not in anatomy.inputs[graph.state[name]]:
        return Recurrence(Course.PREVIOUS, of=graph.state[name])
    if place == old:
        branches = [argument for argument in anatomy.arguments(graph.state[name])[1:] if argument != old]
        return Recurrence(Course.FIRST, decay=1.0, of=branches[0] if branches else None)
    terms = anatomy.terms(place, name)
    decay = terms.pop(old, 0.0)
    numbers = {atom: number for atom in terms if (number := anatomy.number(atom)) is not None}
    constant = sum(terms.pop(atom) * number for atom, number in numbers.items())
    if decay and terms:
        (of, gain), *others = terms.items()
        if not others and abs(decay - 1.0) <= NEAR and (squares := _additive(anatomy, old, of, gain)) is not None:
            return Recurrence(Course.ADDITIVE, decay, abs(gain), squares)
        if 0.0 < decay < 1.0 and abs(decay + sum(terms.values()) - 1.0) <= NEAR:
            return Recurrence(Course.AVERAGE, decay, gain, of, tuple(others), constant)
        if 0.0 < decay < 1.0:
            return Recurrence(Course.MOMENTUM, decay, gain, of, tuple(others), constant)
        if abs(decay - 1.0) <= NEAR:
            return Recurrence(Course.SUM, 1.0, gain, of, tuple(others), constant)
    return _maximum(anatomy, old, place) or _scaled(anatomy, old, place) or Recurrence(Course.OTHER)


def _additive(anatomy: Anatomy, old: int, of: int, gain: float) -> int | None:
    """Find x in sign(s - x) x."""
    product = anatomy.product(of)
    if gain * product.number < 0.0 and not product.bottoms:
        for sign in product.tops:
            for difference in anatomy.arguments(sign) if anatomy.function(sign) == "sign" else ():
                if anatomy.function(difference) == "subtract" and anatomy.arguments(difference)[0] == old:
                    return anatomy.arguments(difference)[1]
    return None


def _maximum(anatomy: Anatomy, old: int, place: int) -> Recurrence | None:
    """Read a value as the larger of the old value, with or without a decay, and another; None if it is not."""
    waiting, others, decay = [place], [], None
    while waiting:
        at = anatomy.usual(waiting.pop())
        if anatomy.function(at) == "max":
            waiting += anatomy.arguments(at)
        elif set(terms := anatomy.terms(at)) == {old}:
            decay = terms[old]
        elif anatomy.number(at) is None:
            others.append(at)
    if anatomy.function(place) != "max" or decay is None or not 0.0 < decay <= 1.0 or not others:
        return None
    first, *rest = sorted(others)
    return Recurrence(Course.MAXIMUM, decay, of=first, others=tuple((place, 1.0) for place in rest))


def _scaled(anatomy: Anatomy, old: int, place: int) -> Recurrence | None:
    """Read a value as the old value times y, or as that plus (1 - y) times a new value; None if it is neither."""

    def of_old(at: int) -> int | None:
        sides = anatomy.arguments(at) if anatomy.function(at) == "multiply" else ()
        kept = [side for side in sides if anatomy.usual(side) != old]
        return kept[0] if len(sides) == 2 and len(kept) == 1 else None

    if of_old(place) is not None:
        return Recurrence(Course.PRODUCT, of=of_old(place))
    if anatomy.function(place) == "add":
        for one, other in itertools.permutations(anatomy.arguments(place)):
            decay = of_old(one)
            if decay is None or anatomy.function(other) != "multiply":
                continue
            for rest, new in itertools.permutations(anatomy.arguments(other)):
                if anatomy.function(rest) == "subtract":
                    whole, part = anatomy.arguments(rest)
                    if part == decay and anatomy.late[whole] == 1.0:
                        return Recurrence(Course.OWN_DECAY, of=new)
    return None
