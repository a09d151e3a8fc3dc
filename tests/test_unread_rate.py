"""Programs that do not read lr: whatever takes a learning rate for them warns that it has no effect."""

import jax
import jax.numpy as jnp
import numpy as np
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


def test_an_exported_torch_optimizer_warns_of_a_rate_that_is_not_read(tmp_path):
    torch = pytest.importorskip("torch")
    found = import_module(programs.export_torch(UNREAD, name="Found"), tmp_path).Found
    weights = torch.nn.Parameter(torch.ones(3))
    with pytest.warns(UserWarning, match=SENTENCE):
        optimizer = found([weights], lr=0.1)
    weights.grad = torch.ones(3)
    optimizer.step()
    np.testing.assert_array_equal(weights.detach().numpy(), np.zeros(3))
    torch.optim.lr_scheduler.ConstantLR(found([weights]), factor=0.5)


def test_an_exported_keras_optimizer_warns_of_a_rate_that_is_not_read(tmp_path):
    text = programs.export_keras(UNREAD, name="Found")
    assert 'warnings.warn("Found does not read learning_rate: a learning rate or schedule has no effect"' in text
    assert "warnings" not in programs.export_keras(programs.load("lion"), name="Found")
    keras = pytest.importorskip("keras")
    found = import_module(text, tmp_path).Found
    with pytest.warns(UserWarning, match=SENTENCE):
        found(learning_rate=keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9))
    found.from_config(found().get_config())


@pytest.mark.parametrize("export", [programs.export_optax, programs.export_torch, programs.export_keras])
def test_a_module_says_in_its_docstring_that_the_rate_is_not_read(export):
    assert "is not read: a learning rate or schedule has no effect" in export(UNREAD)
    assert "is not read" not in export(programs.load("lion"))
