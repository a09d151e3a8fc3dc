"""Abstract execution: kinds, scalar errors, live statements across steps, state slots, inputs."""

import copy
from dataclasses import replace

import pytest
from program_cases import RAW_WINNER, SEEDS, program

import programs
from programs import Kind, ProgramError, Statement

SCALAR, PER_ARRAY, TENSOR = Kind.SCALAR, Kind.PER_ARRAY, Kind.TENSOR


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("x = 1.0", SCALAR),
        ("x = get_pi()", SCALAR),
        ("x = lr", SCALAR),
        ("x = t", SCALAR),
        ("x = w", TENSOR),
        ("x = sign(g)", TENSOR),
        ("x = lr * 2.0", SCALAR),
        ("x = lr * g", TENSOR),
        ("x = norm(g)", PER_ARRAY),
        ("x = norm(lr)", SCALAR),
        ("x = norm(g) * lr", PER_ARRAY),
        ("x = norm(g) * g", TENSOR),
        ("x = norm(norm(g))", PER_ARRAY),
        ("x = global_norm(g)", SCALAR),
        ("x = dot(g, w)", SCALAR),
        ("x = cosine_sim(norm(g), w)", SCALAR),
        ("x = clip(g, lr)", TENSOR),
        ("x = clip(norm(g), 1.0)", PER_ARRAY),
        ("x = clip(lr, 1.0)", SCALAR),
        ("x = interp(lr, g, 0.9)", TENSOR),
        ("x = interp(lr, norm(g), lr)", PER_ARRAY),
    ],
)
def test_kinds(line, kind):
    assert programs.check(program("w, g, t, lr", line, "update = g", returns="update")).kinds[-2] is kind


def test_kinds_of_state_are_the_least_fixed_point_of_the_loop():
    facts = programs.check(
        program(
            "g, a, b, c, d, lr",
            "x = a * 2.0",  # a becomes the old b, b the old c, c a tensor: three passes
            "a = b",
            "b = c",
            "c = g",
            "d = d + lr",
            "update = x + d",
            returns="update, a, b, c, d",
        )
    )
    assert facts.state_kinds == {"a": TENSOR, "b": TENSOR, "c": TENSOR, "d": SCALAR}
    assert facts.kinds == (TENSOR, TENSOR, TENSOR, TENSOR, SCALAR, TENSOR)


def test_a_norm_tracker_costs_one_number():
    tracked = program(
        "g, n, lr",
        "n = interp(global_norm(g), n, 0.9)",
        "update = g / n",
        returns="update, n",
    )
    facts = programs.check(tracked)
    assert facts.state_kinds == {"n": SCALAR}
    assert facts.live_state == ("n",)
    assert facts.state_slots == 0
    by_array = programs.check(program("g, n", "n = max(norm(g), n)", "update = g / n", returns="update, n"))
    assert by_array.state_kinds == {"n": PER_ARRAY}
    assert by_array.state_slots == 0


def test_the_raw_winner_of_the_paper():
    facts = programs.check(programs.parse(RAW_WINNER))
    lines = [line.strip() for line in RAW_WINNER.splitlines()[1:-1]]
    dead = [line for line, live in zip(lines, facts.live, strict=True) if not live]
    assert dead == [
        "m = clip(m, lr)",
        "v845 = sqrt(0.6270633339881897)",
        "v968 = sign(v)",
        "v968 = v - v",
        "v845 = tanh(v845)",
        "v1 = square(v1)",
        "m = cosh(update)",
        "lr = tan(1.4572199583053589)",
        "lr = cos(v845)",
    ]
    assert facts.live_state == ("v",)
    assert facts.state_slots == 1
    assert facts.state_kinds == {"m": TENSOR, "v": TENSOR}
    assert facts.inputs == {"w", "g", "lr"}
    assert facts.statements == 12
    # clip 2, interp twice 4, m * m 1, m * lr 1, sqrt 2, divide 2, wd * w 1, + 1; calls on lr alone cost nothing
    assert (facts.multiply_adds, facts.transcendentals, facts.cost) == (14, 1, 15)
    assert facts.update_kind is TENSOR


