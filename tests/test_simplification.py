"""Simplifying: every rule on numbers, the derivation of the paper's winner, state, and programs as graphs."""

import hashlib
import re

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from program_cases import RAW_WINNER, SEEDS, behave_alike, mutants, program, random_mutants, run_numpy

import programs
from programs.algebra.derivation import Proof
from programs.algebra.probes import probe
from programs.algebra.rewriting import simplifier
from programs.algebra.rules import KEY_RULES, RULES, Given
from programs.algebra.simplification import FOLD, MERGE_STATE, RESCALE_STATE, ROUND, TIDY, ZERO_STATE
from programs.algebra.tidying import tidy
from programs.dataflow import Input, Number, from_program
from programs.from_graph import to_program

SLACK = 1e-4  # 1e-8 / 1e-4: the epsilon of a division relative to the smallest divisor tested


NUMBERS = {"p": 0.3, "b": -1.7, "c": 0.375, "d": 0.625, "k": 2.5, "e": 1.109}


def expression(text, given=Given.NUMBERS):
    """Parse one side of a rule as a program with x = g, y = w, the scalar a = lr and numbers for the other letters."""
    own = {Given.RECIPROCALS: {"c": 0.25, "d": 4.0}, Given.NEAR_COMPLEMENTS: {"d": 0.62500003}}
    numbers = NUMBERS | own.get(given, {})
    text = re.sub(r"\b[pbcdke]\b", lambda letter: str(numbers[letter[0]]), text)
    values = ("x = g", "y = w", "z = cos(w)", "u = sin(g)", "n = exp(w)", "s = cos(g)", "o = g", "r = lr", "a = lr")
    return program("w, g, lr", *values, f"update = {text}", returns="update")


def numbers(rng_seed):
    """Draw numbers of either sign and with sizes from 1e-3 to 10, in three arrays."""
    rng = np.random.default_rng(rng_seed)
    return tuple(rng.choice([-1.0, 1.0], size) * 10.0 ** rng.uniform(-3.0, 1.0, size) for size in ((50,), (6, 5), ()))


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_both_sides_of_a_rule_are_equal(rule):
    for rng_seed in range(4):
        x, y, a = numbers(rng_seed), numbers(rng_seed + 100), [0.9, -0.5, 1.5, 0.0][rng_seed]
        left, right = (
            run_numpy(expression(side, rule.given), y, [x], a)[0] for side in (rule.pattern, rule.replacement)
        )
        scale = max(np.abs(leaf).max() for leaf in (*x, *y))
        for one, other in zip(left, right, strict=True):
            assert np.isfinite(other).all()
            if rule.proof is not Proof.NEARLY:
                np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12 * scale)
            else:
                np.testing.assert_allclose(one, other, rtol=SLACK)
                if rule.pattern != "x / 1.0":
                    assert (one != other).any()  # otherwise the rule would be exact


def size_without_sharing(text):
    """Return how many calls, variables and arguments there are, the depth of lr, and minus the depth of numbers.

    Every use counts; a call on numbers counts as one number.
    """
    graph = from_program(expression(text), simplifier((), folding=True))

    def size(place, depth):
        node = graph.nodes[place]
        if isinstance(node, Input):
            return np.array([0, 1, 0, depth if node.name == "lr" else 0, 0])
        if isinstance(node, Number):
            return np.array([0, 0, 0, 0, -depth])
        parts = (size(argument, depth + 1) for argument in node.arguments)
        return sum(parts, start=np.array([1, 0, len(node.arguments), 0, 0]))

    return tuple(size(graph.update, 0).tolist())


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_rule_makes_an_expression_smaller(rule):
    assert size_without_sharing(rule.replacement) < size_without_sharing(rule.pattern)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_rule_is_applied_in_full(rule):
    derivation = programs.simplify(expression(rule.pattern, rule.given))
    result = programs.simplify(expression(rule.replacement, rule.given)).program
    assert programs.key(derivation.program) == programs.key(result)
    if rule.pattern != "where(x, y, y)":  # it equals where(a, x, x), unless kinds matter
        same_key = programs.key(expression(rule.pattern, rule.given)) == programs.key(
            expression(rule.replacement, rule.given)
        )
        assert same_key == rule.decides_keys
    used = {(step.proof, step.gaps) for step in derivation.steps if step.reason == str(rule)}
    assert used <= {(rule.proof, rule.gaps)}
    assert used or rule.proof is not Proof.NEARLY  # other rules may apply instead


