"""What is recognised in programs: in every seed program exactly its parts, however they are written."""

import re

import numpy as np
import pytest
from program_cases import program

import programs
from programs.understanding.recognition import PATTERNS

# By hand: every named part with its numbers (decays and bounds; for weight decay, relative to the rate and per step).
ADAM = ("EMA 0.9", "EMA 0.999", "bias correction 0.9", "bias correction 0.999", "RMS normalisation")
AVERAGE = ["EMA 0.9"]
GROWTH = "weight growth -0.1"
LOOKAHEAD = "lookahead 7"
PARTS = {
    "accelerated_gradient": ["value of the previous step", "change since the previous step"],
    "acprop": ["EMA 0.9", "EMA 0.999", "bias correction 0.999", "RMS normalisation"],
    "adabelief": [*ADAM],
    "adabound": [*ADAM, "clipping by value"],
    "adadelta": ["EMA 0.95", "EMA 0.95", "RMS normalisation", "scaling by a root"],
    "adagrad": ["sum over steps", "AdaGrad normalisation"],
    "adagrad_norm": ["sum over steps", "AdaGrad normalisation"],
    "adai": ["EMA 0.99", "EMA with a decay per weight", "running product", "clipping by value"],
    "adam": [*ADAM],
    "adamax": ["EMA 0.9", "running maximum 0.999", "bias correction 0.9", "normalisation by the running maximum"],
    "adamaxw": [
        "EMA 0.9",
        "running maximum 0.999",
        "bias correction 0.9",
        "normalisation by the running maximum",
        "decoupled weight decay 0.01 2e-05",
    ],
    "adamod": [*ADAM, "EMA 0.999"],
    "adamw": [*ADAM, "decoupled weight decay 0.01 1e-05"],
    "adamw_paper": ["EMA 0.9", "EMA 0.999", "RMS normalisation", "decoupled weight decay 0.01 1e-05"],
    "adan": [
        "EMA 0.98",
        "EMA 0.92",
        "EMA 0.99",
        "value of the previous step",
        "change since the previous step",
        "bias correction 0.98",
        "bias correction 0.92",
        "bias correction 0.99",
        "several momenta",
        "RMS normalisation",
        "decoupled weight decay 0.02 2e-05",
    ],
    "adanorm": [*ADAM, "EMA 0.95"],
    "addsign": ["EMA 0.9", "sign of a momentum", "sign of the gradient", "agreement of signs"],
    "ademamix": [*ADAM, "EMA 0.9999", "several momenta"],
    "adopt": ["EMA 0.9", "EMA 0.9999", "RMS normalisation", "clipping by value"],
    "aggmo": ["momentum 0.9", "momentum 0.99", "several momenta"],
    "amsgrad": ["EMA 0.9", "EMA 0.999", "running maximum", "normalisation by the running maximum"],
    "cautious_adamw": [*ADAM, "cautious mask", "decoupled weight decay 0.01 1e-05"],
    "cautious_lion": [
        "EMA 0.99",
        "momentum with two decays 0.9 0.99",
        "sign of a momentum",
        "cautious mask",
        "decoupled weight decay 0.1 1e-05",
    ],
    "cocob": ["sum over steps", "sum over steps", "running maximum", "first weights"],
    "dadapt_adamw": [*ADAM, "EMA 0.9995", "EMA 0.9995", "running maximum"],
    "diffgrad": [*ADAM, "value of the previous step", "change since the previous step"],
    "dog": ["sum over steps", "running maximum", "first weights", "AdaGrad normalisation"],
    "dowg": ["sum over steps", "running maximum", "first weights", "AdaGrad normalisation"],
    "fromage": ["trust ratio", "decoupled weight decay"],
    "grams": [*ADAM, "sign of the gradient", "size of one, sign of another"],
    "heavy_ball": ["momentum 0.9"],
    "lamb": [*ADAM, "trust ratio", "decoupled weight decay 0.01"],
    "laprop": [*ADAM],
    "lars": ["momentum 0.9", "trust ratio", "L2 regularisation 0.0005"],
    "lion": ["EMA 0.99", "momentum with two decays 0.9 0.99", "sign of a momentum", "decoupled weight decay 0.1 1e-05"],
    "lion_pruned": [
        "EMA 0.99822",
        "momentum with two decays 0.9 0.99822",
        "sign of a momentum",
        "clipping by global norm",
        "decoupled weight decay 0.460198 9.9944e-05",
    ],
    "lion_raw": [
        "EMA 0.99822",
        "momentum with two decays 0.9 0.99822",
        "sign of a momentum",
        "clipping by global norm",
        "decoupled weight decay 0.460198 9.9944e-05",
    ],
    "madgrad": ["sum over steps", "sum over steps", "first weights", "normalisation by another root"],
    "mars": [
        "EMA 0.95",
        "EMA 0.99",
        "value of the previous step",
        "change since the previous step",
        "bias correction 0.95",
        "bias correction 0.99",
        "RMS normalisation",
        "clipping by norm 1",
    ],
    "momentum": ["momentum 0.9"],
    "msvag": ["EMA 0.9", "EMA 0.9", "bias correction 0.9", "variance"],
    "muon": ["EMA 0.95", "Nesterov momentum 0.95", "orthogonalisation"],
    "nadam": [*ADAM, "Nesterov momentum 0.9"],
    "nadamw": [*ADAM, "Nesterov momentum 0.9", "decoupled weight decay 0.01 2e-05"],
    "nesterov": ["momentum 0.9", "Nesterov momentum 0.9"],
    "normalized_sgd": ["normalisation by its norm"],
    "novograd": ["EMA 0.98", "momentum 0.95", "RMS normalisation", "weight decay inside the momentum 0.001"],
    "optimistic_adam": [*ADAM, "value of the previous step", "change since the previous step"],
    "optimistic_gradient_descent": ["value of the previous step", "change since the previous step"],
    "padam": ["EMA 0.9", "EMA 0.999", "running maximum", "normalisation by the running maximum"],
    "powersign": ["EMA 0.9", "sign of a momentum", "sign of the gradient", "agreement of signs"],
    "prodigy": [*ADAM, "momentum 0.9995", "momentum 0.9995", "running maximum", "first weights"],
    "qhadam": [
        "EMA 0.995",
        "EMA 0.999",
        "bias correction 0.995",
        "bias correction 0.999",
        "quasi-hyperbolic momentum 0.7",
        "RMS normalisation",
    ],
    "qhm": ["EMA 0.999", "quasi-hyperbolic momentum 0.7"],
    "radam": [*ADAM],
    "rmsprop": ["EMA 0.9", "RMS normalisation"],
    "rmsprop_centered": ["EMA 0.95", "EMA 0.95", "momentum 0.9", "variance", "RMS normalisation"],
    "rprop": ["sign of the gradient"],
    "schedule_free_adamw": [
        "EMA 0.999",
        "sum over steps",
        "running maximum",
        "separate sequence of weights",
        "bias correction 0.999",
        "RMS normalisation",
    ],
    "schedule_free_sgd": ["sum over steps", "running maximum", "separate sequence of weights"],
    "sgd": [],
    "sgdw": ["momentum 0.9", "decoupled weight decay 0.0001"],
    "sign_sgd": ["sign of the gradient"],
    "signum": ["EMA 0.9", "sign of a momentum"],
    "simplified_ademamix": [
        "EMA 0.95",
        "momentum 0.99",
        "bias correction 0.95",
        "gradient added to the momentum 100",
        "RMS normalisation",
    ],
    "tiger": ["EMA 0.965", "sign of a momentum", "decoupled weight decay 0.01 1e-05"],
    "yogi": ["EMA 0.9", "additive second moment", "bias correction 0.9", "RMS normalisation"],
}