def test_the_raw_winner_within_one_step():
    """One call returns m, so analysing a single call keeps `m = cosh(update)`, as the paper's released code does."""
    winner = programs.parse(RAW_WINNER)
    within, across = programs.live_within_step(winner), programs.check(winner).live
    assert sum(within) == 13
    kept_in_vain = [
        str(s) for s, one, other in zip(winner.statements, within, across, strict=True) if one and not other
    ]
    assert kept_in_vain == ["m = cosh(update)"]
    assert all(one or not other for one, other in zip(within, across, strict=True))


@pytest.mark.parametrize(
    ("line", "cost"),
    [
        ("x = g * w", (1, 0)),
        ("x = lr * 2.0", (0, 0)),  # one number for the whole model
        ("x = norm(g)", (1, 0)),  # a tensor is read
        ("x = norm(norm(g))", (1, 0)),
        ("x = dot(g, w)", (1, 0)),
        ("x = g / lr", (2, 0)),
        ("x = exp(g)", (0, 1)),
        ("x = log(g)", (1, 1)),
        ("x = power(0.9, t)", (0, 0)),
        ("x = power(g, t)", (0, 1)),
    ],
)
def test_cost_is_what_each_weight_pays(line, cost):
    facts = programs.check(program("w, g, t, lr", line, "update = x", "y = exp(w)", returns="update"))
    assert (facts.multiply_adds, facts.transcendentals) == cost


def test_a_statement_is_live_if_only_a_later_step_reads_it():
    facts = programs.check(
        program("g, a, b, c", "update = a", "a = b", "b = g", "c = c + g", returns="update, a, b, c")
    )
    assert facts.live == (True, True, True, False)
    assert facts.live_state == ("a", "b")
    assert facts.state_slots == 2
    assert facts.inputs == {"g"}


def test_state_that_only_reads_itself_is_dead():
    facts = programs.check(program("g, m", "m = m + g", "update = g", returns="update, m"))
    assert (facts.live, facts.live_state, facts.cost) == ((False, True), (), 0)


def test_overwritten_inputs_are_no_inputs():
    facts = programs.check(program("w, g, t, lr", "w = g", "t = lr", "update = w * t", returns="update"))
    assert facts.inputs == {"g", "lr"}


def test_the_update_may_be_a_parameter():
    facts = programs.check(program("w, lr", returns="lr"))
    assert (facts.inputs, facts.statements, facts.update_kind) == ({"lr"}, 0, SCALAR)


SIZES = {  # state slots, live statements
    "accelerated_gradient": (1, 16),
    "acprop": (2, 19),
    "adabelief": (2, 17),
    "adabound": (2, 25),
    "adadelta": (2, 12),
    "adagrad": (1, 6),
    "adagrad_norm": (0, 5),
    "adai": (3, 24),
    "adam": (2, 15),
    "adamax": (2, 11),
    "adamaxw": (2, 13),
    "adamod": (3, 17),
    "adamw": (2, 17),
    "adamw_paper": (2, 9),
    "adan": (4, 30),
    "adanorm": (2, 20),
    "addsign": (1, 8),
    "ademamix": (3, 18),
    "adopt": (2, 16),
    "aggmo": (2, 8),
    "amsgrad": (3, 8),
    "cautious_adamw": (2, 26),
    "cautious_lion": (1, 14),
    "cocob": (5, 21),
    "dadapt_adamw": (3, 28),
    "diffgrad": (3, 20),
    "dog": (1, 17),
    "dowg": (1, 15),
    "fromage": (0, 17),
    "grams": (2, 20),
    "heavy_ball": (1, 4),
    "lamb": (2, 25),
    "laprop": (2, 17),
    "lars": (1, 12),
    "lion": (1, 7),
    "lion_pruned": (1, 12),
    "lion_raw": (1, 12),
    "madgrad": (3, 17),
    "mars": (3, 23),
    "momentum": (1, 4),
    "msvag": (2, 26),
    "muon": (1, 5),
    "nadam": (2, 21),
    "nadamw": (2, 23),
    "nesterov": (1, 6),
    "normalized_sgd": (0, 4),
    "novograd": (1, 13),
    "optimistic_adam": (3, 20),
    "optimistic_gradient_descent": (1, 7),
    "padam": (3, 8),
    "powersign": (1, 8),
    "prodigy": (4, 37),
    "qhadam": (2, 16),
    "qhm": (1, 3),
    "radam": (2, 30),
    "rmsprop": (1, 6),
    "rmsprop_centered": (3, 13),
    "rprop": (2, 15),
    "schedule_free_adamw": (2, 25),
    "schedule_free_sgd": (1, 16),
    "sgd": (0, 2),
    "sgdw": (1, 7),
    "sign_sgd": (0, 3),
    "signum": (1, 4),
    "simplified_ademamix": (2, 14),
    "tiger": (1, 6),
    "yogi": (2, 21),
}
BY_ARRAY = {  # these read whole weight arrays
    "adagrad_norm",
    "adai",
    "adanorm",
    "cautious_adamw",
    "cautious_lion",
    "dadapt_adamw",
    "dog",
    "dowg",
    "fromage",
    "lamb",
    "lars",
    "lion_pruned",
    "lion_raw",
    "mars",
    "muon",
    "normalized_sgd",
    "novograd",
    "prodigy",
}
WITH_DEAD_STATEMENTS = {"lion_raw"}


