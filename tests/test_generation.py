"""Random programs and crossover: valid by construction, within limits, and exactly the expected set of results."""

import re
from collections import Counter

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from program_cases import mutants, program, rng_seeds

import programs
from programs import FUNCTIONS, Limits

NUMBER = re.compile(r"(?<![\w.])-?\d+(\.\d+)?(e[+-]?\d+)?(?![\w.])")


def shape(subject):
    """Return the text with every number replaced by '#'."""
    return NUMBER.sub("#", str(subject))


def drawn(length, rng_seed, limits=None, **options):
    return programs.random_program(length, np.random.default_rng(rng_seed), limits or Limits(), **options)


def crossed(first, second, rng_seed, limits=None):
    return programs.crossover(first, second, np.random.default_rng(rng_seed), limits or Limits())


def assert_within(subject, limits):
    programs.check(subject)
    assert programs.parse(str(subject)) == subject
    assert len(subject.statements) <= limits.statements
    assert len(subject.state) <= limits.state
    for statement in subject.statements:
        for argument in statement.arguments:
            assert isinstance(argument, str) or abs(argument) <= limits.constant


@given(st.integers(1, 40), rng_seeds, st.sampled_from([0.5, 1e6]))
@hypothesis.settings(max_examples=100)
def test_random_programs_have_the_length_and_keep_to_the_limits(length, rng_seed, constant):
    limits = Limits(constant=constant, functions=tuple(sorted(FUNCTIONS)))
    subject = drawn(length, rng_seed, limits)
    assert len(subject.statements) == length
    assert (subject.parameters, subject.update) == (("w", "g", "m", "v", "lr"), "update")
    assert_within(subject, limits)


def test_reach_of_random_programs():
    limits = Limits(functions=("clip", "sign"))
    reached = {shape(drawn(1, rng_seed, limits, parameters=("g", "m"))) for rng_seed in range(600)}
    calls = {f"sign({x})" for x in ("g", "m", "#")} | {f"clip({x}, {c})" for x in ("g", "m", "#") for c in ("m", "#")}
    assert reached == {
        f"def train(g, m):\n    update = {call}\n    return update, m\n"
        for call in calls  # m is a scalar, always 0
    }


def test_random_programs_differ_and_use_every_function():
    subjects = [drawn(15, rng_seed) for rng_seed in range(200)]
    assert len(set(map(str, subjects))) == 200
    used = Counter(statement.function for subject in subjects for statement in subject.statements)
    assert set(used) == {name for name, row in FUNCTIONS.items() if row.paper}
    assert max(used.values()) < 3 * min(used.values())
    kinds = {kind for subject in subjects for kind in programs.check(subject).state_kinds.values()}
    assert kinds == set(programs.Kind)


@pytest.mark.parametrize("length", [0, 41, -1])
def test_a_length_out_of_the_limits_is_refused(length):
    with pytest.raises(ValueError, match="not from 1 to 40"):
        drawn(length, 0)


def test_a_state_variable_may_be_called_update():
    limits = Limits(functions=("clip", "add"))
    subjects = [drawn(4, rng_seed, limits, parameters=("g", "update")) for rng_seed in range(300)]
    assert all(subject.update not in subject.state for subject in subjects)
    for subject in subjects:
        assert_within(subject, limits)


def test_a_program_reads_something():
    with pytest.raises(ValueError, match="parameters"):
        drawn(1, 0, parameters=())


@pytest.mark.parametrize(
    "wrong",
    [{"functions": ()}, {"functions": ("sinus",)}, {"statements": -1}, {"state": -1}, {"constant": 0.0}],
    ids=str,
)
def test_limits_within_which_there_is_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match="right would be"):
        Limits(**wrong)


def test_too_many_state_variables_are_refused():
    with pytest.raises(ValueError, match="2 state variables are more than 1"):
        drawn(3, 0, Limits(state=1))


@given(mutants, mutants, rng_seeds)
@hypothesis.settings(max_examples=200)
def test_children_of_any_two_programs_are_well_formed(first, second, rng_seed):
    limits = Limits(
        statements=max(len(first.statements), len(second.statements), 1), state=max(len(first.state), len(second.state))
    )
    child = crossed(first, second, rng_seed, limits)
    assert_within(child, limits)
    assert child.parameters[: len(first.parameters)] == first.parameters


FIRST = program("g, m", "m = g", "update = sign(m)", returns="update, m")
SECOND = program("w, g, v, lr", "x = w * lr", "v = v + x", "update = v", returns="update, v")


def test_reach_of_crossover():
    """Every cut of the first with every cut of the second; x has no value if its statement is cut off."""
    heads = [(), ("m = g",), ("m = g", "update = sign(m)")]
    expected = set()
    for head in heads:
        known = ["g", "m", "w", "lr", "v", *(["update"] if len(head) == 2 else [])]
        tails = [(), ("update = v",), ("x = w * lr", "v = v + x", "update = v")]
        tails += [(f"v = v + {x}", "update = v") for x in [*known, "#"]]
        for lines in ((*head, *tail) for tail in tails):
            returned = ["update"] if lines and lines[-1].startswith("update") else known
            for update in returned:
                text = "".join(f"    {line}\n" for line in lines)
                expected.add(f"def train(g, m, w, lr, v):\n{text}    return {update}, m, v\n")
    assert {shape(crossed(FIRST, SECOND, rng_seed)) for rng_seed in range(3000)} == expected


def test_crossover_keeps_to_the_limits_of_state_and_statements():
    limits = Limits(statements=3, state=1)
    children = [crossed(FIRST, SECOND, rng_seed, limits) for rng_seed in range(300)]
    assert {child.state for child in children} == {("m",)}
    assert {len(child.statements) for child in children} == {0, 1, 2, 3}


def test_what_must_be_a_scalar_stays_one():
    """The tail needs m to be a scalar, but the head makes it a tensor: a number replaces it."""
    first = program("g, m", "m = g", "update = m", returns="update, m")
    second = program("g, m", "m = global_norm(g)", "update = clip(g, m)", returns="update, m")
    children = {shape(crossed(first, second, rng_seed)).split("\n", 1)[1] for rng_seed in range(300)}
    assert "    m = g\n    update = clip(g, #)\n    return update, m\n" in children
    assert "    update = clip(g, m)\n    return update, m\n" in children


def test_both_depend_on_the_random_numbers_alone():
    assert drawn(10, 3) == drawn(10, 3) != drawn(10, 4)
    adamw, lion = programs.load("adamw"), programs.load("lion")
    assert crossed(adamw, lion, 3) == crossed(adamw, programs.parse(str(lion)), 3)
    assert len({str(crossed(adamw, lion, rng_seed)) for rng_seed in range(50)}) > 20