def named(given: programs.Program) -> list[str]:
    """Return the names of the recognised parts, with their numbers, sorted."""
    features = programs.recognise(given)
    return sorted(row.name + "".join(f" {number:g}" for _, number in row.numbers) for row in features)


def sentences(given: programs.Program) -> list[str]:
    return [feature.sentence for feature in programs.recognise(given)]


def test_the_table_has_every_seed_program():
    assert tuple(PARTS) == programs.seed_programs()


@pytest.mark.parametrize("name", PARTS)
def test_a_seed_program_is_made_of_these_parts_and_no_others(name):
    assert named(programs.load(name)) == sorted(PARTS[name])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (programs.lookahead(programs.load("sgd"), k=7), [LOOKAHEAD]),
        (programs.clip_by_global_norm(programs.load("sgd"), 2.0), ["clipping by global norm 2"]),
        (programs.clip_by_value(programs.load("sgd"), 0.5), ["clipping by value"]),
        (programs.l2(programs.load("momentum"), 0.03), ["momentum 0.9", "L2 regularisation 0.03"]),
        (
            programs.l2(programs.load("nesterov"), 0.03),
            ["momentum 0.9", "Nesterov momentum 0.9", "L2 regularisation 0.03"],
        ),
        (programs.weight_decay(programs.load("momentum"), 0.002), ["momentum 0.9", "decoupled weight decay 0.2 0.002"]),
        (programs.bias_correction(programs.load("signum")), ["EMA 0.9", "bias correction 0.9", "sign of a momentum"]),
    ],
    ids=["lookahead", "clip_by_global_norm", "clip_by_value", "l2", "l2:nesterov", "weight_decay", "bias_correction"],
)
def test_a_transformation_is_recognised(given, expected):
    assert named(given) == sorted(expected)


