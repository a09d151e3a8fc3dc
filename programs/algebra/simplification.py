"""Simplifying a program without training it: dead statements, rules, equal and idle state; step by step or at once."""

from functools import cache, lru_cache

import numpy as np

from programs.algebra.derivation import Derivation, Proof, Step
from programs.algebra.folding import fold
from programs.algebra.probes import TOLERANCES, largest_difference
from programs.algebra.rewriting import may_fit, rewritten, simplifier
from programs.algebra.rules import KEY_RULES, RULES, Rule
from programs.algebra.signs import never_negative_state
from programs.algebra.tidying import tidy
from programs.checking import check
from programs.dataflow import (
    Add,
    Graph,
    GraphBuilder,
    Input,
    Node,
    Number,
    from_program,
    rebuilt,
    without_dead_statements,
)
from programs.program import Program, Statement, fresh_name, variables
from programs.writing import renamed, to_program

FOLD = "a call on numbers -> its value"
MERGE_STATE = "state variables that are always equal -> one"
ZERO_STATE = "a state variable that stays zero -> 0.0"
ROUND = "a number -> the shorter one that is the same 32-bit float"
RESCALE_STATE = "a state variable kept at another scale"
TIDY = "statements in order, with names that tell what they are"
_DIGITS = 5  # the most that a rounded number has


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
        steps.append(Step(reason, Proof.EXACT, current))
    written = to_program(from_program(current), current.parameters)
    if len(written.statements) < len(current.statements):
        steps.append(Step("equal expressions computed once, copies dropped", Proof.EXACT, written))
        current = written
    steps += _steps(current)
    current = steps[-1].program if steps else current
    while found := _rescaled_state(current):
        steps += found
        current = steps[-1].program
    if current.statements != program.statements and (tidied := tidy(current)) != current:
        steps.append(Step(TIDY, Proof.EXACT, tidied))
    return Derivation(program, tuple(steps))


def normal_form(program: Program) -> Graph:
    """Apply all rules that hold for every float, and the rules of state, until nothing changes.

    Raises:
        ProgramError: where the program is not well formed.
    """
    add = _key_simplifier()
    graph = from_program(program, add, idle_is_zero=True)
    while (replaced := _zero_state(graph) or _equal_state(graph)) or (graph.kinds_kept and not graph.kinds_matter):
        graph = rebuilt(graph, add, replaced)
    return graph


@cache
def _key_simplifier() -> Add:
    return simplifier(KEY_RULES, folding=True)


def _steps(program: Program) -> list[Step]:
    """Apply one rule after the other until none fits."""
    steps: list[Step] = []
    while step := _next_step(steps[-1].program if steps else program):
        steps.append(step)
    return steps


def _next_step(program: Program) -> Step | None:
    """Merge or drop state variables, or else fold, or else round numbers, or else apply the first rule that fits."""
    graph = from_program(program)
    for reason, replaced in ((MERGE_STATE, _equal_state(graph)), (ZERO_STATE, _zero_state(graph))):
        if replaced:
            return Step(reason, Proof.EXACT, to_program(rebuilt(graph, GraphBuilder.add, replaced), program.parameters))
    folded = rebuilt(graph, _folder())
    if folded != graph and _keeps_state_kinds(graph, folded):
        return Step(FOLD, Proof.EXACT, to_program(folded, program.parameters))
    rounded = rebuilt(graph, _round)
    if rounded != graph:
        return Step(ROUND, Proof.NEARLY, to_program(rounded, program.parameters))
    never_negative = never_negative_state(graph)
    for rule in _ordered_rules():
        written = _rewritten(graph, rule, program, never_negative) if may_fit(rule, graph) else None
        if written and (rule.exact or _moves_alike(program, written)):
            return Step(str(rule), Proof.EXACT if rule.exact else Proof.NEARLY, written)
    return None


@lru_cache(maxsize=1024)  # a rule that changes too much fits again after every other step
def _moves_alike(before: Program, after: Program) -> bool:
    """Tell whether updates stay what they were where 1e-8 is added to a divisor, which may be no larger itself."""
    return largest_difference(before, after) <= TOLERANCES[Proof.NEARLY]


