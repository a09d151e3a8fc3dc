"""Seed programs compared with Optax's own optimizers."""

import jax
import optax
from parity_cases import ParityCase


def rprop(first_step):
    """Make Optax's Rprop without its lag: it returns the previous step's update, and keeps this step's in its state."""
    lagging = optax.scale_by_rprop(first_step)

    def update(updates, state, params=None):
        _, state = lagging.update(updates, state, params)
        assert isinstance(state, optax.ScaleByRpropState)
        return jax.tree.map(lambda x: -x, state.prev_updates), state

    return optax.GradientTransformation(lagging.init, update)


def yogi(learning_rate):
    """Make Optax's Yogi with accumulators that start at zero."""
    return optax.chain(optax.scale_by_yogi(initial_accumulator_value=0.0), optax.scale_by_learning_rate(learning_rate))


CASES = (
    ParityCase(
        "adabelief",
        "optax.adabelief(0.001, eps=1e-8, eps_root=1e-8)",
        lambda: optax.adabelief(0.001, eps=1e-8, eps_root=1e-8),
    ),
    ParityCase("adadelta", "optax.adadelta(1.0, rho=0.95)", lambda: optax.adadelta(1.0, rho=0.95)),
    ParityCase(
        "adagrad",
        "optax.adagrad(0.01, initial_accumulator_value=0.0, eps=0.0)",
        lambda: optax.adagrad(0.01, initial_accumulator_value=0.0, eps=0.0),
    ),
    ParityCase("adam", "optax.adam(0.001)", lambda: optax.adam(0.001)),
    ParityCase("adamax", "optax.adamax(0.002)", lambda: optax.adamax(0.002)),
    ParityCase("adamaxw", "optax.adamaxw(0.002, weight_decay=0.01)", lambda: optax.adamaxw(0.002, weight_decay=0.01)),
    ParityCase("adamw", "optax.adamw(0.001, weight_decay=0.01)", lambda: optax.adamw(0.001, weight_decay=0.01)),
    ParityCase(
        "adan",
        "optax.adan(0.001, eps_root=0.0, weight_decay=0.02)",
        lambda: optax.adan(0.001, eps_root=0.0, weight_decay=0.02),
    ),
    ParityCase(
        "amsgrad",
        "optax.amsgrad(0.001, bias_correction_mu=False, bias_correction_nu=False)",
        lambda: optax.amsgrad(0.001, bias_correction_mu=False, bias_correction_nu=False),
    ),
    ParityCase("fromage", "optax.fromage(0.01, min_norm=0.0)", lambda: optax.fromage(0.01, min_norm=0.0)),
    ParityCase("lamb", "optax.lamb(0.001, weight_decay=0.01)", lambda: optax.lamb(0.001, weight_decay=0.01)),
    ParityCase(
        "lars", "optax.lars(1.0, weight_decay=0.0005, eps=1e-8)", lambda: optax.lars(1.0, weight_decay=0.0005, eps=1e-8)
    ),
    ParityCase(
        "lion",
        "optax.lion(0.0001, b1=0.9, b2=0.99, weight_decay=0.1)",
        lambda: optax.lion(0.0001, b1=0.9, b2=0.99, weight_decay=0.1),
    ),
    ParityCase("momentum", "optax.sgd(0.01, momentum=0.9)", lambda: optax.sgd(0.01, momentum=0.9)),
    ParityCase("nadam", "optax.nadam(0.002)", lambda: optax.nadam(0.002)),
    ParityCase("nadamw", "optax.nadamw(0.002, weight_decay=0.01)", lambda: optax.nadamw(0.002, weight_decay=0.01)),
    ParityCase(
        "nesterov",
        "optax.sgd(0.01, momentum=0.9, nesterov=True)",
        lambda: optax.sgd(0.01, momentum=0.9, nesterov=True),
    ),
    ParityCase(
        "novograd",
        "optax.novograd(0.01, b1=0.95, b2=0.98, eps=1e-8, weight_decay=0.001)",
        lambda: optax.novograd(0.01, b1=0.95, b2=0.98, eps=1e-8, weight_decay=0.001),
    ),
    ParityCase(
        "optimistic_adam",
        "optax.optimistic_adam_v2(0.001, nesterov=False)",
        lambda: optax.optimistic_adam_v2(0.001, nesterov=False),
    ),
    ParityCase(
        "optimistic_gradient_descent",
        "optax.optimistic_gradient_descent(0.1)",
        lambda: optax.optimistic_gradient_descent(0.1),
    ),
    ParityCase("radam", "optax.radam(0.001, threshold=4.0)", lambda: optax.radam(0.001, threshold=4.0)),
    ParityCase("rmsprop", "optax.rmsprop(0.001, eps_in_sqrt=False)", lambda: optax.rmsprop(0.001, eps_in_sqrt=False)),
    ParityCase(
        "rmsprop_centered",
        "optax.rmsprop(0.0001, decay=0.95, eps=0.0001, centered=True, momentum=0.9)",
        lambda: optax.rmsprop(0.0001, decay=0.95, eps=0.0001, centered=True, momentum=0.9),
    ),
    ParityCase("rprop", "optax.rprop(0.1), without its lag of one step", lambda: rprop(0.1)),
    ParityCase("sgd", "optax.sgd(0.1)", lambda: optax.sgd(0.1)),
    ParityCase("sign_sgd", "optax.sign_sgd(0.0001)", lambda: optax.sign_sgd(0.0001)),
    ParityCase("signum", "optax.signum(0.0001)", lambda: optax.signum(0.0001)),
    ParityCase("yogi", "optax.yogi(0.01), v and m from zero", lambda: yogi(0.01)),
)
