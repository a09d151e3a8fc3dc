"""The compiler engine and exported modules: in every dtype, under jit and inside Optax's wrappers."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import optax
import pytest
from program_cases import SEEDS, assert_close, import_module, program, run_transform, tree

import programs


@pytest.mark.parametrize("name", SEEDS)
def test_bfloat16_weights_keep_their_dtype(name, tmp_path):
    params = tree(1, jnp.bfloat16)
    exported = import_module(programs.export_optax(programs.load(name), name="opt"), tmp_path).opt()
    for transform in (programs.to_optax(programs.load(name)), exported):
        state = transform.init(params)
        updates, after = jax.eval_shape(transform.update, tree(2, jnp.bfloat16), state, params)
        assert {leaf.dtype for leaf in jax.tree.leaves(updates)} == {jnp.dtype(jnp.bfloat16)}
        assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == jax.tree.map(lambda x: (x.shape, x.dtype), after)


def test_mixed_dtypes_are_kept_leaf_by_leaf():
    params = {"a": jnp.ones(3, jnp.bfloat16), "b": jnp.ones(2, jnp.float32), "c": jnp.ones(2, jnp.float16)}
    mixed = program(
        "w, g, m, n, lr",
        "m = interp(g, m, 0.9)",
        "n = max(norm(g), n)",
        "x = clip(m, global_norm(w))",
        "update = x / n + lr * get_pi()",
        returns="update, m, n",
    )
    transform = programs.to_optax(mixed)
    updates, state = jax.eval_shape(transform.update, params, transform.init(params), params)
    dtypes = jax.tree.map(lambda x: x.dtype, params)
    for result in (updates, state.variables["m"], state.variables["n"]):
        assert jax.tree.map(lambda x: x.dtype, result) == dtypes


FLOAT64 = """
import jax
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
import jax.numpy as jnp, numpy as np, programs
params = {"a": jnp.arange(3.0), "b": jnp.ones((2, 2))}
for name in programs.seed_programs():
    transform = programs.to_optax(programs.load(name))
    state = transform.init(params)
    for _ in range(2):
        updates, state = jax.eval_shape(transform.update, params, state, params)
    leaves = jax.tree.leaves((updates, state.variables))
    assert {x.dtype for x in leaves} == {jnp.dtype("float64")}, name