@pytest.mark.parametrize("seed", SIZES)
def test_seed_programs(seed):
    facts = programs.check(programs.load(seed))
    assert all(facts.live) == (seed not in WITH_DEAD_STATEMENTS)
    assert (facts.state_slots, facts.statements) == SIZES[seed]
    assert facts.update_kind is TENSOR
    assert programs.is_elementwise(programs.load(seed)) == (seed not in BY_ARRAY)


def test_every_seed_program_is_named_in_this_file():
    assert set(SEEDS) == set(SIZES)


def test_only_live_statements_count_as_elementwise():
    dead = program("g, lr", "x = global_norm(g)", "update = g * lr", returns="update")
    live = program("g, lr", "x = norm(g)", "update = g * x", returns="update")
    assert programs.is_elementwise(dead)
    assert not programs.is_elementwise(live)


@pytest.mark.parametrize(
    ("lines", "line", "column", "message"),
    [
        (["update = clip(g, g)"], 2, 14, "clip's argument 'c' must be a scalar, but 'g' is tensor"),
        (["x = norm(g)", "update = clip(g, x)"], 3, 14, "'x' is per-array"),
        (["update = interp(g, m, m)", "m = g"], 2, 14, "interp's argument 'a' must be a scalar, but 'm' is tensor"),
        (["a = m", "update = g + interp(g, g, a * 2.0)", "m = norm(g)"], 3, 18, "is per-array; global_norm, dot"),
    ],
)
def test_errors_of_kinds_are_located_in_the_text(lines, line, column, message):
    text = "def train(g, m):\n" + "".join(f"    {each}\n" for each in lines) + "    return update, m\n"
    with pytest.raises(ProgramError) as caught:
        programs.parse(text)
    assert message in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize(
    ("statements", "update", "message"),
    [
        ([Statement("x", "none", ("g",))], "x", "no function is called 'none'"),
        ([Statement("x", "sign", ("g", "g"))], "x", "sign takes 1 argument(s), got 2"),
        ([Statement("x", "add", ("g",))], "x", "add takes 2 argument(s), got 1"),
        ([Statement("x", "sign", ("y",))], "x", "'y' has no value here"),
        ([Statement("x", "clip", ("g", "g"))], "x", "must be a scalar"),
        ([], "x", "'x' is returned but has no value"),
    ],
)
def test_programs_made_by_hand_are_checked_too(statements, update, message):
    made = programs.Program(("g",), tuple(statements), update)
    for function in (programs.check, programs.key, programs.fingerprint, programs.to_optax, programs.export_optax):
        with pytest.raises(ProgramError) as caught:
            function(made)
        assert message in str(caught.value)


def test_facts_are_of_the_program_alone():
    subject = programs.load("adamw")
    facts = programs.check(subject)
    assert programs.check(subject) is facts  # computed once
    with pytest.raises(TypeError):
        facts.state_kinds["m"] = SCALAR  # pyright: ignore[reportIndexIssue]
    for copied in (copy.copy(subject), copy.deepcopy(subject), replace(subject)):
        assert copied == subject
        assert programs.check(copied) is not facts
        assert programs.check(copied) == facts
    assert programs.check(replace(subject, update="wd")) != facts


def test_a_program_holds_tuples():
    statements = [Statement("update", "sign", ("g",))]
    with pytest.raises(ProgramError, match="tuples"):
        programs.check(programs.Program(("g",), statements, "update"))  # pyright: ignore[reportArgumentType]
