"""Edits: every child is well formed and within limits, and the set of children is exactly as it should be."""

import re

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from program_cases import edit_names, program, rng_seeds, seeds

import programs
from programs import EDITS, FUNCTIONS, Kind, Limits

NUMBER = re.compile(r"(?<![\w.])-?\d+(\.\d+)?(e[+-]?\d+)?(?![\w.])")


def shape(subject):
    """Return the statements with every number replaced by '#'."""
    return tuple(NUMBER.sub("#", str(statement)) for statement in subject.statements)


def child(name, subject, rng_seed, limits=None):
    return EDITS[name].apply(subject, np.random.default_rng(rng_seed), limits or Limits())


def children(name, subject, draws=600, limits=None):
    """Return the shapes of all children that many draws reach."""
    return {shape(child(name, subject, rng_seed, limits)) for rng_seed in range(draws)}


def check_child(subject, limits):
    programs.check(subject)
    assert len(subject.statements) <= limits.statements
    assert programs.parse(str(subject)) == subject
    for statement in subject.statements:
        for argument in statement.arguments:
            assert isinstance(argument, str) or (type(argument) is float and abs(argument) <= limits.constant)


@given(seeds, rng_seeds, edit_names.map(lambda names: names * 3), st.sampled_from([1, 5, 20, 40]))
@hypothesis.settings(max_examples=60)
def test_any_sequence_of_edits_keeps_programs_well_formed(subject, rng_seed, names, room):
    limits = Limits(statements=len(subject.statements) + room)
    rng = np.random.default_rng(rng_seed)
    for name in names:
        if EDITS[name].applies(subject, limits):
            before, subject = subject, EDITS[name].apply(subject, rng, limits)
            check_child(subject, limits)
            assert len(subject.state) - len(before.state) == {"add_state": 1, "remove_state": -1}.get(name, 0)
            assert subject.update == before.update
            assert len(subject.statements) - len(before.statements) == {"insert": 1, "delete": -1}.get(name, 0)


@pytest.mark.parametrize("name", ["insert", "delete", "modify", "constants"])
def test_an_edit_changes_one_statement(name):
    subject = programs.load("adamw")
    for rng_seed in range(50):
        old, new = list(subject.statements), list(child(name, subject, rng_seed).statements)
        while old and new and old[0] == new[0]:
            del old[0], new[0]
        while old and new and old[-1] == new[-1]:
            del old[-1], new[-1]
        assert (len(old), len(new)) in {
            "insert": {(0, 1)},
            "delete": {(1, 0)},
            "modify": {(1, 1)},
            "constants": {(1, 1)},
        }[name]


SMALL = program("w, g, m, lr", "m = interp(g, m, 0.9)", "update = sign(m)", "update = update * lr", returns="update, m")
INTERP, SIGN, TIMES = shape(SMALL)


def test_small_program_has_the_shape_that_the_sets_below_are_written_for():
    assert (INTERP, SIGN, TIMES) == ("m = interp(g, m, #)", "update = sign(m)", "update = update * lr")


def test_reach_of_delete():
    # sign(m) is the update's first value, so it stays; the targets of the other statements have earlier values.
    assert children("delete", SMALL, 100) == {(SIGN, TIMES), (INTERP, SIGN)}


def test_reach_of_modify():
    first = {f"m = interp({x}, m, #)" for x in ("w", "m", "lr", "#")}
    first |= {f"m = interp(g, {y}, #)" for y in ("w", "g", "lr", "#")}
    first |= {f"m = interp(g, m, {a})" for a in ("lr", "#")}  # a scalar
    second = {f"update = sign({x})" for x in ("w", "g", "lr", "#")}
    third = {f"update = {x} * lr" for x in ("w", "g", "m", "lr", "#")}
    third |= {f"update = update * {y}" for y in ("w", "g", "m", "update", "#")}
    assert children("modify", SMALL) == (
        {(line, SIGN, TIMES) for line in first}
        | {(INTERP, line, TIMES) for line in second}
        | {(INTERP, SIGN, line) for line in third}
    )


