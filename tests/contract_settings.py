"""What the exports are made with where Optax's contract tests train them, and what is known to fail there.

Optax's tests ask that one setting of an optimizer solves six problems in 10 000 or 30 000 steps; as its own tables do
for its optimizers, these give each seed program a rate that does. The rates were found on a grid, in the middle of those
that solve all six where several do.
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
# Steps whose size does not shrink with the gradient end only where the rate falls: to 0 after STEPS steps.
FALLING = {
    "adadelta": 0.4,
    "cocob": 1.0,
    "lion": 0.003,
    "lion_pruned": 1.0,
    "lion_raw": 1.0,
    "signum": 0.003,
    "simplified_ademamix": 0.0002,
}
# The raw Lion clips gradients to the rate as it is, so that the size of its step is a constant of its own.
CONSTANTS = {
    "lion_pruned": {"c1": 0.003, "c2": NO_DECAY},
    "lion_raw": {"c1": 0.003, "c2": NO_DECAY},
}
LONG_FAILURES = {
    "acprop": "needs more than 10 000 steps on Rosenbrock's function, as optax.contrib.acprop does",
    "fromage": "no rate was found that solves the complex Rosenbrock function; Optax does not try its own there",
    "optimistic_gradient_descent": "rates that are stable on the complex Rosenbrock function need more steps",
    "sgd": "rates that are stable on the complex Rosenbrock function need more steps; Optax tries momentum there",
}


def settings(name: str, factory: Callable[..., optax.GradientTransformation]) -> dict[str, Any]:
    """Give the keyword arguments with which a seed program's export solves the problems of Optax's tests."""
    found: dict[str, Any] = {each: NO_DECAY for each in inspect.signature(factory).parameters if "weight_decay" in each}
    if name == "sign_sgd":
        found["learning_rate"] = optax.exponential_decay(2.0, STEPS, 1e-4)
    elif name in FALLING:
        found["learning_rate"] = optax.linear_schedule(FALLING[name], 0.0, STEPS)
    else:
        found["learning_rate"] = RATES[name]
    return found | CONSTANTS.get(name, {})
