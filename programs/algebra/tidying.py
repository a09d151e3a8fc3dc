"""A program as a person would write it: descriptive names, numbers and weight decay second, the rate last."""

import re
from dataclasses import replace

from programs.algebra.signs import never_negative_state
from programs.dataflow import COMMUTATIVE, Call, Graph, Input, Number, from_program, renumbered
from programs.from_graph import renamed, to_program
from programs.program import RESERVED, Program, fresh_name, variables

_MADE = re.compile(r"[vx]\d+|[a-z]")  # names that say nothing, such as searches generate
_ROLES = {"sqrt": "root", "norm": "length", "reciprocal": "factor", "sign": "direction"}


def tidy(program: Program) -> Program:
    """Rename the variables of a program and reorder its statements; its key stays the same.

    A state variable that accumulates the gradient is called m, or v if it is never negative; multiples of the weights
    are called wd, multiples of the rate lr, and the values that lead to the update ``update``. Other descriptive names
    are kept. A statement comes just before it is needed, those that read the gradient before the rest.
    """
    program = to_program(from_program(program), program.parameters)
    program = renamed(program, _new_names(program))
    graph = _ordered(from_program(program))
    graph = replace(graph, hints=_hints(graph))
    order = {"w": 0, "g": 1, "t": 3, "lr": 4}
    return to_program(graph, tuple(sorted(program.parameters, key=lambda name: order.get(name, 2))))


def _new_names(program: Program) -> dict[str, str]:
    """Find better names for state variables whose names say nothing, and fresh ones for variables so named now."""
    graph = from_program(program)
    never_negative = never_negative_state(graph)
    roles: dict[str, list[str]] = {"m": [], "v": []}
    for name, place in graph.state.items():
        if _inputs(graph, place) >= {name, "g"}:
            roles["v" if name in never_negative else "m"].append(name)
    found = {names[0]: role for role, names in roles.items() if len(names) == 1 and _MADE.fullmatch(names[0])}
    kept = set(program.state) - set(found)
    found = {name: role for name, role in found.items() if role not in kept and role != name}
    taken = variables(program)
    for role in sorted(set(found.values()) & taken - set(found)):
        found[role] = fresh_name(taken | set(found.values()))
    return found


def _inputs(graph: Graph, place: int) -> set[str]:
    """Find the inputs and state variables that a value is computed from."""
    return {node.name for index in graph.cone([place]) if isinstance(node := graph.nodes[index], Input)}


def _ordered(graph: Graph) -> Graph:
    """Sort values so that each comes just before it is needed, and a state variable's next value as soon as it can."""
    inputs = [_inputs(graph, place) for place in range(len(graph.nodes))]
    moved: dict[int, int] = {}
    order: list[int] = []

    def place_all(root: int) -> None:
        waiting = [root]
        while waiting:
            place = waiting[-1]
            needed = [a for a in graph.nodes[place].arguments if a not in moved]
            if needed and place not in moved:
                waiting += [a for a in needed[::-1] if "g" not in inputs[a]]
                waiting += [a for a in needed[::-1] if "g" in inputs[a]]  # the next one is on top
                continue
            waiting.pop()
            if place not in moved:
                moved[place] = len(order)
                order.append(place)
                if not isinstance(graph.nodes[place], Input):
                    follow()

    def follow() -> None:
        for name, place in graph.state.items():
            node = graph.nodes[place]
            if place not in moved and isinstance(node, Call) and moved.keys() >= set(node.arguments):
                old = {i for i, node in enumerate(graph.nodes) if node == Input(name)}
                if all(i in moved or i == place or not old & set(n.arguments) for i, n in enumerate(graph.nodes)):
                    moved[place] = len(order)
                    order.append(place)

    place_all(graph.update)
    for place in graph.state.values():
        place_all(place)
    nodes = []
    for place in order:
        node = graph.nodes[place]
        if node.function in COMMUTATIVE:
            arguments = sorted(node.arguments, key=lambda argument: _rank(graph, argument))
            node = Call(node.function, tuple(arguments))
        nodes.append(renumbered(node, moved))
    return replace(
        graph,
        nodes=tuple(nodes),
        hints=tuple(graph.hints[place] for place in order),
        update=moved[graph.update],
        state={name: moved[place] for name, place in graph.state.items()},
    )


def _rank(graph: Graph, place: int) -> tuple[bool, bool, bool]:
    """Return a sort key for a commutative function's argument: numbers last, before them scalars, then the weights."""
    inputs = _inputs(graph, place)
    scalar = inputs <= {"lr", "t"}
    node = graph.nodes[place]
    return isinstance(node, Number), scalar, inputs == {"w"} and not isinstance(node, Input)


def _hints(graph: Graph) -> tuple[str, ...]:
    """Name every value: by its own name if that is descriptive, else by what it is."""
    chain = _chain(graph)
    next_values = _ways_to_state(graph)
    hints = []
    for place, node in enumerate(graph.nodes):
        own = graph.hints[place]
        inputs = _inputs(graph, place)
        tells = own and not _MADE.fullmatch(own) and own not in RESERVED and own not in graph.state
        if not isinstance(node, Call):
            hints.append(own)
        elif place in next_values:
            hints.append(next_values[place])
        elif place in chain and (place == graph.update or not tells or own == "wd"):
            hints.append("update")
        elif inputs == {"lr"} and node.function == "multiply":
            hints.append("lr")
        elif inputs == {"w"} and node.function == "multiply":
            hints.append("wd")
        elif tells:
            hints.append(own)
        elif inputs == {"g"} and node.function == "square":
            hints.append("g2")
        elif node.function in _ROLES:
            hints.append(_ROLES[node.function])
        elif "g" in inputs and (own == "g" or inputs <= {"g", "lr", "t"}) and not inputs & graph.state.keys():
            hints.append("g")
        else:
            hints.append("")
    return tuple(hints)


def _ways_to_state(graph: Graph) -> dict[int, str]:
    """Find the values on the way from each state variable's old value to its next that nothing else reads."""
    reads = _reads(graph)
    ways = {}
    for name, place in graph.state.items():
        while isinstance(node := graph.nodes[place], Call):
            ways.setdefault(place, name)
            olds = [a for a in node.arguments if name in _inputs(graph, a)]
            if len(olds) != 1 or reads.count(olds[0]) != 1:
                break
            place = olds[0]
    return ways


def _reads(graph: Graph) -> list[int]:
    """Return the place of every value that is read, once for each read."""
    reads = [argument for node in graph.nodes for argument in node.arguments]
    return [*reads, *graph.state.values(), graph.update]


def _chain(graph: Graph) -> set[int]:
    """Find the values that lead to the update, each the first argument of the next and read by no other."""
    reads = _reads(graph)
    chain = set()
    place = graph.update
    while isinstance(node := graph.nodes[place], Call) and place not in graph.state.values():
        chain.add(place)
        if not node.arguments or reads.count(node.arguments[0]) != 1:
            break
        place = node.arguments[0]
    return chain