def test_reach_of_insert():
    tiny = program("g, m, lr", "update = g * m", returns="update, m")
    limits = Limits(functions=("sign", "interp"))
    before = {"g", "m", "lr"}  # variables with a value at the first place; at the second the update has one too
    expected = set()
    for known, around in ((before, ((), shape(tiny))), (before | {"update"}, (shape(tiny), ()))):
        arguments = known | {"#"}
        calls = {f"sign({x})" for x in arguments}
        scalars = {"lr", "#"}
        if around[0]:
            scalars |= {"m"}  # always zero, and so a scalar, unless the inserted statement makes it a tensor
        calls |= {f"interp({x}, {y}, {a})" for x in arguments for y in arguments for a in scalars | {"m"}}
        for target in known | {"v1"}:
            expected |= {(*around[0], f"{target} = {call}", *around[1]) for call in calls}
    reached = children("insert", tiny, 30_000, limits)
    # A call that reads m as a scalar may not make m a tensor.
    illegal = {
        shape_ for shape_ in expected if any(re.match(r"m = interp\(.*\b(g|update)\b.*, m\)", line) for line in shape_)
    }
    assert reached == expected - illegal


def test_reach_of_constants():
    subject = program("g, lr", "x = lr * 2.0", "update = g * x", "update = update + 0.5", returns="update")
    changed = [child("constants", subject, rng_seed) for rng_seed in range(400)]
    assert {shape(each) for each in changed} == {shape(subject)}
    firsts = {each.statements[0].arguments[1] for each in changed if each.statements[0] != subject.statements[0]}
    seconds = {each.statements[2].arguments[1] for each in changed if each.statements[2] != subject.statements[2]}
    assert len(firsts) + len(seconds) == len(changed)
    assert min(len(firsts), len(seconds)) > 100
    doubled = [value for value in firsts if isinstance(value, float) and value > 0]
    assert 0.8 < len(doubled) / len(firsts) < 1.0  # a sign changes only if a constant is drawn again
    assert 0.5 < np.median(np.log2(doubled)) < 1.5  # about 2.0 times 2 to the power of a number around 0


def test_constants_stay_bounded():
    subject = program("g", "update = g * 1.0", returns="update")
    limits = Limits(constant=1.5)
    for name in ("constants", "modify", "insert"):
        values = {
            argument
            for rng_seed in range(200)
            for statement in child(name, subject, rng_seed, limits).statements
            for argument in statement.arguments
            if isinstance(argument, float)
        }
        assert {min(values), max(values)} == {-1.5, 1.5}


def test_reach_of_add_state():
    assert child("add_state", SMALL, 0) == program(
        "w, g, m, lr, v1", *map(str, SMALL.statements), returns="update, m, v1"
    )


def test_reach_of_remove_state():
    subject = program("g, m, v", "m = interp(m, g, 0.9)", "v = m", "update = m * v", returns="update, m, v")
    reached = {str(child("remove_state", subject, rng_seed)) for rng_seed in range(50)}
    assert reached == {
        str(program("g, v", "m = interp(0.0, g, 0.9)", "v = m", "update = m * v", returns="update, v")),
        str(program("g, m", "m = interp(m, g, 0.9)", "v = m", "update = m * v", returns="update, m")),
    }


SCALARS = program(
    "w, g, m, c, a, lr, t",
    "c = global_norm(g) * 0.5",
    "x = interp(c, a, lr)",
    "m = clip(m, x)",
    "m = interp(g, m, a)",
    "a = sqrt(c)",
    "update = clip(m, 1.0)",
    "update = interp(update, w, c)",
    returns="update, m, c, a",
)


