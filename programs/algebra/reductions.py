"""Smaller programs that training may show to be as good: one value replaced by another, or one number rounded."""

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from graphlib import TopologicalSorter

from programs.algebra.derivation import Proof, Step
from programs.algebra.keys import key
from programs.algebra.simplification import proved, simplify
from programs.algebra.tidying import tidy
from programs.checking import check
from programs.dataflow import Call, Graph, GraphBuilder, Input, Node, Number, from_program
from programs.from_graph import to_program
from programs.program import Program, ProgramError, with_argument

_NUMBERS = (0.0, 1.0)  # that a value may be replaced by
_MOST_DIGITS = 6  # that a rounded number keeps
_INPUTS = {"w": "the weights", "g": "the gradient", "lr": "the rate", "t": "the step's number"}
_KEPT_INPUTS = frozenset({"g", "lr"})  # training at one rate cannot show what the rate is for: the user sets it


@dataclass(frozen=True)
class Reduction:
    """A program with one value replaced, or one number rounded.

    Attributes:
        statement: The statement, as text, whose value is replaced.
        replacement: What replaces it, as text.
        replaced: The program after the replacement.
        rules: The steps by rules that follow, with the proofs that the rules promise.
    """

    statement: str
    replacement: str
    replaced: Program
    rules: tuple[Step, ...]

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The replacement, then the steps by rules that follow, each with the proof that the probes confirm.

        A step by rules that changes the updates on the probes too much counts as measured: only training can judge it.
        """
        steps = [Step(f"{self.statement} -> {self.replacement}", Proof.MEASURED, self.replaced)]
        for step in self.rules:
            steps.append(proved(steps[-1].program, step) or replace(step, proof=Proof.MEASURED))
        return tuple(steps)

    @property
    def program(self) -> Program:
        """The smaller program: the last step's."""
        return self.rules[-1].program if self.rules else self.replaced


def size(program: Program) -> tuple[int, int, int]:
    """Measure a program: live statements, numbers of state per weight, digits of its numbers; less is simpler."""
    facts = check(program)
    numbers = [a for s in program.statements for a in s.arguments if not isinstance(a, str)]
    return facts.statements, facts.state_slots, sum(len(repr(number)) for number in numbers)


def reductions(program: Program) -> tuple[Reduction, ...]:
    """Find the programs that are smaller by one value, the smallest first, each key once.

    A value is replaced by an argument of its call, by an argument of one of these, or by 0 or 1; a state variable's
    next value also by any value that it does not depend on and that does not depend on it. A program that no
    longer reads the gradient or the rate is left out.

    Raises:
        ProgramError: If the program is not well formed.
    """
    program = to_program(from_program(program), program.parameters)
    changed = ((said, by, to_program(graph, program.parameters)) for said, by, graph in _replacements(program))
    return _distinct(program, changed, parts=2)


def roundings(program: Program) -> tuple[Reduction, ...]:
    """Find the programs with one number rounded, the fewest digits first; near 1, the distance from 1 is rounded.

    Raises:
        ProgramError: If the program is not well formed.
    """
    return _distinct(program, _rounded_programs(program), parts=3)


def _distinct(program: Program, changed: Iterable[tuple[str, str, Program]], parts: int) -> tuple[Reduction, ...]:
    """Simplify the changed programs; return those whose size is smaller in its first ``parts`` parts, each key once."""
    found: dict[str, Reduction] = {}
    seen = {key(program)}
    for statement, replacement, other in changed:
        try:
            own = key(other)
        except ProgramError:  # a tensor in a place that takes only scalars
            continue
        if own in seen or not _reads_as_much(program, other):
            continue
        seen.add(own)
        tidied = tidy(other)
        reduced = Reduction(statement, replacement, tidied, simplify(tidied, prove=False).steps)
        if size(reduced.program)[:parts] < size(program)[:parts] and _reads_as_much(program, reduced.program):
            found.setdefault(key(reduced.program), reduced)
    found.pop(key(program), None)
    return tuple(sorted(found.values(), key=lambda reduced: size(reduced.program)))


