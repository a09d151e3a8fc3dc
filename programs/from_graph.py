"""Writing a graph of values as a program, in an order and with names that a reader would expect."""

from collections.abc import Mapping

from programs.dataflow import Call, Graph, Input, Number
from programs.program import Argument, Program, Statement


def to_program(graph: Graph, parameters: tuple[str, ...]) -> Program:
    """Write a graph as a program, in the order of its nodes and with their names if these are free.

    Args:
        graph: The graph to write.
        parameters: The parameters in order; those that are not read are left out.
    """
    return _Writer(graph, parameters).write()


def renamed(program: Program, names: Mapping[str, str]) -> Program:
    """Return the program with new names for some variables; the others keep theirs."""

    def of(argument: Argument) -> Argument:
        return names.get(argument, argument) if isinstance(argument, str) else argument

    body = [
        Statement(names.get(s.target, s.target), s.function, tuple(map(of, s.arguments))) for s in program.statements
    ]
    parameters = tuple(names.get(name, name) for name in program.parameters)
    return Program(parameters, tuple(body), names.get(program.update, program.update))


class _Writer:
    """Assigns every value a name and a place, so that no value loses its name while it is still needed."""

    def __init__(self, graph: Graph, parameters: tuple[str, ...]):
        self.graph = graph
        read = {node.name for node in graph.nodes if isinstance(node, Input)}
        self.parameters = tuple(name for name in parameters if name in read or name in graph.state)
        self.taken = read | set(self.parameters) | set(graph.hints)
        self.number = 1  # at most the number of the next new name
        self.name_of: dict[int, str] = {}
        self.holder: dict[str, int] = {}
        self.uses = [0] * len(graph.nodes)
        self.statements: list[Statement] = []
        self.claims: dict[int, str] = {}  # nodes that are computed directly into a state variable
        self.copies: dict[str, int] = {}  # state variables that are assigned their value at the end

    def write(self) -> Program:
        graph = self.graph
        for place, node in enumerate(graph.nodes):
            if isinstance(node, Input):
                self.name_of[place], self.holder[node.name] = node.name, place
            for argument in node.arguments:
                self.uses[argument] += 1
        for name, place in graph.state.items():
            self.uses[place] += 1
            if not isinstance(graph.nodes[place], Call) or place in self.claims:
                self.copies[name] = place
            else:
                self.claims[place] = name
        self.uses[graph.update] += 1
        waiting = [place for place, node in enumerate(graph.nodes) if isinstance(node, Call)]
        while waiting:
            waiting.remove(self.emit_next(waiting))
        update = self.name_update()
        self.write_copies()
        return Program(self.parameters, tuple(self.statements), update or self.name_of[graph.update])

    def emit_next(self, waiting: list[int]) -> int:
        place = next(filter(self.may_come_next, waiting), None)
        if place is None:  # the old value of its state variable is needed by a value that depends on the new one
            place = waiting[0]
            self.copies[self.claims.pop(place)] = place
        node = self.graph.nodes[place]
        name = self.claims.get(place) or self.choose_name(place)
        self.statements.append(Statement(name, node.function, tuple(map(self.argument, node.arguments))))
        for argument in node.arguments:
            self.uses[argument] -= 1
        self.bind(name, place)
        return place

    def may_come_next(self, place: int) -> bool:
        """Return whether a value's arguments have names, and the state variable it is assigned to is free."""
        if place in self.claims and not self.is_free(self.claims[place], place):
            return False
        return all(a in self.name_of or self.is_number(a) for a in self.graph.nodes[place].arguments)

    def name_update(self) -> str | None:
        """Save an update that is a number or an old state variable under a separate name."""
        node = self.graph.nodes[self.graph.update]
        if isinstance(node, Call) or (isinstance(node, Input) and node.name not in self.copies):
            return None
        name = "update" if "update" not in self.holder else self.new_name()
        self.statements.append(Statement(name, "copy", (self.argument(self.graph.update),)))
        self.uses[self.graph.update] -= 1
        self.holder[name] = self.graph.update
        self.taken.add(name)
        return name

    def write_copies(self) -> None:
        while self.copies:
            free = [name for name, place in self.copies.items() if self.is_free(name, None) or self.name(place) == name]
            if free:
                name = free[0]
                place = self.copies.pop(name)
                if self.name(place) != name:
                    self.statements.append(Statement(name, "copy", (self.argument(place),)))
                    self.uses[place] -= 1
                    self.holder[name] = place
            else:  # two state variables swap their values
                name = next(iter(self.copies))
                saved = self.new_name()
                place = self.holder[name]
                self.statements.append(Statement(saved, "copy", (name,)))
                self.bind(saved, place)
                del self.holder[name]

    def is_number(self, place: int) -> bool:
        return isinstance(self.graph.nodes[place], Number)

    def name(self, place: int) -> str | None:
        return self.name_of.get(place)

    def argument(self, place: int) -> Argument:
        node = self.graph.nodes[place]
        return node.value if isinstance(node, Number) else self.name_of[place]

    def is_free(self, name: str, by: int | None) -> bool:
        """Return whether nothing but the node ``by`` still needs a name's value."""
        held = self.holder.get(name)
        if held is None:
            return True
        own = 0 if by is None else self.graph.nodes[by].arguments.count(held)
        return self.uses[held] == own

    def choose_name(self, place: int) -> str:
        hint = self.graph.hints[place]
        return hint if hint and self.is_free(hint, place) else self.new_name()

    def new_name(self) -> str:
        """Return the first of ``v1``, ``v2`` … that is not taken; a name once taken stays taken."""
        while f"v{self.number}" in self.taken:
            self.number += 1
        return f"v{self.number}"

    def bind(self, name: str, place: int) -> None:
        self.taken.add(name)
        self.holder[name] = place
        self.name_of[place] = name