def test_every_pattern_is_found_somewhere():
    parts = [part for parts in PARTS.values() for part in parts]
    assert {pattern.name for pattern in PATTERNS} == {
        re.sub(r"( [-0-9.e]+)*$", "", part) for part in [*parts, LOOKAHEAD, GROWTH]
    }


def test_l2_is_no_decoupled_decay_where_it_matters_and_the_same_where_it_does_not():
    assert named(programs.l2(programs.load("adam"), 0.5)) == sorted([*ADAM, "L2 regularisation 0.5"])
    assert named(programs.l2(programs.load("sgd"), 0.5)) == ["decoupled weight decay 0.5 0.05"]


@pytest.mark.parametrize(
    "average",
    [
        ("m = interp(g, m, 0.9)",),
        ("m = m * 0.9 + g * 0.1",),
        ("m = m + (g - m) * 0.1",),
        ("m = g - (g - m) * 0.9",),
        ("a = interp(g, m, 0.75)", "m = interp(g, a, 1.2)"),
    ],
    ids=lambda lines: "; ".join(lines),
)
def test_an_average_is_recognised_however_it_is_written(average):
    given = program("g, m, lr", *average, "update = m * lr", returns="update, m")
    assert sentences(given) == ["m is the EMA of the gradient with decay 0.9 (time constant 10 steps)"]


@pytest.mark.parametrize(
    ("lines", "state", "expected"),
    [
        (("m = m * 0.9 + g * 0.2", "update = m * lr"), "m", ["momentum 0.9"]),
        (("m = m * 1.1 + g", "update = m * lr"), "m", []),
        (("update = sign(w) * lr",), "", []),
        (("x = cos(w)", "update = g + x"), "", []),
        (("x = sign(g * w)", "update = x * lr"), "", []),
        (("b = 1.0 - power(0.5, t)", "m = interp(g, m, 0.9)", "update = m / b"), "m", ["EMA 0.9"]),
        (("x = norm(g)", "update = x * lr"), "", []),
        (("update = g - w * 0.1",), "", [GROWTH]),
        (("m = interp(g, m, 0.9)", "b = power(0.9, t)", "b = 1.0 - b", "update = m * b"), "m", ["EMA 0.9"]),
        (
            ("m = interp(g, m, 0.9)", "b = power(0.9, t)", "b = 1.0 - b", "b = b * lr", "update = m * b"),
            "m",
            ["EMA 0.9"],
        ),
        (
            ("m = interp(g, m, 0.9)", "b = power(0.9, t)", "b = 1.0 - b", "update = m / b"),
            "m",
            ["EMA 0.9", "bias correction 0.9"],
        ),
        (("x = square(g)", "v = interp(x, v, 0.9)", "x = sqrt(v + w)", "update = g / x"), "v", ["EMA 0.9"]),
    ],
)
def test_what_only_looks_alike_is_not_recognised(lines, state, expected):
    parameters = ", ".join(name for name in ("w", "g", state, "t", "lr") if name)
    given = program(parameters, *lines, returns=", ".join(name for name in ("update", state) if name))
    assert named(given) == sorted(expected)