def _rewritten(graph: Graph, rule: Rule, program: Program, never_negative: frozenset[str]) -> Program | None:
    """Apply a rule everywhere it fits, or at the first place where the program grows no more than the rule allows."""
    if rule.growth is None:
        changed = rebuilt(graph, simplifier((rule,), False, never_negative))
        kept = changed != graph and _keeps_state_kinds(graph, changed)
        return to_program(changed, program.parameters) if kept else None
    for changed in rewritten(graph, rule, never_negative):
        if _keeps_state_kinds(graph, changed):
            written = to_program(changed, program.parameters)
            if _calls(written) <= _calls(program) + rule.growth:
                return written
    return None


def _calls(program: Program) -> int:
    """Count the statements that are no copies."""
    return sum(statement.function != "copy" for statement in program.statements)


def _rescaled_state(program: Program) -> list[Step]:
    """Keep a state variable at another scale, where that ends in fewer statements: all start at zero at any scale."""
    for name in program.state:
        for number in _scales(from_program(program), name):
            inner = fresh_name(variables(program))
            body = renamed(program, {name: inner})
            begin, end = (
                Statement(inner, "multiply", (name, number)),
                Statement(name, "multiply", (inner, 1.0 / number)),
            )
            scaled = Program(program.parameters, (begin, *body.statements, end), body.update)
            steps = [Step(RESCALE_STATE, Proof.EXACT, scaled), *_steps(scaled)]
            if _calls(steps[-1].program) < _calls(program):
                return steps
    return []


def _scales(graph: Graph, name: str) -> list[float]:
    """Find the numbers that a state variable's next value, or what that is made of, is multiplied by."""
    numbers: dict[float, None] = {}
    for place in reversed(graph.cone([graph.state[name]])):
        node = graph.nodes[place]
        if node.function == "multiply":
            found = [number for a in node.arguments if isinstance(number := graph.nodes[a], Number)]
            numbers |= dict.fromkeys(number.value for number in found if number.value)
        elif node.function == "negative":
            numbers[-1.0] = None
    return list(numbers)


def _round(builder: GraphBuilder, node: Node, hint: str) -> int:
    """Add a node; a number as the shortest that is the same in 32-bit floats, where that is a short one."""
    if isinstance(node, Number):
        short = float(f"{node.value:.{_DIGITS}g}")
        if len(repr(short)) < len(repr(node.value)) and np.float32(short) == np.float32(node.value):
            return builder.add(Number(short), hint)
    return builder.add(node, hint)


@cache
def _folder() -> Add:
    return simplifier((), folding=True)


@cache
def _ordered_rules() -> tuple[Rule, ...]:
    """Give the exact rules, then the others."""
    return tuple(sorted(RULES, key=lambda rule: not rule.exact))


def _keeps_state_kinds(before: Graph, after: Graph) -> bool:
    """Tell whether the state variables' kinds stay what they were, as a program of the new graph would have them."""
    if not after.kinds_matter:
        return True
    own = check(to_program(after, tuple(node.name for node in after.nodes if isinstance(node, Input)))).state_kinds
    return all(own[name] is before.state_kinds[name] for name in after.state)


def _equal_state(graph: Graph) -> dict[str, Node]:
    """Find state variables that are always equal to an earlier one, and what they are replaced by."""
    chosen: dict[bytes, str] = {}
    replaced: dict[str, Node] = {}
    for name, label in graph.state_labels.items():
        if chosen.setdefault(label, name) != name:
            replaced[name] = Input(chosen[label])
    return replaced


def _zero_state(graph: Graph) -> dict[str, Node]:
    """Find state variables that stay zero for ever, since zeros are all that their next values are made of."""
    zero = set(graph.state)
    while True:
        kept = {name for name in zero if _is_zero(graph, graph.state[name], zero)}
        if kept == zero:
            return dict.fromkeys(sorted(zero), Number(0.0))
        zero = kept


def _is_zero(graph: Graph, place: int, zero: set[str]) -> bool:
    """Tell whether a value is 0.0 where the state variables ``zero`` are 0.0 and nothing else is known."""
    numbers: dict[int, Number] = {}
    for node_place in graph.cone([place]):
        node = graph.nodes[node_place]
        if isinstance(node, Input):
            number = Number(0.0) if node.name in zero else None
        elif isinstance(node, Number):
            number = node
        else:
            number = fold(node.function, [numbers[argument] for argument in node.arguments])
        if number is None:
            return False
        numbers[node_place] = number
    return numbers[place].value.hex() == "0x0.0p+0"  # not -0.0
