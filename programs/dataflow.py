"""A program as a graph of values: no names, no order, no dead code; equal expressions are one node."""

import hashlib
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, final

from programs.checking import INPUT_KINDS, check, live_statements
from programs.functions import FUNCTIONS
from programs.kinds import SCALAR, Kind
from programs.program import Program


@final
class Input(NamedTuple):
    """A node of the graph: an input of the step, or a state variable's value before the step.

    Attributes:
        name: The reserved name or the state variable.
    """

    name: str
    function = ""
    arguments = ()


@final
class Number(NamedTuple):
    """A node of the graph: a number.

    Attributes:
        value: The number in 64-bit floats.
        narrow: For a computed number, its value in 32-bit floats; else None.
    """

    value: float
    narrow: float | None = None
    function = ""
    arguments = ()


@final
class Call(NamedTuple):
    """A node of the graph: a function of other nodes.

    Attributes:
        function: The function's name; empty for nodes that are not calls.
        arguments: The places of the arguments among the graph's nodes; none for nodes that are not calls.
    """

    function: str
    arguments: tuple[int, ...]


Node = Input | Number | Call

INPUT = "input"
"""The head of an input in a builder; no function has this name."""

COMMUTATIVE = frozenset(name for name, row in FUNCTIONS.items() if row.commutative)
_OF_WHOLE_ARRAYS = frozenset(name for name, row in FUNCTIONS.items() if not row.elementwise)
_ENCODED = {name: name.encode() + b"\0" for name in FUNCTIONS}
_as_bytes = struct.Struct(">d").pack


@dataclass(frozen=True)
class Graph:
    """The live values of one step, arguments before results.

    Attributes:
        nodes: Every value, once.
        hints: For every value, the variable name that a reader would expect; not part of the meaning.
        update: The node that is the update.
        state: For every live state variable, the node that is its next value.
        state_kinds: For every live state variable, its kind.
        kinds_kept: Whether the kinds of the values were tracked when the graph was built.
    """

    nodes: tuple[Node, ...]
    hints: tuple[str, ...] = field(compare=False)
    update: int
    state: dict[str, int]
    state_kinds: dict[str, Kind]
    kinds_kept: bool = field(compare=False)

    @property
    def kinds_matter(self) -> bool:
        """Whether there are functions of whole arrays, which can distinguish a scalar from an array filled with it."""
        return any(node.function in _OF_WHOLE_ARRAYS for node in self.nodes)

    @cached_property
    def calls(self) -> int:
        """The number of calls, which is the number of statements, other than copies, of the graph's program."""
        return sum(isinstance(node, Call) for node in self.nodes)

    @cached_property
    def state_labels(self) -> dict[str, bytes]:
        """A label for every state variable, independent of its name; equal for two only if they are always equal.

        All start at zero, so two of them stay equal if their next values are the same expression of equal values:
        labels are refined until no two are the same or their number no longer grows.
        """
        kinds = self.state_kinds if self.kinds_kept else {}
        labels = {name: b"s" + bytes([kinds.get(name, 0)] * 32) for name in self.state}
        cone = self.cone(self.state.values()) if len(labels) > 1 else []
        count = 0
        while count < len(set(labels.values())) < len(labels):
            count = len(set(labels.values()))
            digests = self.digests(labels, cone)
            labels = {name: b"s" + hashlib.sha256(digests[place]).digest() for name, place in self.state.items()}
        return labels

    def cone(self, places: Iterable[int]) -> list[int]:
        """Return the nodes that those at ``places`` are computed from within the step, these included, in order."""
        return cone(self.nodes, places)

    def digests(self, labels: Mapping[str, bytes], places: Iterable[int]) -> dict[int, bytes]:
        """Hash expressions, with labels for the state variables; commutative arguments in any order.

        Args:
            labels: For every state variable 33 bytes, the first being ``s``.
            places: The nodes to hash, arguments before results.

        Returns:
            By place: bytes whose first byte determines where they end, so that joined digests remain unambiguous.
        """
        nodes = self.nodes
        digests: dict[int, bytes] = {}
        for place in places:
            node = nodes[place]
            if isinstance(node, Call):
                function, arguments = node
                parts = [digests[argument] for argument in arguments]
                if function in COMMUTATIVE:
                    parts.sort()
                digests[place] = b"d" + hashlib.sha256(_ENCODED[function] + b"".join(parts)).digest()
            elif isinstance(node, Input):
                digests[place] = labels.get(node.name) or b"i" + node.name.encode() + b"\0"
            else:
                digests[place] = b"n" + _as_bytes(node.value)
        return digests