tiny = programs.parse("def train(g, lr):\\n    update = g * lr\\n    return update\\n")
updates, _ = programs.to_optax(tiny, 0.1).update(params, programs.to_optax(tiny).init(params))
np.testing.assert_array_equal(updates["a"], -np.arange(3.0) * 0.1)
print("kept")
"""


def test_float64_weights_keep_their_dtype_and_precision():
    done = subprocess.run([sys.executable, "-c", FLOAT64], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("kept\n", "")


RECOMPILED = [
    *(programs.load(name) for name in SEEDS),
    # Scalar and per-array state, also made of numbers alone, whose types must not change after the first step.
    program("g, s, n, lr", "update = g * s", "s = 0.5", "n = norm(g)", returns="update, s, n"),
    program("g, s, n", "update = g * s + n", "s = get_pi()", "n = max(n, norm(g))", returns="update, s, n"),
    program("g, s, lr", "update = g * s", "s = sqrt(2.0) * lr", returns="update, s"),
    program("g, s", "update = s", "s = s + 1.0", returns="update, s"),
    program("g, s", "update = g * s", "s = clip(s, 2.0) + dot(1.0, 2.0)", returns="update, s"),
    program("g, m", "update = g * m", "m = g", "m = 0.5", returns="update, m"),
    program("g, a, t", "update = g * a", "a = power(0.9, t)", returns="update, a"),
]


@pytest.mark.parametrize("subject", RECOMPILED, ids=range(len(RECOMPILED)))
@pytest.mark.parametrize("engine", ["compiler", "export"])
def test_the_second_step_compiles_nothing(subject, engine, tmp_path):
    if engine == "compiler":
        transform = programs.to_optax(subject)
    else:
        transform = import_module(programs.export_optax(subject, name="opt"), tmp_path).opt()
    params, traces = {"a": jnp.ones(3), "b": jnp.ones((2, 2))}, []

    @jax.jit
    def step(params, state):
        traces.append(1)
        updates, state = transform.update(params, state, params)
        return jax.tree.map(jnp.add, params, updates), state

    state = transform.init(params)
    for _ in range(3):
        params, state = jax.eval_shape(step, params, state)  # traces like a call, and compiles nothing
    assert len(traces) == 1


@pytest.fixture
def lion(tmp_path):
    return import_module(programs.export_optax(programs.load("lion"), name="lion"), tmp_path).lion


def one_by_one(transform, steps=4):
    params = {"a": jnp.arange(1.0, 4.0), "b": jnp.ones((2, 2))}
    return params, run_transform(
        transform, params, [jax.tree.map(lambda x, k=k: x * k, params) for k in range(1, steps + 1)]
    )


def test_exported_modules_work_in_a_chain(lion):
    _, alone = one_by_one(lion(learning_rate=0.5))
    _, chained = one_by_one(optax.chain(lion(learning_rate=1.0), optax.scale(0.5)))
    for got, wanted in zip(chained, alone, strict=True):
        assert_close(got, wanted, 1e-6)


def test_exported_modules_work_masked(lion):
    params, updates = one_by_one(optax.masked(lion(), {"a": True, "b": False}))
    _, alone = one_by_one(lion())
    for k, (got, wanted) in enumerate(zip(updates, alone, strict=True), start=1):
        assert_close(got["a"], wanted["a"], 1e-6)
        assert_close(got["b"], k * params["b"], 0.0)


def test_exported_modules_accumulate_steps(lion):
    with jax.numpy_dtype_promotion("standard"):  # Optax's own wrapper needs it
        _, updates = one_by_one(optax.MultiSteps(lion(), every_k_schedule=2))
    assert all((leaf == 0).all() for update in updates[::2] for leaf in jax.tree.leaves(update))
    assert all((leaf != 0).all() for update in updates[1::2] for leaf in jax.tree.leaves(update))


def test_exported_modules_take_injected_hyperparameters(lion):
    with jax.numpy_dtype_promotion("standard"):  # Optax's own wrapper needs it
        schedule = optax.linear_schedule(0.1, 0.0, 4)
        injected = optax.inject_hyperparams(lion)(learning_rate=schedule, b1=0.8, weight_decay=0.0)
        _, got = one_by_one(injected)
    _, wanted = one_by_one(lion(learning_rate=schedule, b1=0.8, weight_decay=0.0))
    for one, other in zip(got, wanted, strict=True):
        assert_close(one, other, 1e-6)


def test_exported_modules_run_under_vmap(lion):
    transform, params = lion(), {"a": jnp.arange(6.0).reshape(2, 3)}
    updates, _ = jax.vmap(lambda p: transform.update(p, transform.init(p), p))(params)
    for row in range(2):
        single = {"a": params["a"][row]}
        assert_close({"a": updates["a"][row]}, transform.update(single, transform.init(single), single)[0], 1e-6)


@pytest.mark.parametrize("name", ["lion", "adamw"])
def test_weights_are_asked_for_where_they_are_read(name, tmp_path):
    subject = programs.load(name)
    params = {"a": jnp.ones(3)}
    exported = import_module(programs.export_optax(subject, name="opt"), tmp_path).opt()
    for transform in (programs.to_optax(subject), exported):
        with pytest.raises(ValueError, match="weights"):
            transform.update(params, transform.init(params))


@pytest.mark.parametrize("params", [{}, [], jnp.float32(2.0), (jnp.ones(2), None, [jnp.zeros((0, 3))])], ids=repr)
def test_any_pytree_will_do(params, tmp_path):
    for subject in (
        programs.load("sgd"),
        programs.load("lion"),
        program("w, g, n", "n = norm(g) + n", "update = clip(g, global_norm(w)) * n", returns="update, n"),
        program("w, g, lr", "update = lr", returns="update"),
    ):
        exported = import_module(programs.export_optax(subject, name="opt"), tmp_path).opt()
        for transform in (programs.to_optax(subject), exported):
            updates, _ = jax.eval_shape(transform.update, params, transform.init(params), params)
            assert jax.tree.structure(updates) == jax.tree.structure(params)
            assert jax.tree.map(jnp.shape, updates) == jax.tree.map(jnp.shape, params)
