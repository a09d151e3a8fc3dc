"""What exact, real and nearly mean: every rule at extreme points in 32-bit floats, and the steps of derivations."""

import ast

import numpy as np
import pytest
from extreme_points import gaps_of
from program_cases import first_and_slow, program, random_mutants

import programs
from programs import Gap, Proof
from programs.algebra.rules import RULES


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_rule_says_where_32_bit_floats_differ(rule):
    found = gaps_of(rule)
    if rule.proof is Proof.NEARLY:
        found -= {Gap.ROUNDING}  # which is what nearly says
    right = f"{rule}: right would be {', '.join(sorted(found)) or 'no gap'}, as extreme points show"
    assert found <= set(rule.gaps), right
    assert bool(found) == bool(rule.gaps), right
    if rule.proof is not Proof.NEARLY:
        assert (rule.proof is Proof.EXACT) == (not rule.gaps)


def test_a_rule_that_decides_keys_is_exact():
    assert {rule.proof for rule in RULES if rule.decides_keys} == {Proof.EXACT}


def steps_of(*lines, inputs="g"):
    subject = program(inputs, *lines, returns="update")
    return subject, programs.simplify(subject)


def test_numbers_are_reciprocals_only_up_to_the_rounding_of_64_bit_floats():
    given, derivation = steps_of("x = g * 3.0", "update = x * 0.33333331")
    assert programs.largest_difference(given, derivation.program) <= programs.TOLERANCES[Proof.EXACT]
    assert [s.function for s in derivation.program.statements] == ["multiply"]
    _, third = steps_of("x = g * 3.0", "update = x * 0.3333333333333333")
    assert third.program.statements == ()


def test_numbers_that_add_up_to_1_in_32_bits_alone_make_an_interp_nearly():
    given, derivation = steps_of("x = g * 0.4", "y = w * 0.60000003", "update = x + y", inputs="w, g")
    assert [s.function for s in derivation.program.statements] == ["interp"]
    assert Proof.NEARLY in {step.proof for step in derivation.steps}
    difference = programs.largest_difference(given, derivation.program)
    assert programs.TOLERANCES[Proof.EXACT] < difference <= programs.TOLERANCES[Proof.NEARLY]


@pytest.mark.parametrize(
    ("lines", "left", "gap"),
    [
        (["x = g * 1e25", "x = x * 1e25", "x = x * 1e-25", "update = x * 1e-25"], [], Gap.OVERFLOW),
        (["x = g * 1e-25", "x = x * 1e-25", "x = x * 1e25", "update = x * 1e25"], [], Gap.UNDERFLOW),
        (["x = log(g)", "x = x * 0.0", "update = x + g"], [], Gap.NAN),
        (["x = square(g)", "update = sqrt(x)"], ["abs"], Gap.OVERFLOW),
        (["x = g + 1e6", "update = x - 1e6"], [], Gap.ROUNDING),
    ],
)
def test_a_step_that_revives_what_32_bit_floats_lose_is_real_and_says_so(lines, left, gap):
    given, derivation = steps_of(*lines)
    assert [s.function for s in derivation.program.statements] == left
    assert gap in {gap for step in derivation.steps for gap in step.gaps}
    assert gap in programs.gaps(given, derivation.program)
    for step in derivation.steps:
        assert (step.proof is Proof.EXACT) == (step.gaps == ())


def test_a_step_that_64_bit_floats_do_not_confirm_is_not_taken():
    for lines in (
        ["x = g * 1e300", "x = x * 1e300", "x = x * 1e-300", "update = x * 1e-300"],  # infinite in 64 bits, too
        ["x = g + 1e20", "update = x - 1e20"],  # zero
    ):
        given, derivation = steps_of(*lines)
        assert programs.largest_difference(given, derivation.program) <= programs.TOLERANCES[Proof.REAL]


def test_exact_steps_give_the_same_in_32_bit_floats_at_extreme_points():
    limits, checked = programs.Limits(functions=tuple(sorted(programs.FUNCTIONS))), set()
    some = [programs.random_program(20, np.random.default_rng(rng_seed), limits) for rng_seed in range(60)]
    for start in [*random_mutants(60, edits=6), *some]:
        before = start
        for step in programs.simplify(start).steps:
            if step.exact:
                assert programs.gaps(before, step.program) == (), step.reason
                checked.add(step.reason)
            before = step.program
    assert len(checked) > 20


def test_the_steps_of_a_reduction_hold_as_they_say():
    lion_like = program("w, g, m, lr", "x = square(g)", "x = sqrt(x)", "m = interp(x, m, 0.9)", "update = m * lr",
                        returns="update, m")  # fmt: skip
    proofs = set()
    for reduction in programs.reductions(lion_like):
        before = reduction.steps[0].program
        for step in reduction.steps[1:]:
            assert programs.largest_difference(before, step.program) <= programs.TOLERANCES[step.proof]
            before = step.program
            proofs.add(step.proof)
    assert Proof.REAL in proofs


EXTREMES = ["5e-324", "1e-310", "-1e-310", "1e-45", "1e-39", "1.2e-38", "1e-30", "0.0", "-0.0", "1e30", "3.4e38",
            "1e39", "1e300", "-1e300", "1.7976931348623157e308"]  # fmt: skip
BODIES = [
    ["x = g * {c}", "m = interp(x, m, 0.9)", "y = m * 2.0", "update = y * lr"],
    ["m = interp(g, m, {c})", "update = m * lr"],
    ["x = g / {c}", "m = max(m, {c})", "m = m * {c}", "update = x * m"],
    ["x = w * {c}", "x = g + x", "m = m * 0.9 + x * {c}", "b = power({c}, t)", "b = 1.0 - b", "update = m / b"],
    ["x = reciprocal({c})", "y = log({c})", "y = y * {c}", "m = where(m, x, y)", "update = g * m"],
    ["lr = lr * {c}", "m = interp(g, m, 0.9)", "x = clip(m, {c})", "update = x * lr"],
]


CASES = [(constant, body) for body in BODIES for constant in EXTREMES]


@pytest.mark.parametrize("case", first_and_slow(CASES, 18), ids=lambda case: f"{case[0]} in {case[1][0]}")
def test_extreme_constants_go_through_everything_that_reads_programs(case):
    constant, body = case
    given = program("w, g, m, t, lr", *(line.format(c=constant) for line in body), returns="update, m")
    derivation = programs.simplify(given)
    before = given
    for step in derivation.steps:
        assert programs.largest_difference(before, step.program) <= programs.TOLERANCES[step.proof]
        before = programs.parse(str(step.program))
    programs.key(given)
    programs.recognise(given)
    programs.effective(given)
    programs.nearest_seeds(given)
    programs.seed_relatives(given)
    programs.encode(given)
    assert r"\infty" not in programs.to_latex(given)
    for export in (programs.export_optax, programs.export_torch, programs.export_keras):
        ast.parse(export(given))
    for reduced in (*programs.reductions(given), *programs.roundings(given)):
        programs.parse(str(reduced.program))