class GraphBuilder:
    """Collects nodes; equal nodes are stored once, whatever the order of commutative arguments.

    Attributes:
        nodes: Every value so far, arguments before results.
        hints: A name for every value.
        heads: For every value the function's name, the number itself, or ``INPUT``.
        kinds: The kind of every value; empty if kinds do not matter.
        has_leftovers: Whether there may be values that nothing needs.
    """

    def __init__(self, state_kinds: Mapping[str, Kind], kinds_matter: bool = True):
        """Start an empty graph.

        Args:
            state_kinds: The kind of every state variable.
            kinds_matter: Whether there will be functions that can distinguish kinds.
        """
        self.kinds_matter = kinds_matter
        self.nodes: list[Node] = []
        self.hints: list[str] = []
        self.heads: list[str | float] = []
        self.kinds: list[Kind] = []
        self.has_leftovers = False
        self._state_kinds = state_kinds
        self._places: dict[tuple, int] = {}
        self._inputs: list[frozenset[str]] = []  # of the values so far requested

    def add(self, node: Node, hint: str = "") -> int:
        """Add a node if it is new, and return its place."""
        identity: tuple = node
        if type(node) is Call:
            head = node.function
            if head in COMMUTATIVE:
                one, other = node.arguments
                if one > other:
                    identity = (head, (other, one))
        elif type(node) is Number:
            head = node.value
            if not head:
                identity = (str(head),)  # distinguishes -0.0 from 0.0
        else:
            head = INPUT
        place = self._places.get(identity)
        if place is None:
            place = self._places[identity] = len(self.nodes)
            self.nodes.append(node)
            self.hints.append(hint)
            self.heads.append(head)
            if self.kinds_matter:
                self.kinds.append(self._kind(node))
        return place

    def place_of(self, node: Node) -> int | None:
        """Return the place of a node; None if it has not been added."""
        if type(node) is Call and node.function in COMMUTATIVE:
            return self._places.get((node.function, tuple(sorted(node.arguments))))
        return self._places.get((str(node.value),) if type(node) is Number and not node.value else node)

    def inputs_of(self, place: int) -> frozenset[str]:
        """Return the inputs and state variables that a value is computed from."""
        for node in self.nodes[len(self._inputs) : place + 1]:
            made = [self._inputs[argument] for argument in node.arguments]
            self._inputs.append(frozenset({node.name}) if isinstance(node, Input) else frozenset().union(*made))
        return self._inputs[place]

    def _kind(self, node: Node) -> Kind:
        if isinstance(node, Number):
            return SCALAR
        if isinstance(node, Input):
            return INPUT_KINDS[node.name] if node.name in INPUT_KINDS else self._state_kinds[node.name]
        return FUNCTIONS[node.function].kind(tuple([self.kinds[place] for place in node.arguments]))

    def graph(self, update: int, state: Mapping[str, int]) -> Graph:
        """Return the graph of what the update depends on, in this step or a later one; the rest is left out."""
        if not self.has_leftovers:
            kinds = dict(self._state_kinds)
            return Graph(tuple(self.nodes), tuple(self.hints), update, dict(state), kinds, self.kinds_matter)
        needed: set[int] = set()
        live: set[str] = set()
        waiting = [update]
        while waiting:
            place = waiting.pop()
            if place in needed:
                continue
            needed.add(place)
            node = self.nodes[place]
            if isinstance(node, Input):
                if node.name in state:
                    live.add(node.name)
                    waiting.append(state[node.name])
            else:
                waiting.extend(node.arguments)
        kept = sorted(needed)
        moved = {place: index for index, place in enumerate(kept)}
        return Graph(
            tuple([renumbered(self.nodes[place], moved) for place in kept]),
            tuple([self.hints[place] for place in kept]),
            moved[update],
            {name: moved[place] for name, place in state.items() if name in live},
            {name: self._state_kinds[name] for name in state if name in live},
            self.kinds_matter,
        )


