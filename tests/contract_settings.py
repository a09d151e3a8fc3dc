"""The settings with which Optax's contract tests train the exports, and which tests are known to fail.

Optax's tests require that one setting of an optimizer solves six problems in 10 000 or 30 000 steps. Like Optax's
own tables, these give each seed program a rate with which it does. The rates were found on a grid; if several solve
all six problems, the middle one was chosen.
"""

import inspect
from collections.abc import Callable
from typing import Any

import optax

STEPS = 10_000  # of Optax's shorter trainings
NO_DECAY = 1e-4  # weight decay moves the solution; Optax tests its Lion with this one
RATES = {
    "accelerated_gradient": 0.0002,
    "acprop": 0.0001,
    "adabelief": 0.005,
    "adabound": 0.1,
    "adagrad": 0.5,
    "adagrad_norm": 0.5,
    "adai": 0.005,
    "adam": 0.02,
    "adamax": 0.05,
    "adamaxw": 0.05,
    "adamod": 0.02,
    "adamw": 0.02,
    "adamw_paper": 0.02,
    "adan": 0.05,
    "adanorm": 0.01,
    "addsign": 0.0008,
    "ademamix": 0.02,
    "adopt": 0.05,
    "aggmo": 0.0002,
    "amsgrad": 0.05,
    "cautious_adamw": 0.02,
    "cautious_lion": 0.001,
    "dadapt_adamw": 0.05,
    "diffgrad": 0.01,
    "dog": 0.28,
    "dowg": 0.1,
    "fromage": 0.005,
    "grams": 0.02,
    "heavy_ball": 0.001,
    "lamb": 0.002,
    "laprop": 0.02,
    "lars": 0.1,
    "madgrad": 0.001,
    "mars": 0.01,
    "momentum": 0.001,
    "msvag": 0.01,
    "muon": 0.005,
    "nadam": 0.01,
    "nadamw": 0.01,
    "nesterov": 0.0005,
    "normalized_sgd": 0.005,
    "novograd": 0.001,
    "optimistic_adam": 0.01,
    "optimistic_gradient_descent": 0.00068,
    "padam": 0.005,
    "powersign": 0.0005,
    "prodigy": 0.1,
    "qhadam": 0.01,
    "qhm": 0.002,
    "radam": 0.01,
    "rmsprop": 0.005,
    "rmsprop_centered": 0.001,
    "rprop": 0.05,
    "schedule_free_adamw": 0.02,
    "schedule_free_sgd": 0.01,
    "sgd": 0.0018,
    "sgdw": 0.1,
    "tiger": 0.002,
    "yogi": 0.1,
}
# If the size of the steps does not shrink with the gradient, training ends only if the rate falls: to 0 after STEPS.
FALLING = {
    "adadelta": 0.4,
    "cocob": 1.0,
    "lion": 0.003,
    "lion_pruned": 1.0,
    "lion_raw": 1.0,
    "signum": 0.003,
    "simplified_ademamix": 0.0002,
}
# The raw Lion clips gradients to the unscaled rate, so the size of its step is a separate constant.
CONSTANTS = {
    "lion_pruned": {"c1": 0.003, "c2": NO_DECAY},
    "lion_raw": {"c1": 0.003, "c2": NO_DECAY},
}
_ROSENBROCK = "test_optimization(setup_rosenbrock"
_COMPLEX = "test_optimization(setup_rosenbrock, complex64), split"
WITHOUT_RATE = "without a rate"  # ends the name of a mutant that does not read `lr`
_SCHEDULE = "test_optimizers_accept_learning_rate_schedule_if_type_annotated_as_such"
# The tests that fail, by the beginning of their names, and why.
KNOWN_FAILURES = {
    "acprop": {_ROSENBROCK: "10 000 steps are too few, as for optax.contrib.acprop, which Optax gives 30 000"},
    "ademamix": {
        "test_optimizers_can_be_wrapped_in_inject_hyperparams": "an injected 0.9999 is a float32, and "
        "1 - 0.9999 off by 1.7e-4, in optax.contrib.ademamix too; the test asks for 1e-4"
    },
    "cocob": {_COMPLEX: "a chaotic course, solved or not by rounding; optax.contrib.cocob does not solve it"},
    "fromage": {_COMPLEX: "a chaotic course, solved or not by rounding; Optax leaves complex weights out for its own"},
    "optimistic_gradient_descent": {
        _COMPLEX: "the rates that are stable are too slow; Optax leaves complex weights out for its own"
    },
    "sgd": {_COMPLEX: "the rates that are stable are too slow; Optax tries its own with momentum only"},
}


def settings(name: str, factory: Callable[..., optax.GradientTransformation]) -> dict[str, Any]:
    """Return the keyword arguments with which a seed program's export solves the problems of Optax's tests."""
    found: dict[str, Any] = {each: NO_DECAY for each in inspect.signature(factory).parameters if "weight_decay" in each}
    if name == "sign_sgd":
        found["learning_rate"] = optax.exponential_decay(2.0, STEPS, 1e-4)
    elif name in FALLING:
        found["learning_rate"] = optax.linear_schedule(FALLING[name], 0.0, STEPS)
    else:
        found["learning_rate"] = RATES[name]
    return found | CONSTANTS.get(name, {})


def reason_known(name: str, test: str) -> str:
    """Return why a test of a program is known to fail, or an empty text."""
    method = test.partition(" ")[2]
    if name.endswith(WITHOUT_RATE) and method.startswith(_SCHEDULE):
        return "it takes no schedule, since its rate has no effect"
    return next((why for begin, why in KNOWN_FAILURES.get(name, {}).items() if method.startswith(begin)), "")