@pytest.mark.parametrize(
    ("lines", "state", "expected"),
    [
        (("m = interp(g, m, 0.9) / t", "update = m * lr"), "m", []),
        (("m = interp(g, m / t, 0.9)", "update = m * lr"), "m", []),
        (("update = (g + w * g * 0.1) * lr",), "", []),
        (("update = w - interp(g, w, lr)",), "", []),
        (
            ("update = (g + w * t * 0.01) * lr",),
            "",
            ["each step takes 0.01 * lr * t of the weights away"],
        ),
        (("update = (g + w * abs(w)) * lr",), "", ["each step takes lr * abs(w) of the weights away"]),
        (
            ("m = interp(g, m, 0.9) + 3.0", "update = m * lr"),
            "m",
            ["m is the EMA of the gradient with decay 0.9 (time constant 10 steps), with 3 added at every step"],
        ),
        (
            ("m = m * 0.9 + g * 0.075 + w * 0.025", "update = m * lr"),
            "m",
            ["m accumulates g * 0.075 and w * 0.025 with decay 0.9 (time constant 10 steps)"],
        ),
        (
            ("v = max(max(v * 0.99, abs(g)), square(w))", "update = g / v * lr"),
            "v",
            [
                "v keeps the largest of the size of the gradient and square(w) with decay 0.99 "
                "(time constant 100 steps)",
                "division by v, the running maximum of the size of the gradient and square(w)",
            ],
        ),
        (
            ("m = interp(g, m, 0.9)", "k = heaviside(negative(m * g))", "update = m * k * lr"),
            "m",
            ["m is the EMA of the gradient with decay 0.9 (time constant 10 steps)"],
        ),
    ],
)
def test_a_sentence_claims_no_more_than_is_so(lines, state, expected):
    parameters = ", ".join(name for name in ("w", "g", state, "t", "lr") if name)
    given = program(parameters, *lines, returns=", ".join(name for name in ("update", state) if name))
    assert sentences(given) == expected


def test_a_root_of_more_than_the_second_moment_says_so():
    given = program(
        "g, m, v, lr",
        "g2 = square(g)",
        "m = interp(g, m, 0.9)",
        "v = interp(g2, v, 0.9)",
        "x = square(m)",
        "x = v + x",
        "x = sqrt(x)",
        "update = g / x",
        returns="update, m, v",
    )
    assert "division by the square root of v + square(m), v being an average of the squared gradient" in sentences(
        given
    )


def test_sentences_tell_the_numbers():
    assert sentences(programs.load("lion_raw")) == [
        "m is the EMA of arcsin(clip(g, lr)) with decay 0.99822 (time constant 562 steps)",
        "m interpolated with arcsin(clip(g, lr)): decay 0.9 in the update, 0.99822 in the state",
        "sign of interp(arcsin(clip(g, lr)), m, 0.9)",
        "the gradient, scaled down to a global norm of at most lr",
        "each step takes 9.9944e-05 * lr of the weights away: 0.460198 times the learning rate",
    ]


@pytest.mark.parametrize("rng_seed", range(12))
def test_any_program_can_be_looked_at(rng_seed):
    rng = np.random.default_rng(rng_seed)
    limits = programs.Limits(functions=tuple(sorted(programs.FUNCTIONS)))
    names = {pattern.name for pattern in PATTERNS}
    given = programs.random_program(30, rng, limits)
    crossed = programs.crossover(given, programs.load(str(rng.choice(programs.seed_programs()))), rng, limits)
    assert {feature.name for feature in programs.recognise(crossed)} <= names