def test_rules_are_told_apart():
    assert len({(rule.pattern, rule.given) for rule in RULES}) == len(RULES)


def test_a_rule_that_would_change_a_kind_is_left_alone():
    larger = program("g, lr", "x = interp(lr, g, 0.0)", "update = norm(x)", returns="update")  # g's shape matters
    assert programs.simplify(larger).program == larger


def assert_derivation_holds(derivation):
    before = derivation.start
    for step in derivation.steps:
        programs.check(step.program)
        assert programs.parse(str(step.program)) == step.program
        if step.exact:
            decides_no_key = any(step.reason == str(rule) and not rule.decides_keys for rule in RULES)
            decides_no_key |= step.reason in (
                FOLD,
                RESCALE_STATE,
            )  # the text does not show that a number was computed
            assert decides_no_key or programs.key(step.program) == programs.key(before), step.reason
        if step.proof in (Proof.EXACT, Proof.REAL):
            assert behave_alike(probe(step.program), probe(before)), step.reason
        before = step.program
    assert programs.simplify(derivation.program).steps == ()


def test_the_papers_raw_winner():
    derivation = programs.simplify(programs.parse(RAW_WINNER))
    assert_derivation_holds(derivation)
    assert derivation.start == programs.parse(RAW_WINNER)
    facts = programs.check(derivation.program)
    assert len(derivation.program.statements) <= 12
    assert facts.statements == len(derivation.program.statements)
    assert len(derivation.program.state) == facts.state_slots == 1
    functions = [statement.function for statement in derivation.program.statements]
    assert "sqrt" not in functions  # sqrt(m * m) became |m|; a later step reorders (m lr) / |m|
    assert behave_alike(probe(derivation.program), probe(derivation.start), rtol=1e-3)


@pytest.mark.parametrize("name", SEEDS)
def test_seed_programs(name):
    derivation = programs.simplify(programs.load(name))
    assert_derivation_holds(derivation)
    assert len(derivation.program.statements) <= len(programs.load(name).statements)
    if name in ("sgd", "momentum", "lion"):
        assert {step.reason for step in derivation.steps} <= {"parameters that are not read left out"}
        assert derivation.program.statements == programs.load(name).statements


def test_mutants_of_seed_programs():
    for mutant in [*random_mutants(60, edits=6), *random_mutants(20, edits=25)]:
        assert_derivation_holds(programs.simplify(mutant))


def reasons(subject):
    return [step.reason for step in programs.simplify(subject).steps]


def test_dead_statements_and_dead_state_go_first():
    subject = program("g, m, v, lr", "x = sqrt(g)", "m = m + x", "update = g * v", "v = g", returns="update, m, v")
    derivation = programs.simplify(subject)
    assert derivation.steps[0].reason == "2 dead statements left out"
    assert str(derivation.program) == "def train(g, v):\n    update = g * v\n    v = g\n    return update, v\n"


def test_idle_state_is_zero():
    subject = program("g, m, v", "x = m * 2.0", "update = g - x", returns="update, m, v")
    assert ZERO_STATE in reasons(subject)
    assert str(programs.simplify(subject).program) == "def train(g):\n    return g\n"


def test_equal_state_becomes_one():
    subject = program(
        "g, m, v", "m = interp(g, m, 0.9)", "v = interp(g, v, 0.9)", "update = m + v", returns="update, m, v"
    )
    derivation = programs.simplify(subject)
    assert MERGE_STATE in reasons(subject)
    assert derivation.program.state == ("m",)
    assert str(derivation.program.statements[-1]) == "update = m * 2.0"
    assert_derivation_holds(derivation)


def test_equal_state_that_trades_places_becomes_one():
    subject = program(
        "g, a, b",
        "x = interp(g, b, 0.9)",
        "b = interp(g, a, 0.9)",
        "a = x",
        "update = a * b",
        returns="update, a, b",
    )
    derivation = programs.simplify(subject)
    assert len(derivation.program.state) == 1
    assert_derivation_holds(derivation)


def test_numbers_are_folded():
    subject = program("g", "x = sqrt(0.25)", "y = x * 4.0", "update = g * y", returns="update")
    derivation = programs.simplify(subject)
    assert set(reasons(subject)) == {FOLD}
    assert [str(statement) for statement in derivation.program.statements] == ["update = g * 2.0"]


