"""Simplifying a program without training it: dead statements, rules, equal and idle state variables."""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, lru_cache

import numpy as np

from programs.algebra.derivation import Derivation, Gap, Proof, Step
from programs.algebra.folding import fold
from programs.algebra.places import Places
from programs.algebra.probes import TOLERANCES, gaps, largest_difference
from programs.algebra.rewriting import simplifier
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
from programs.from_graph import renamed, to_program
from programs.program import Program, Statement, fresh_name, variables

FOLD = "a call on numbers -> its value"
MERGE_STATE = "state variables that are always equal -> one"
ZERO_STATE = "a state variable that stays zero -> 0.0"
ROUND = "a number -> the shorter one that is the same 32-bit float"
RESCALE_STATE = "a state variable kept at another scale"
TIDY = "statements reordered and variables renamed"
_DIGITS = 5  # the most digits of a rounded number
_SMALLEST, _LARGEST = (
    2.0**-126,
    2.0**126,
)  # between them, numbers and reciprocals have full precision in 32-bit floats
_LINEAR: dict[str, slice] = dict.fromkeys(
    ("add", "subtract", "multiply", "negative", "interp", "max", "min", "abs"), slice(2)
)
_LINEAR |= {"divide": slice(1), "where": slice(1, 3)}  # the arguments through which a factor may pass
_MOST_SCALES = 8  # that are tried for a state variable
_SCALE_GAPS = (Gap.OVERFLOW, Gap.UNDERFLOW)  # that another scale of a state variable may cause


def simplify(program: Program, prove: bool = True) -> Derivation:
    """Simplify a program by every means that needs no training.

    Dead statements (across steps) are dropped first; then rules are applied, one at a time, until none fits.

    Args:
        program: Any program.
        prove: Whether every step is also checked numerically. A step that does not hold in 64-bit floats is then not
            taken, and a step that is not exact at extreme points in 32-bit floats is not called exact. Otherwise a
            step's proof is the one that its rule promises.

    Raises:
        ProgramError: If the program is not well formed.
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
    steps += _steps(current, prove)
    current = steps[-1].program if steps else current
    while found := _rescaled_state(current, prove):
        steps += found
        current = steps[-1].program
    if current.statements != program.statements and (tidied := tidy(current)) != current:
        steps.append(Step(TIDY, Proof.EXACT, tidied))
    return Derivation(program, tuple(steps))


def normal_form(program: Program) -> Graph:
    """Apply all rules that hold for every float, and the rules of state, until nothing changes.

    Raises:
        ProgramError: If the program is not well formed.
    """
    add = _key_simplifier()
    graph = from_program(program, add, idle_is_zero=True)
    while (replaced := _zero_state(graph) or _equal_state(graph)) or (graph.kinds_kept and not graph.kinds_matter):
        graph = rebuilt(graph, add, replaced)
    return graph


@cache
def _key_simplifier() -> Add:
    return simplifier(KEY_RULES, folding=True)


def _steps(program: Program, prove: bool) -> list[Step]:
    """Apply rules, one at a time, until none fits."""
    steps: list[Step] = []
    while step := _next_step(steps[-1].program if steps else program, prove):
        steps.append(step)
    return steps


def _next_step(program: Program, prove: bool) -> Step | None:
    """Return the first possible step that may be taken; None if none may."""
    for step in _possible_steps(program):
        if prove:
            step = proved(program, step)
        if step and (prove or step.proof is not Proof.NEARLY or proved(program, step)):
            return step
    return None


def _possible_steps(program: Program) -> Iterator[Step]:
    """Yield steps that merge or drop state variables, fold, round numbers, or apply a rule that fits, in this order."""
    graph = from_program(program)
    for reason, replaced in ((MERGE_STATE, _equal_state(graph)), (ZERO_STATE, _zero_state(graph))):
        if replaced:
            merged = rebuilt(graph, GraphBuilder.add, replaced)
            yield Step(reason, Proof.EXACT, to_program(merged, program.parameters))
    folded = rebuilt(graph, _folder())
    if folded != graph and _keeps_state_kinds(graph, folded):
        yield Step(FOLD, Proof.EXACT, to_program(folded, program.parameters))
    rounded = rebuilt(graph, _round)
    if rounded != graph:
        yield Step(ROUND, Proof.NEARLY, to_program(rounded, program.parameters))
    never_negative = never_negative_state(graph)
    rules = _ordered_rules()
    places = Places(graph, rules, never_negative)
    for rule in filter(places.of_rule.__contains__, rules):
        if written := _rewritten(graph, rule, program, never_negative, places):
            yield Step(str(rule), rule.proof, written, rule.gaps)


def proved(before: Program, step: Step) -> Step | None:
    """Check a step numerically.

    Args:
        before: The program before the step.
        step: The step, with the proof that its rule promises.

    Returns:
        The step with the proof that the numbers confirm; None if the updates differ too much for any proof without
        training.
    """
    difference = _difference(before, step.program)
    if difference > TOLERANCES[Proof.NEARLY]:
        return None
    if difference > TOLERANCES[Proof.REAL]:
        return replace(step, proof=Proof.NEARLY)
    if step.proof is Proof.EXACT and (found := gaps(before, step.program)):
        return replace(step, proof=Proof.REAL, gaps=found)
    return step


@lru_cache(maxsize=1024)  # a rejected rule fits again after every other step
def _difference(before: Program, after: Program) -> float:
    return largest_difference(before, after)


def _rewritten(
    graph: Graph, rule: Rule, program: Program, never_negative: frozenset[str], places: Places
) -> Program | None:
    """Apply a rule everywhere it fits, or at the first place where the program grows no more than the rule allows."""
    if rule.growth is None:
        possible = [rebuilt(graph, simplifier((rule,), False, never_negative))]
    else:
        possible = places.rewritten(rule, _calls(program) + rule.growth)
    for changed in possible:
        if changed != graph and _keeps_state_kinds(graph, changed):
            return to_program(changed, program.parameters)
    return None


def _calls(program: Program) -> int:
    """Count the statements that are not copies."""
    return sum(statement.function != "copy" for statement in program.statements)


def _rescaled_state(program: Program, prove: bool) -> list[Step]:
    """Rescale a state variable if that saves statements; zero, at which all state starts, is zero at any scale."""
    for name in program.state:
        for number in _scales(from_program(program), name):
            inner = fresh_name(variables(program))
            body = renamed(program, {name: inner})
            begin, end = (
                Statement(inner, "multiply", (name, number)),
                Statement(name, "multiply", (inner, 1.0 / number)),
            )
            scaled = Program(program.parameters, (begin, *body.statements, end), body.update)
            steps = [Step(RESCALE_STATE, Proof.REAL, scaled, _SCALE_GAPS), *_steps(scaled, prove=False)]
            if _calls(steps[-1].program) < _calls(program):
                befores = [program, *(step.program for step in steps)]
                shown = [proved(*pair) if prove else pair[1] for pair in zip(befores, steps, strict=False)]
                if None not in shown:
                    return shown  # type: ignore[return-value]
    return []


def _scales(graph: Graph, name: str) -> list[float]:
    """Find the numbers by which a state variable's next value, or any value it is linear in, is multiplied."""
    numbers: dict[float, None] = {}
    for place in reversed(_linear_cone(graph, graph.state[name])):
        node = graph.nodes[place]
        if node.function == "multiply":
            found = [number for a in node.arguments if isinstance(number := graph.nodes[a], Number)]
            numbers |= dict.fromkeys(number.value for number in found if _SMALLEST <= abs(number.value) <= _LARGEST)
        elif node.function == "negative":
            numbers[-1.0] = None
    return list(numbers)[:_MOST_SCALES]