def test_scalars_stay_scalars_over_many_edits():
    rng, limits, subject = np.random.default_rng(3), Limits(functions=("clip", "interp", "add", "norm", "dot")), SCALARS
    checked = 0
    for number in range(2000):
        names = [name for name in EDITS if EDITS[name].applies(subject, limits)]
        subject = EDITS[names[int(rng.integers(len(names)))]].apply(subject, rng, limits)
        programs.check(subject)  # raises if an argument that must be a scalar is not one
        checked += sum(FUNCTIONS[s.function].scalars != frozenset() for s in subject.statements)
        if number % 100 == 99:
            subject = SCALARS
    assert checked > 5000


@pytest.mark.parametrize(
    ("body", "forbidden"),
    [
        (["update = clip(g, m)", "m = lr"], "m = g"),
        (["x = lr", "y = x * 2.0", "update = clip(g, y)"], "x = g"),
        (["update = interp(g, w, m)", "m = m + lr"], "m = m + g"),
        (["update = interp(g, w, m)", "m = m + lr"], "m = norm(g)"),
    ],
)
def test_a_demand_reaches_through_statements_and_steps(body, forbidden):
    subject = program("w, g, m, lr", *body, returns="update, m")
    limits = Limits(functions=("norm", "add"))
    for name in [name for name in EDITS if EDITS[name].applies(subject, limits)]:
        reached = children(name, subject, 500, limits)
        assert not any(forbidden in lines for lines in reached)
        assert len(reached) > 0


@pytest.mark.parametrize("name", EDITS)
def test_edits_depend_on_the_random_numbers_alone(name):
    subject = programs.load("adamw")
    assert child(name, subject, 7) == child(name, programs.parse(str(subject)), 7)
    different = {"add_state": 1, "remove_state": 2}.get(name, 6)
    assert len({str(child(name, subject, rng_seed)) for rng_seed in range(20)}) >= different


def test_edits_know_when_they_cannot_be_made():
    empty = programs.parse("def train(g):\n    return g\n")
    assert {name for name, edit in EDITS.items() if edit.applies(empty, Limits())} == {"insert", "add_state"}
    single = program("g", "update = sign(g)", returns="update")
    assert {name for name, edit in EDITS.items() if edit.applies(single, Limits(statements=1, state=0))} == {"modify"}
    constant = program("g", "update = get_pi()", "g = update * 0.5", returns="g")
    assert {name for name, edit in EDITS.items() if edit.applies(constant, Limits(statements=2, state=0))} == {
        "delete",
        "modify",
        "constants",
    }
    full = program("g, m", "m = g", "update = m", returns="update, m")
    assert "add_state" not in {name for name, edit in EDITS.items() if edit.applies(full, Limits(state=1))}
    returned = program("g, m", returns="m, m")
    assert not EDITS["remove_state"].applies(returned, Limits())  # nothing else could be the update


def test_insert_draws_from_its_functions_alone():
    subject = programs.load("lion")
    for rng_seed in range(100):
        grown = child("insert", subject, rng_seed, Limits(functions=("cosh",)))
        assert [s.function for s in grown.statements if s not in subject.statements] == ["cosh"]
    drawn = {s.function for rng_seed in range(600) for s in child("insert", subject, rng_seed).statements}
    assert drawn == {name for name, row in FUNCTIONS.items() if row.paper}


def test_insert_can_give_a_state_variable_any_kind():
    subject = program("g, n", "update = g * n", "n = 0.5", returns="update, n")
    limits = Limits(functions=("norm", "sign"))
    kinds = {programs.check(child("insert", subject, rng_seed, limits)).state_kinds["n"] for rng_seed in range(200)}
    assert kinds == set(Kind)


@pytest.mark.parametrize("name", EDITS)
def test_an_attempt_is_the_edit_where_it_applies_and_else_draws_nothing(name):
    rng, adamw = np.random.default_rng(7), programs.load("adamw")
    assert EDITS[name].attempt(adamw, rng, Limits()) == child(name, adamw, 7)
    rng, empty = np.random.default_rng(7), programs.parse("def train(g):\n    return g\n")
    assert EDITS[name].attempt(empty, rng, Limits(statements=0, state=0)) is None
    assert rng.random() == np.random.default_rng(7).random()