Add = Callable[[GraphBuilder, Node, str], int]
"""How a node is added to a graph: as it is (``GraphBuilder.add``), or simplified first."""


def cone(nodes: Sequence[Node], places: Iterable[int]) -> list[int]:
    """Return the places of all nodes that those at ``places`` are computed from, these included, arguments first."""
    found = set()
    waiting = list(places)
    while waiting:
        place = waiting.pop()
        if place not in found:
            found.add(place)
            waiting.extend(nodes[place].arguments)
    return sorted(found)


def renumbered(node: Node, moved: Mapping[int, int]) -> Node:
    """Return a node with its arguments at their new places."""
    return Call(node.function, tuple([moved[place] for place in node.arguments])) if type(node) is Call else node


def from_program(program: Program, add: Add = GraphBuilder.add, idle_is_zero: bool = False) -> Graph:
    """Read a program as a graph.

    Args:
        program: The program to read.
        add: How every value is added to the graph.
        idle_is_zero: Whether a state variable that no live statement writes is read as 0.0, its constant value.

    Raises:
        ProgramError: If the program is not well formed.
    """
    facts = check(program)
    live = [s for s, alive in zip(program.statements, facts.live, strict=True) if alive]
    written = {statement.target for statement in live}
    state = [name for name in facts.live_state if name in written or not idle_is_zero]
    kinds_matter = not _OF_WHOLE_ARRAYS.isdisjoint([statement.function for statement in live])
    builder = GraphBuilder({name: facts.state_kinds[name] for name in state}, kinds_matter)
    known = {name: builder.add(Input(name), name) for name in (*sorted(facts.inputs), *state)}
    known |= {name: builder.add(Number(0.0)) for name in facts.live_state if name not in known}
    for target, function, arguments in live:
        places = [
            known[argument] if isinstance(argument, str) else builder.add(Number(argument)) for argument in arguments
        ]
        known[target] = places[0] if function == "copy" else add(builder, Call(function, tuple(places)), target)
    return builder.graph(known[program.update], {name: known[name] for name in state})


def rebuilt(graph: Graph, add: Add, replaced: Mapping[str, Node] | None = None) -> Graph:
    """Copy a graph, adding every value by ``add`` and replacing the inputs named in ``replaced`` by the nodes there."""
    replaced = replaced or {}
    builder = GraphBuilder(graph.state_kinds, graph.kinds_matter)
    builder.has_leftovers = bool(replaced)
    moved: dict[int, int] = {}
    for place, (node, hint) in enumerate(zip(graph.nodes, graph.hints, strict=True)):
        if isinstance(node, Input):
            moved[place] = builder.add(replaced.get(node.name, node), hint)
        else:
            moved[place] = add(builder, renumbered(node, moved), hint)
    state = {name: moved[place] for name, place in graph.state.items() if name not in replaced}
    return builder.graph(moved[graph.update], state)


def without_dead_statements(program: Program) -> Program:
    """Return the program with only its live statements and state variables, names and order kept."""
    facts = check(program)
    kept = set(facts.live_state) | facts.inputs
    return Program(
        tuple(name for name in program.parameters if name in kept),
        tuple(live.statement for live in live_statements(program)),
        program.update,
    )
