"""From a graph of values back to a program, in an order and with names that a reader would expect."""

from collections.abc import Mapping

from programs.dataflow import Call, Graph, Input, Number
from programs.program import Argument, Program, Statement, fresh_name


def to_program(graph: Graph, parameters: tuple[str, ...]) -> Program:
    """Write a graph as a program, in the order of its nodes and with their names where these are free.

    Args:
        graph: what to write.
        parameters: the order to give the parameters in; those that are not read are left out.
    """
    return _Writer(graph, parameters).write()


def renamed(program: Program, names: Mapping[str, str]) -> Program:
    """Give the program with new names for some variables; the others keep theirs."""

    def of(argument: Argument) -> Argument:
        return names.get(argument, argument) if isinstance(argument, str) else argument

    body = [
        Statement(names.get(s.target, s.target), s.function, tuple(map(of, s.arguments))) for s in program.statements
    ]
    parameters = tuple(names.get(name, name) for name in program.parameters)
    return Program(parameters, tuple(body), names.get(program.update, program.update))


class _Writer:
    """Gives every value a name and a place, so that no name is taken from a value that is still needed."""

    def __init__(self, graph: Graph, parameters: tuple[str, ...]):
        self.graph = graph
        read = {node.name for node in graph.nodes if isinstance(node, Input)}
        self.parameters = tuple(name for name in parameters if name in read or name in graph.state)
        self.name_of: dict[int, str] = {}
        self.holder: dict[str, int] = {}
        self.uses = [0] * len(graph.nodes)
        self.statements: list[Statement] = []
        self.claims: dict[int, str] = {}  # nodes that are computed straight into a state variable
        self.copies: dict[str, int] = {}  # state variables that get their value at the end

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
        ready = [
            place
            for place in waiting
            if all(
                argument in self.name_of or self.is_number(argument) for argument in self.graph.nodes[place].arguments
            )
        ]
        free = [place for place in ready if place not in self.claims or self.is_free(self.claims[place], place)]
        place = (free or ready)[0]
        if not free:  # the old value of its state variable is needed for something that needs it
            self.copies[self.claims.pop(place)] = place
        node = self.graph.nodes[place]
        name = self.claims.get(place) or self.choose_name(place)
        self.statements.append(Statement(name, node.function, tuple(map(self.argument, node.arguments))))
        for argument in node.arguments:
            self.uses[argument] -= 1
        self.bind(name, place)
        return place

    def name_update(self) -> str | None:
        """Save an update that is an old state variable, or a number, under a name of its own."""
        node = self.graph.nodes[self.graph.update]
        if isinstance(node, Call) or (isinstance(node, Input) and node.name not in self.copies):
            return None
        name = "update" if "update" not in self.holder else fresh_name(self.taken())
        self.statements.append(Statement(name, "copy", (self.argument(self.graph.update),)))
        self.uses[self.graph.update] -= 1
        self.holder[name] = self.graph.update
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
                saved = fresh_name(self.taken())
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
        """Tell whether a name's value is needed by nothing but the node ``by``."""
        held = self.holder.get(name)
        if held is None:
            return True
        own = 0 if by is None else self.graph.nodes[by].arguments.count(held)
        return self.uses[held] == own

    def choose_name(self, place: int) -> str:
        hint = self.graph.hints[place]
        return hint if hint and self.is_free(hint, place) else fresh_name(self.taken())

    def taken(self) -> set[str]:
        return set(self.parameters) | set(self.holder) | set(self.graph.hints) | {s.target for s in self.statements}

    def bind(self, name: str, place: int) -> None:
        self.holder[name] = place
        self.name_of[place] = name