def _linear_cone(graph: Graph, place: int) -> list[int]:
    """Find the values on which a value depends by functions through which a factor may pass, including itself."""
    found = set()
    waiting = [place]
    while waiting:
        at = waiting.pop()
        if at not in found:
            found.add(at)
            node = graph.nodes[at]
            waiting += node.arguments[_LINEAR[node.function]] if node.function in _LINEAR else ()
    return sorted(found)


def _round(builder: GraphBuilder, node: Node, hint: str) -> int:
    """Add a node; a number with at most five digits if that is shorter and the same 32-bit float."""
    if isinstance(node, Number):
        short = float(f"{node.value:.{_DIGITS}g}")
        shorter = math.isfinite(short) and len(repr(short)) < len(repr(node.value))
        if shorter and np.float32(short) == np.float32(node.value):
            return builder.add(Number(short), hint)
    return builder.add(node, hint)


@cache
def _folder() -> Add:
    return simplifier((), folding=True)


@cache
def _ordered_rules() -> tuple[Rule, ...]:
    """Return the rules that are exact or hold in real arithmetic, then those that hold nearly."""
    return tuple(sorted(RULES, key=lambda rule: rule.proof is Proof.NEARLY))


def _keeps_state_kinds(before: Graph, after: Graph) -> bool:
    """Return whether the state variables keep their kinds in the program that the new graph is written as."""
    if not after.kinds_matter:
        return True
    own = check(to_program(after, tuple(node.name for node in after.nodes if isinstance(node, Input)))).state_kinds
    return all(own[name] is before.state_kinds[name] for name in after.state)


def _equal_state(graph: Graph) -> dict[str, Node]:
    """Find the state variables that always equal an earlier one, and the node that replaces each."""
    chosen: dict[bytes, str] = {}
    replaced: dict[str, Node] = {}
    for name, label in graph.state_labels.items():
        if chosen.setdefault(label, name) != name:
            replaced[name] = Input(chosen[label])
    return replaced


def _zero_state(graph: Graph) -> dict[str, Node]:
    """Find the state variables that stay zero, since their next values are computed from zeros alone."""
    zero = set(graph.state)
    while True:
        kept = {name for name in zero if _is_zero(graph, graph.state[name], zero)}
        if kept == zero:
            return dict.fromkeys(sorted(zero), Number(0.0))
        zero = kept


def _is_zero(graph: Graph, place: int, zero: set[str]) -> bool:
    """Return whether a value is 0.0 if the state variables ``zero`` are 0.0 and nothing else is known."""
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