def _reads_as_much(program: Program, other: Program) -> bool:
    """Return whether the other program still reads the gradient and the rate if the program does."""
    return check(program).inputs & _KEPT_INPUTS == check(other).inputs & _KEPT_INPUTS


def _rounded_programs(program: Program) -> Iterator[tuple[str, str, Program]]:
    """Yield every rounding of every number: its statement before and after, as text, and the changed program."""
    for index, statement in enumerate(program.statements):
        for place, number in enumerate(statement.arguments):
            for rounded in [] if isinstance(number, str) else _rounded(number):
                changed = with_argument(program, (index, place), rounded)
                yield str(statement), str(changed.statements[index]), changed


def _rounded(number: float) -> Iterator[float]:
    """Yield a number rounded to one digit, two digits and so on, if that is shorter."""
    near_one = 0.5 < number < 1.0
    for digits in range(1, _MOST_DIGITS + 1):
        distance = float(f"{1.0 - number:.{digits}g}")
        short = round(1.0 - distance, 15) if near_one else float(f"{number:.{digits}g}")
        if math.isfinite(short) and len(repr(short)) < len(repr(number)):
            yield short


def _replacements(program: Program) -> Iterator[tuple[str, str, Graph]]:
    """Yield every replacement of a value: its statement and what replaces it, as text, and the changed graph."""
    graph = from_program(program)
    calls = [place for place, node in enumerate(graph.nodes) if isinstance(node, Call)]
    statements = [statement for statement in program.statements if statement.function != "copy"]
    texts = {place: str(statement) for place, statement in zip(calls, statements, strict=True)}
    names = {
        place: _INPUTS.get(node.name, f"the old {node.name}")
        for place, node in enumerate(graph.nodes)
        if isinstance(node, Input)
    }
    names |= {place: text.partition(" = ")[2] for place, text in texts.items()}
    for place in calls:
        arguments = graph.nodes[place].arguments
        theirs = [a for argument in arguments for a in graph.nodes[argument].arguments]
        readers = set(calls) - {place}
        for other in sorted({*arguments, *theirs} & names.keys()):
            yield texts[place], names[other], _redirected(graph, place, other, readers)
        for number in _NUMBERS:
            yield texts[place], str(number), _redirected(graph, place, Number(number), readers)
    for place in graph.state.values():
        if place not in texts:
            continue
        others = set(names) - set(graph.cone([place])) - _made_from(graph, place)
        for other in sorted(others):
            yield texts[place], names[other], _redirected(graph, place, other, set(calls))


def _made_from(graph: Graph, place: int) -> set[int]:
    """Find the values that depend on a value within the step, itself included."""
    found = {place}
    for other, node in enumerate(graph.nodes):
        if not found.isdisjoint(node.arguments):
            found.add(other)
    return found


def _redirected(graph: Graph, old: int, new: int | Node, readers: Collection[int]) -> Graph:
    """Return a graph whose ``readers``, state and update read the value or number ``new`` instead of ``old``."""
    nodes, hints = [*graph.nodes], [*graph.hints]
    if not isinstance(new, int):
        nodes.append(new)
        hints.append("")
        new = len(nodes) - 1

    def seen(place: int) -> int:
        return new if place == old else place

    arguments = {}
    for place, node in enumerate(nodes):
        arguments[place] = tuple(map(seen, node.arguments)) if place in readers else node.arguments
    builder = GraphBuilder(graph.state_kinds, graph.kinds_matter)
    builder.has_leftovers = True
    moved: dict[int, int] = {}
    for place in TopologicalSorter(arguments).static_order():
        node = nodes[place]
        if arguments[place]:
            node = Call(node.function, tuple([moved[argument] for argument in arguments[place]]))
        moved[place] = builder.add(node, hints[place])
    state = {name: moved[seen(place)] for name, place in graph.state.items()}
    return builder.graph(moved[seen(graph.update)], state)