@pytest.mark.parametrize("call", ["reciprocal(0.0)", "exp(1e6)", "1e300 * 1e300", "log(0.0)", "power(-1.0, 0.5)"])
def test_what_is_not_finite_is_not_folded(call):
    subject = program("g", f"x = {call}", "update = g * x", returns="update")
    assert FOLD not in reasons(subject)
    programs.key(subject)


@pytest.mark.parametrize(
    "subject",
    [
        program("g, m, v", "x = m", "m = v", "v = x", "m = m + g", "update = v", returns="update, m, v"),
        program("g, a, b, c", "x = a", "a = b", "b = c", "c = x + g", "update = a", returns="update, a, b, c"),
        program("g, m, v", "update = m", "x = interp(g, m, 0.5)", "m = v", "v = x", returns="update, m, v"),
        program("g, m, v", "update = v", "v = m", "m = g", returns="update, m, v"),
        program("g, m, v", "v = m", "m = g", returns="v, m, v"),
        program("g, m, v", "x = m + v", "m = x", "v = x", "update = x * g", "m = m + g", returns="update, m, v"),
        program("g, m, v", "m = g", "v = g", "update = m * v", returns="update, m, v"),
        program("g, m", "update = m", "m = 0.5", returns="update, m"),
        program("g, m", "update = 0.5", returns="update, m"),
        program("g, m", "update = m * g", "m = g", returns="update, m"),
        program("w, g, m", "update = m", "m = w", "w = g", returns="update, m"),
        program("g, m, lr", "update = g * m", "m = lr", returns="m, m"),
        program("g, update", "m = update + g", "update = g", returns="m, update"),
        program("g, v1, v2", "v3 = v1 + g", "v1 = v2 + g", "v2 = v3 * g", returns="v1, v1, v2"),
    ],
    ids=range(14),
)
def test_a_program_survives_being_a_graph(subject):
    written = to_program(from_program(subject), subject.parameters)
    assert programs.parse(str(written)) == written
    assert programs.key(written) == programs.key(subject)
    assert behave_alike(probe(written, steps=8), probe(subject, steps=8))


@given(mutants)
@hypothesis.settings(max_examples=200)
def test_a_mutant_survives_being_a_graph(subject):
    written = to_program(from_program(subject), subject.parameters)
    assert programs.parse(str(written)) == written
    assert programs.key(written) == programs.key(subject)
    assert behave_alike(probe(written), probe(subject), rtol=1e-9)
    assert all(programs.check(written).live) or "copy" in {statement.function for statement in written.statements}


@given(mutants)
def test_simplifying_never_adds_a_statement(subject):
    live, simple = programs.check(subject), programs.check(programs.simplify(subject).program)
    assert simple.statements <= live.statements + 1  # one copy if the update is a number or old state
    assert simple.state_slots <= live.state_slots


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["x = reciprocal(m)", "update = interp(g, x, 0.0)"], ["update = interp(g, m, 0.0)"]),  # 0 * inf is NaN
        (["x = 1.0 + 3e-8", "x = x - 1.0", "x = x * 1e7", "update = g * x"], ["update = g * 0.3"]),  # 0 in 32 bits
        (["x = cube(g)", "update = sign(x)"], ["update = sign(g)"]),  # cube underflows
    ],
)
def test_a_key_tells_apart_what_differs_in_32_bit_floats_only(one, other):
    one, other = (program("g, m", *lines, "m = m * 0.5", returns="update, m") for lines in (one, other))
    assert programs.key(one) != programs.key(other)


def test_the_rules_that_decide_keys_are_those_of_stored_runs():
    text = "\n".join(map(str, KEY_RULES))
    assert (
        hashlib.sha256(text.encode()).hexdigest() == "06b974d5180324f21d11a9dbb46179394d33c4d633cfec7f7994d40b214aa250"
    )
    keys = "\n".join(programs.key(programs.load(name)) for name in ("lion", "lion_raw", "adamw", "muon", "adai"))
    assert (
        hashlib.sha256(keys.encode()).hexdigest() == "b4ffd960d86f6c2b43194e637642d14776ce847ed553bafd6548178be4762ae2"
    )


def test_a_where_of_equal_branches_whose_condition_is_no_scalar():
    subject = program("g", "x = where(g, g, g)", "update = norm(x)", returns="update")
    assert str(programs.simplify(subject).program) == "def train(g):\n    update = norm(g)\n    return update\n"
    scalar = program("g, lr", "x = where(g, lr, lr)", "update = norm(x)", returns="update")  # g's shape matters
    assert programs.simplify(scalar).program == scalar


