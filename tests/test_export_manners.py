"""Exported modules with one number of state, or one per array, in the wrappers and transformations of Optax and JAX."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import optax
import pytest
from program_cases import assert_close, import_module, program, run_transform

import programs

pytestmark = pytest.mark.slow
MIXED = program(
    "w, g, m, n, s, t, lr",
    "s = s + global_norm(g)",
    "n = interp(norm(g), n, 0.5)",
    "x = clip(g, 0.75)",
    "m = interp(x, m, 0.9)",
    "update = m / n + w * 0.01",
    "update = update * lr + s * 0.001",
    "update = update / t",
    returns="update, m, n, s",
)


@pytest.fixture
def mixed(tmp_path):
    return import_module(programs.export_optax(MIXED, name="mixed"), tmp_path).mixed


def gradients(count):
    return [{"a": jnp.arange(1.0, 4.0) * k, "b": (jnp.full((2, 2), 0.5 * k), jnp.float32(k))} for k in range(1, count)]


PARAMS = {"a": jnp.linspace(-1.0, 1.0, 3), "b": (jnp.ones((2, 2)), jnp.float32(2.0))}


def under_jit(transform):
    return transform._replace(update=jax.jit(transform.update))


def test_chain_with_clipping_and_a_scale(mixed):
    alone = [optax.clip_by_global_norm(0.5), mixed(learning_rate=0.25)]
    chained = run_transform(under_jit(optax.chain(*alone, optax.scale(2.0))), PARAMS, gradients(4)[:1])
    clipped, _ = alone[0].update(gradients(2)[0], alone[0].init(PARAMS))
    wanted = run_transform(alone[1], PARAMS, [clipped])
    assert_close(chained[0], jax.tree.map(lambda x: 2.0 * x, wanted[0]), 1e-5)


def test_injected_settings_and_schedules(mixed):
    schedule = optax.linear_schedule(0.5, 0.0, 4)
    with jax.numpy_dtype_promotion("standard"):  # Optax's own wrapper needs it
        injected = optax.inject_hyperparams(mixed)(learning_rate=schedule, b1=0.25, c1=optax.constant_schedule(1.5))
        got = run_transform(injected, PARAMS, gradients(5))
    wanted = run_transform(mixed(learning_rate=schedule, b1=0.25, c1=1.5), PARAMS, gradients(5))
    for one, other in zip(got, wanted, strict=True):
        assert_close(one, other, 1e-5)


def test_multi_steps_steps_with_the_mean_of_gradients(mixed):
    first, second, third, fourth = gradients(5)
    means = [jax.tree.map(lambda x, y: (x + y) / 2.0, *pair) for pair in ((first, second), (third, fourth))]
    with jax.numpy_dtype_promotion("standard"):  # Optax's own wrapper needs it
        got = run_transform(optax.MultiSteps(mixed(), every_k_schedule=2), PARAMS, [first, second, third, fourth])
    assert all((leaf == 0).all() for update in got[::2] for leaf in jax.tree.leaves(update))
    for one, other in zip(got[1::2], run_transform(mixed(), PARAMS, means), strict=True):
        assert_close(one, other, 1e-5)


def test_vmap_over_several_trainings(mixed):
    transform, many = mixed(), jax.tree.map(lambda x: jnp.stack([x, 2.0 * x, -x]), PARAMS)
    steps = gradients(4)

    def train(params):
        state = transform.init(params)
        for gradient in steps:
            updates, state = transform.update(gradient, state, params)
            params = optax.apply_updates(params, updates)
        return params

    together = jax.vmap(train)(many)
    for place in range(3):
        single = train(jax.tree.map(lambda x, place=place: x[place], many))
        assert_close(jax.tree.map(lambda x, place=place: x[place], together), single, 1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_state_and_updates_keep_their_dtypes_under_jit_and_nothing_compiles_twice(mixed, dtype):
    with jax.enable_x64(dtype == "float64"):
        params = jax.tree.map(lambda x: jnp.asarray(x, dtype), PARAMS)
        transform = mixed(learning_rate=optax.linear_schedule(0.5, 0.0, 4))
        updates, state, traced = None, transform.init(params), []

        @jax.jit
        def step(params, state):
            traced.append(1)
            updates, state = transform.update(params, state, params)
            return updates, state

        for _ in range(3):
            updates, state = step(params, state)
        number = "float64" if dtype == "float64" else "float32"
        assert {leaf.dtype for leaf in jax.tree.leaves((updates, state.m, state.n))} == {jnp.dtype(dtype)}
        assert (state.s.dtype, state.count.dtype) == (number, "int32")
        assert len(traced) == 1


SHARDED = """
import jax, jax.numpy as jnp, optax
from jax.sharding import NamedSharding, PartitionSpec
from mixed import mixed
mesh = jax.make_mesh((4, 2), ("x", "y"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
kernel, bias = jnp.linspace(-1.0, 1.0, 64).reshape(8, 8), jnp.ones(8)
spread = {"kernel": NamedSharding(mesh, PartitionSpec("x", "y")), "bias": NamedSharding(mesh, PartitionSpec("y"))}
plain = {"kernel": kernel, "bias": bias}
transform = optax.chain(optax.clip_by_global_norm(1.0), mixed(learning_rate=optax.linear_schedule(0.1, 0.0, 10)))
@jax.jit
def step(params, state):
    gradient = jax.grad(lambda p: jnp.sum((p["kernel"] @ p["bias"] - 1.0) ** 2))(params)
    updates, state = transform.update(gradient, state, params)
    return optax.apply_updates(params, updates), state
results = []
for params in (plain, jax.device_put(plain, spread)):
    state = jax.jit(transform.init)(params)
    for _ in range(4):
        params, state = step(params, state)
    results.append(params)
assert all(results[1][name].sharding.is_equivalent_to(spread[name], results[1][name].ndim) for name in spread)
same = [jnp.allclose(results[0][name], results[1][name], rtol=1e-5, atol=1e-6) for name in spread]
print(jax.device_count(), all(same))
"""


def test_weights_spread_over_a_mesh_train_as_on_one_device(tmp_path):
    (tmp_path / "mixed.py").write_text(programs.export_optax(MIXED, name="mixed"), encoding="utf-8")
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", SHARDED], cwd=tmp_path, env=os.environ | flags, capture_output=True, text=True
    )
    assert done.stdout == "8 True\n", done.stderr
