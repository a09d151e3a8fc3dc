"""Simplifying a program without training it: dead statements, rules, equal and idle state; step by step or at once."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from programs.checking import check
from programs.dataflow import (
    INPUT,
    NUMBER,
    Graph,
    GraphBuilder,
    from_program,
    renumbered,
    to_program,
    without_dead_statements,
)
from programs.functions import FUNCTIONS
from programs.program import Program
from programs.rules import KEY_RULES, RULES, Rule, simplify_node

FOLD = "a call on numbers -> its value"
MERGE_STATE = "state variables that are always equal -> one"
ZERO_STATE = "a state variable that stays zero -> 0.0"


@dataclass(frozen=True)
class Step:
    """One step of a derivation.

    Attributes:
        reason: the rule that was used, or what was left out.
        exact: whether the step is exact in real arithmetic, or up to the 1e-8 of divisions.
        program: what the step leads to.
    """

    reason: str
    exact: bool
    program: Program


@dataclass(frozen=True)
class Derivation:
    """The recorded steps from a raw program to a simple one."""

    start: Program
    steps: tuple[Step, ...]

    @property
    def program(self) -> Program:
        """The last program."""
        return self.steps[-1].program if self.steps else self.start


def simplify(program: Program) -> Derivation:
    """Simplify a program by everything that needs no training.

    Dead statements (across steps) go first; then one rule after the other is applied until none fits.

    Raises:
        ProgramError: where the program is not well formed.
    """
    steps = []
    current = without_dead_statements(program)
    if current != program:
        dead = len(program.statements) - len(current.statements)
        reason = f"{dead} dead statements left out" if dead else "parameters that are not read left out"
        steps.append(Step(reason, True, current))
    graph = from_program(current)
    written = to_program(graph, current.parameters)
    if len(written.statements) < len(current.statements):
        steps.append(Step("equal expressions computed once, copies dropped", True, written))
        current = written
    while True:
        reason, graph = _one_step(graph)
        if reason is None:
            return Derivation(program, tuple(steps))
        current = to_program(graph, program.parameters)
        inexact = {str(rule) for rule in RULES if not rule.exact}
        steps.append(Step(reason, reason not in inexact, current))


def normalise(graph: Graph) -> Graph:
    """Apply all rules that hold for every float, and the rules of state, until nothing changes."""
    while True:
        changed = graph
        for rewrite in (_apply_key_rules, _merge_equal_state, _drop_idle_state):
            changed = _guarded(changed, rewrite(changed))
        if changed == graph:
            return changed
        graph = changed


def _one_step(graph: Graph) -> tuple[str | None, Graph]:
    for reason, rewrite in ((MERGE_STATE, _merge_equal_state), (ZERO_STATE, _drop_idle_state)):
        changed = _guarded(graph, rewrite(graph))
        if len(changed.state) < len(graph.state):
            return reason, changed
    return _first_rule(graph)


def _first_rule(graph: Graph) -> tuple[str | None, Graph]:
    """Apply the first rule that fits somewhere, everywhere it fits; folding first, then exact rules."""
    attempts = [(FOLD, (), True)]
    attempts += [(str(rule), (rule,), False) for rule in sorted(RULES, key=lambda rule: not rule.exact)]
    for reason, rules, folding in attempts:
        changed = _guarded(graph, _apply_rules(graph, rules, folding))
        if changed != graph:
            return reason, changed
    return None, graph


def _apply_rules(graph: Graph, rules: tuple[Rule, ...], folding: bool) -> Graph:
    def exhaust(builder: GraphBuilder, node: tuple, hint: str) -> int:
        place, changed = simplify_node(builder, node, hint, rules, folding)
        while changed and builder.nodes[place][0] in FUNCTIONS:
            place, changed = simplify_node(builder, builder.nodes[place], hint, rules, folding)
        return place

    return _rebuild(graph, exhaust)


def _apply_key_rules(graph: Graph) -> Graph:
    return _apply_rules(graph, KEY_RULES, folding=True)


def _rebuild(
    graph: Graph,
    add: Callable[[GraphBuilder, tuple, str], int],
    replaced: dict[str, tuple] | None = None,
) -> Graph:
    """Copy a graph, every node through ``add`` and the inputs named in ``replaced`` as the nodes given there."""
    replaced = replaced or {}
    kinds = {node[1]: kind for node, kind in zip(graph.nodes, graph.kinds, strict=True) if node[0] == INPUT}
    builder = GraphBuilder(kinds, graph.kinds_matter)
    moved: dict[int, int] = {}
    for place, (node, hint) in enumerate(zip(graph.nodes, graph.hints, strict=True)):
        if node[0] == INPUT and node[1] in replaced:
            moved[place] = builder.add(replaced[node[1]], hint)
        else:
            moved[place] = add(builder, renumbered(node, moved), hint)
    state = {name: moved[place] for name, place in graph.state.items() if name not in replaced}
    return builder.graph(moved[graph.update], state)


def _guarded(before: Graph, after: Graph) -> Graph:
    """Keep a rewrite only where the state variables' kinds stay what they were, as a program of it would have them."""
    if after == before:
        return before
    if not after.kinds_matter:
        return after
    names = tuple(node[1] for node in after.nodes if node[0] == INPUT)
    own = check(to_program(after, names)).state_kinds
    kinds = {node[1]: kind for node, kind in zip(after.nodes, after.kinds, strict=True) if node[0] == INPUT}
    return after if all(own[name] is kinds[name] for name in after.state) else before


def state_labels(graph: Graph) -> dict[str, str]:
    """Give state variables the same label only if they are always equal.

    All start at zero, so two of them stay equal where their next values are the same expression of equal values:
    labels are refined until their number no longer grows.
    """
    labels = dict.fromkeys(graph.state, "state")
    count = 0
    while len(set(labels.values())) > count:
        count = len(set(labels.values()))
        digests = node_digests(graph, labels)
        labels = {name: digests[place] for name, place in graph.state.items()}
    return labels


def node_digests(graph: Graph, labels: dict[str, str]) -> list[str]:
    """Hash every value by its expression, with labels for the state variables; commutative arguments in any order."""
    digests: list[str] = []
    for node in graph.nodes:
        if node[0] == INPUT:
            text = f"input {labels.get(node[1], node[1])}"
        elif node[0] == NUMBER:
            text = f"number {node[1].hex()}"
        else:
            arguments = [digests[place] for place in node[1:]]
            if FUNCTIONS[node[0]].commutative:
                arguments.sort()
            text = f"{node[0]} {' '.join(arguments)}"
        digests.append(hashlib.sha256(text.encode()).hexdigest())
    return digests


def _merge_equal_state(graph: Graph) -> Graph:
    chosen: dict[str, str] = {}
    replaced = {}
    for name, label in state_labels(graph).items():
        if chosen.setdefault(label, name) != name:
            replaced[name] = (INPUT, chosen[label])
    return _rebuild(graph, GraphBuilder.add, replaced) if replaced else graph


def _drop_idle_state(graph: Graph) -> Graph:
    idle = {name: (NUMBER, 0.0) for name, place in graph.state.items() if graph.nodes[place] == (INPUT, name)}
    return _rebuild(graph, GraphBuilder.add, idle) if idle else graph