def test_a_rule_that_would_leave_more_to_compute_is_not_used():
    subject = program(
        "w, g, m, v, lr",
        "x = g * lr",
        "y = w * lr",
        "update = x + y",  # would become (g + w) * lr if x and y were not read elsewhere
        "update = update * m",
        "update = update * v",
        "m = exp(x)",
        "v = cos(y)",
        returns="update, m, v",
    )
    assert programs.simplify(subject).steps == ()


def test_numbers_are_rounded_only_where_32_bit_floats_cannot_tell():
    subject = program("g", "x = g * 0.8999999761581421", "update = x + 0.03333333333333333", returns="update")
    derivation = programs.simplify(subject)
    assert [(step.reason, step.exact) for step in derivation.steps] == [(ROUND, False), (TIDY, True)]
    assert [str(s) for s in derivation.program.statements] == [
        "update = g * 0.9",
        "update = update + 0.03333333333333333",
    ]


def test_a_state_variable_at_another_scale():
    subject = program("g, m", "x = g * 3.0", "m = interp(x, m, 0.9)", "y = m * 2.0", "m = m - x", returns="y, m")
    assert RESCALE_STATE not in reasons(subject)  # the same number of statements at any scale
    subject = program("g, m", "x = g * 2.0", "m = interp(x, m, 0.9)", "y = m * 0.5", returns="y, m")
    derivation = programs.simplify(subject)
    assert RESCALE_STATE in reasons(subject)
    assert str(derivation.program) == "def train(g, m):\n    m = interp(g, m, 0.9)\n    return m, m\n"
    assert_derivation_holds(derivation)


def test_the_rate_goes_last():
    subject = program(
        "w, g, m, lr",
        "m = interp(g, m, 0.9)",
        "a = lr * 0.01",
        "b = a * m",
        "c = norm(g)",
        "b = b / c",
        "d = w * a",
        "d = d * 0.1",
        "update = b + d",
        returns="update, m",
    )
    assert str(programs.simplify(subject).program) == (
        "def train(w, g, m, lr):\n"
        "    m = interp(g, m, 0.9)\n"
        "    length = norm(g)\n"
        "    update = m / length\n"
        "    wd = w * 0.1\n"
        "    update = update + wd\n"
        "    lr = lr * 0.01\n"
        "    update = update * lr\n"
        "    return update, m\n"
    )


def test_the_raw_winner_reads_as_lion():
    assert str(programs.simplify(programs.parse(RAW_WINNER)).program) == (
        "def train(w, g, m, lr):\n"
        "    g = clip(g, lr)\n"
        "    g = arcsin(g)\n"
        "    update = interp(g, m, 0.9)\n"
        "    update = sign(update)\n"
        "    wd = w * 0.4601978361606598\n"
        "    update = update + wd\n"
        "    lr = lr * 0.0002171761734643951\n"
        "    update = update * lr\n"
        "    m = interp(g, m, 0.9982197046279907)\n"
        "    return update, m\n"
    )


@given(mutants)
def test_tidying_changes_no_value(subject):
    tidied = tidy(subject)
    assert programs.parse(str(tidied)) == tidied
    assert programs.key(tidied) == programs.key(subject)
    for one, other in zip(probe(tidied), probe(subject), strict=True):
        for x, y in zip(one, other, strict=True):
            np.testing.assert_array_equal(x, y)


def test_a_divisor_no_larger_than_what_division_adds_keeps_its_rules_away():
    given = program("g, lr", "m = g * 1e-9", "v = abs(m)", "update = m / v", returns="update")  # nearly 0.1 * g
    derivation = programs.simplify(given)
    assert programs.largest_difference(given, derivation.program) <= programs.TOLERANCES[programs.Proof.NEARLY]
    larger = program("g, lr", "m = g * 10.0", "v = abs(m)", "update = m / v", returns="update")
    assert [s.function for s in programs.simplify(larger).program.statements] == ["sign"]


def test_programs_are_compared_at_the_same_weights():
    given = program("w, g", "v = abs(g)", "update = g * w / v", returns="update")  # w or -w: weights go to nearly 0
    assert programs.largest_difference(given, programs.simplify(given).program) < 1e-5
