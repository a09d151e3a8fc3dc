"""Programs that do not read lr: whatever takes a learning rate for them warns that it has no effect."""

import jax
import jax.numpy as jnp
import optax
import pytest
from program_cases import assert_same_bits, import_module, program

import programs

UNREAD = program("g, m", "m = interp(g, m, 0.9)", "update = sign(m)", returns="update, m")
SENTENCE = "does not read .*: a learning rate or schedule has no effect"
WEIGHTS = {"x": jnp.ones(3)}


def step(transform):
    return transform.update(WEIGHTS, transform.init(WEIGHTS), WEIGHTS)[0]


def test_to_optax_warns_of_a_rate_that_is_not_read():
    plain = step(programs.to_optax(UNREAD))
    for rate in (0.1, optax.constant_schedule(0.1), jnp.float32(0.1)):
        with pytest.warns(UserWarning, match=SENTENCE):
            assert_same_bits(step(programs.to_optax(UNREAD, rate)), plain)
    programs.to_optax(UNREAD, learning_rate=1.0)
    programs.to_optax(programs.load("lion"), 0.1)


def test_an_exported_optax_factory_warns_of_a_rate_that_is_not_read(tmp_path):
    found = import_module(programs.export_optax(UNREAD, name="found"), tmp_path).found
    plain = step(found())
    for rate in (0.1, 1.0, optax.constant_schedule(0.1)):
        with pytest.warns(UserWarning, match=SENTENCE):
            assert_same_bits(step(found(learning_rate=rate)), plain)
    injected = optax.inject_hyperparams(found)(b1=0.8)
    jax.jit(injected.update)(WEIGHTS, injected.init(WEIGHTS), WEIGHTS)
    read = import_module(programs.export_optax(programs.load("lion"), name="found"), tmp_path, "read").found
    step(read(learning_rate=0.1))


@pytest.mark.parametrize("export", [programs.export_optax, programs.export_torch, programs.export_keras])
def test_a_module_says_in_its_docstring_that_the_rate_is_not_read(export):
    assert "is not read: a learning rate or schedule has no effect" in export(UNREAD)
    assert "is not read" not in export(programs.load("lion"))
