"""Exported modules: the same bits as the program, only JAX and Optax needed, and Optax's conventions kept."""

import ast
import inspect
import subprocess
import sys
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import HealthCheck, given, settings
from program_cases import (
    RAW_WINNER,
    SEEDS,
    assert_close,
    assert_same_bits,
    first_and_slow,
    import_module,
    mutants,
    program,
    random_mutants,
    run_transform,
)

import programs
from programs import ProgramError

HARD = {
    "norms": program(
        "w, g, n, s, lr",
        "n = interp(norm(g), n, 0.9)",
        "s = max(global_norm(g), s)",
        "x = clip(g, s * 0.5)",
        "update = x / n",
        "update = update * cosine_sim(g, w) + dot(g, w) * lr",
        returns="update, n, s",
    ),
    "whole functions of all kinds": program(
        "w, g, n, lr",
        "n = norm(g)",
        "a = dot(n, g)",
        "b = dot(n, 2.0)",
        "c = global_norm(-3.0)",
        "d = cosine_sim(lr, n)",
        "e = clip(n, 1.0)",
        "f = clip(lr, 0.25)",
        "h = clip(0.5, lr)",
        "update = a * g + b + c * e + d * f - h",
        returns="update, n",
    ),
    "an update that is one number": program("lr, t, s", "s = s + t", "update = s * lr", returns="update, s"),
    "an update that is one number an array": program("g", "update = norm(g)", returns="update"),
    "an update that is a number": program("g", "update = get_pi()", returns="update"),
    "an update that is an input": program("w, g, lr", returns="g"),
    "an update that is the rate": program("w, g, lr", returns="lr"),
    "calls on numbers alone": program(
        "g",
        "a = interp(0.5, -2.0, 0.9)",
        "b = 1.0 / 0.0",
        "c = power(2.0, 3)",
        "d = -3.0 - -2.0",
        "e = max(a, d)",
        "update = g * a + b * c - e",
        returns="update",
    ),
    "state that is a number": program("g, s", "update = g * s", "s = -0.5", returns="update, s"),
    "kinds that meet": program(
        "g, n, s, lr",
        "n = norm(g) + n * lr",
        "x = n * g",
        "y = g * n",
        "s = s + 0.1",
        "update = interp(x, n, s) - interp(n, y, -0.5) + interp(lr, g, 0.25)",
        returns="update, n, s",
    ),
    "state that rises": program("g, a, b", "update = a", "a = b", "b = g", returns="update, a, b"),
    "names of the module": program(
        "w, g, state, params, _m, count, jnp, lr",
        "jax = g * 0.25",
        "optax = jax + w",
        "updates = optax * lr",
        "state = state + updates",
        "params = params + state",
        "_m = _m + params",
        "count = norm(count + _m)",
        "jnp = jnp + count",
        "print = jnp * 0.5",
        "extra_args = print",
        "rate = extra_args",
        "leaf = rate * 0.9",
        "init_fn = leaf",
        "update_fn = init_fn * 0.5",
        "update = update_fn",
        returns="update, state, params, _m, count, jnp",
    ),
    "names of the arguments": program(
        "w, g, b1, b2, weight_decay, learning_rate, c1, lr",
        "b1 = interp(g, b1, 0.9)",
        "b2 = interp(g, b2, 0.99)",
        "c1 = g * 0.3",
        "weight_decay = w * 0.01",
        "learning_rate = lr * 0.5",
        "update = b1 + b2 + c1 + weight_decay",
        "update = update * learning_rate",
        returns="update, b1, b2, weight_decay, learning_rate, c1",
    ),
    "names of Python": program(
        "g, _, __, _1, float, sum, callable, Any, NamedTuple, OptState, opt, self, _fields, x, leaf_",
        *(
            f"{name} = {name} + g"
            for name in ["_", "__", "_1", "float", "sum", "callable", "Any", "NamedTuple", "OptState", "opt", "self"]
        ),
        *(f"{name} = {name} + g" for name in ["_fields", "x", "leaf_"]),
        "spread = _ + __ + _1 + float + sum + callable + Any + NamedTuple + OptState + opt + self",
        "spread = spread + _fields + x + leaf_",
        "_dot = dot(spread, g)",
        "_spread = global_norm(_dot)",
        "ValueError = clip(spread, 0.5)",
        "update = ValueError * _spread",
        returns="update, _, __, _1, float, sum, callable, Any, NamedTuple, OptState, opt, self, _fields, x, leaf_",
    ),
    "names of keyword case": program(
        "g, match, type, case",
        "match = match + g",
        "type = type - match",
        "case = type",
        "update = case",
        returns="update, match, type, case",
    ),
    "inputs overwritten": program(
        "w, g, m, lr, t",
        "w = w * 0.5",
        "g = g - w",
        "t = t + lr",
        "lr = lr * t",
        "m = m + g",
        "update = m * lr",
        returns="update, m",
    ),
    "negative numbers": program(
        "w, g, m, lr",
        "m = interp(g, m, -0.9)",
        "a = -0.1 * w",
        "b = cube(-0.5)",
        "c = lr * -0.01",
        "update = m * c - a",
        "update = update + b",
        returns="update, m",
    ),
    "the raw winner": programs.parse(RAW_WINNER),
}


def tree(rng_seed):
    """Draw a small tree: in eager mode every function is compiled for every shape."""
    rng = np.random.default_rng(rng_seed)
    return {"bias": jnp.float32(rng.normal()), "kernel": jnp.asarray(rng.normal(size=(3, 4)), jnp.float32)}


def exported(subject, folder, name="opt"):
    return getattr(import_module(programs.export_optax(subject, name=name), folder), name)


def assert_export_is_the_program(subject, folder, steps=5):
    params = tree(1)
    gradients = [tree(number) for number in range(2, 2 + steps)]
    wanted = run_transform(programs.to_optax(subject), params, gradients)
    got = run_transform(exported(subject, folder)(), params, gradients)
    for one, other in zip(got, wanted, strict=True):
        assert_same_bits(one, other)


@pytest.mark.parametrize("name", first_and_slow(SEEDS, 20))
def test_seed_programs_bit_for_bit(name, tmp_path):
    assert_export_is_the_program(programs.load(name), tmp_path)


@pytest.mark.parametrize("name", HARD)
def test_hard_programs_bit_for_bit(name, tmp_path):
    assert_export_is_the_program(HARD[name], tmp_path)


@pytest.mark.parametrize("number", first_and_slow(range(20), 6))
def test_mutants_bit_for_bit(number, tmp_path):
    assert_export_is_the_program(random_mutants(20, edits=12)[number], tmp_path, steps=3)


@pytest.mark.parametrize("name", ["norms", "inputs overwritten", "the raw winner"])
def test_under_jit_to_rounding(name, tmp_path):
    params, gradients = tree(1), [tree(number) for number in range(2, 5)]
    transform = exported(HARD[name], tmp_path)()
    jitted = transform._replace(update=jax.jit(transform.update))
    eager = run_transform(programs.to_optax(HARD[name]), params, gradients)
    for got, wanted in zip(run_transform(jitted, params, gradients), eager, strict=True):
        assert_close(got, wanted, rtol=1e-5, atol=1e-6)


def assert_plain_module(text, reads_rate):
    module = ast.parse(text)
    imported = []
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            imported.append(node.module)
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_")
    assert sorted(imported) == ["jax", "jax.numpy", "optax", "typing", *([] if reads_rate else ["warnings"])]
    assert all(
        isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in module.body
    )
    called = {
        node.func.id for node in ast.walk(module) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    defined = {node.name for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assert called <= defined | {"any", "callable", "range", "sum", "ValueError", "learning_rate"}


@pytest.mark.parametrize("subject", [*map(programs.load, SEEDS), *HARD.values()], ids=[*SEEDS, *HARD])
def test_a_module_imports_jax_and_optax_and_does_nothing_else(subject):
    assert_plain_module(programs.export_optax(subject, name="opt"), "lr" in programs.check(subject).inputs)


@given(mutants)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_every_mutant_exports(subject):
    assert_plain_module(programs.export_optax(subject, name="opt"), "lr" in programs.check(subject).inputs)


TRAIN = """
import jax, jax.numpy as jnp, optax, sys
from lion_again import lion_again
assert not {"programs", "tasks", "numpy.testing"} & set(sys.modules)
transform = lion_again(learning_rate=optax.linear_schedule(0.2, 0.0, 100))
params = {"a": jnp.full((3,), 4.0), "b": jnp.full((2, 2), -3.0)}
loss = lambda params: sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params))
@jax.jit
def step(params, state):
    updates, state = transform.update(jax.grad(loss)(params), state, params)
    return optax.apply_updates(params, updates), state
state = transform.init(params)
for _ in range(100):
    params, state = step(params, state)
assert float(loss(params)) < 0.01, loss(params)
print("trained")
"""


@pytest.mark.slow
def test_a_module_trains_in_an_interpreter_of_its_own(tmp_path):
    text = programs.export_optax(programs.load("lion"), name="lion_again")
    (tmp_path / "lion_again.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", TRAIN], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("trained\n", "")


def settings_of(subject, folder):
    return {name: each.default for name, each in inspect.signature(exported(subject, folder)).parameters.items()}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("sgd", {"learning_rate": 0.1}),
        ("momentum", {"learning_rate": 0.01, "c1": 0.9}),
        ("adamw_paper", {"learning_rate": 0.001, "b1": 0.9, "b2": 0.999, "weight_decay": 0.01}),
        ("adamw", {"learning_rate": 0.001, "b1": 0.9, "b2": 0.999, "weight_decay": 0.01}),
        ("lion", {"learning_rate": 0.0001, "b1": 0.9, "b2": 0.99, "weight_decay": 0.1}),
    ],
)
def test_keyword_arguments_are_the_named_constants(name, wanted, tmp_path):
    assert settings_of(programs.load(name), tmp_path) == wanted


@pytest.mark.parametrize(
    ("lines", "learning_rate"),
    [
        (["lr = lr * 0.001", "update = g * lr"], 0.001),
        (["update = 0.5 * lr", "update = update * g"], 0.5),
        (["rate = lr * -0.1", "update = g * rate"], -0.1),
        (["update = g * lr"], 1.0),  # without a factor: the program's own lr
        (["update = g"], None),  # not read
        (["x = lr * 0.001", "update = g * x", "update = update * lr"], 1.0),
        (["x = lr * 0.001", "y = lr * 0.001", "update = g * x", "update = update * y"], 1.0),
        (["x = lr / 10", "update = g * x"], 1.0),
        (["x = lr * lr", "update = g * x"], 1.0),
        (["lr = 2.0", "lr = lr * 0.001", "update = g * lr"], None),  # this lr is not the schedule's value
        (["dead = lr * 3.0", "update = lr * 0.01", "update = g * update"], 0.01),
    ],
)
def test_learning_rate_is_the_whole_factor_where_it_can_be(lines, learning_rate, tmp_path):
    subject = program("w, g, lr", *lines, returns="update")
    assert settings_of(subject, tmp_path)["learning_rate"] == learning_rate
    assert_export_is_the_program(subject, tmp_path, steps=2)


@pytest.mark.parametrize("value", [0.3, "schedule"])
def test_the_rate_given_replaces_the_whole_factor(value, tmp_path):
    params, gradients = tree(1), [tree(number) for number in range(2, 6)]

    def schedule(count):
        return 0.3 / (1.0 + count.astype(jnp.float32))

    def scaled(count):
        return schedule(count) / 0.1

    rate, same = (schedule, scaled) if value == "schedule" else (value, value / 0.1)
    got = run_transform(exported(programs.load("sgd"), tmp_path)(learning_rate=rate), params, gradients)
    wanted = run_transform(programs.to_optax(programs.load("sgd"), learning_rate=same), params, gradients)
    for one, other in zip(got, wanted, strict=True):
        assert_close(one, other, 1e-6)


def test_keyword_arguments_reach_the_formula(tmp_path):
    params, gradients = tree(1), [tree(number) for number in range(2, 6)]
    changed = str(programs.load("lion")).replace("0.99", "0.5").replace("0.9)", "0.8)").replace("0.1", "0.2")
    factory = exported(programs.load("lion"), tmp_path)
    got = run_transform(factory(b1=0.8, b2=0.5, weight_decay=0.2), params, gradients)
    for one, other in zip(
        got, run_transform(programs.to_optax(programs.parse(changed)), params, gradients), strict=True
    ):
        assert_same_bits(one, other)


BAD_NAMES = [
    "",
    "1a",
    "a b",
    "a-b",
    "a.b",
    "é",
    "_a",
    "class",
    "None",
    "jnp",
    "jax",
    "optax",
    "params",
    "a" * 65,
    "a\n",
]
BAD_NAMES += ["float", "sum", "callable", "ValueError", "print"]  # names that the module or its readers need


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_cannot_be_a_functions_are_refused(name):
    with pytest.raises(ProgramError, match=r"cannot be a function's name|Python built-in|the module itself uses"):
        programs.export_optax(programs.load("lion"), name=name)


@pytest.mark.parametrize("export", [programs.export_optax, programs.export_torch, programs.export_keras])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("sum", "'sum' is a Python built-in, which the module would shadow; choose another, such as my_sum"),
        ("rate", "the module itself uses the name 'rate'; choose another, such as my_rate"),
        ("class", "'class' is a Python keyword and cannot be a function's name"),
        (
            "my-opt",
            "'my-opt' cannot be a function's name; use up to 64 letters, digits and underscores, a letter first",
        ),
    ],
)
def test_a_name_is_refused_for_its_own_reason(export, name, reason):
    with pytest.raises(ProgramError) as refused:
        export(programs.load("lion"), name=name)
    assert refused.value.message == reason


@pytest.mark.parametrize(
    "name", ["Opt", "x", "m", "b1", "learning_rate", "match", "State", "leaf1", "Any", "NamedTuple"]
)
def test_any_other_name_works(name, tmp_path):
    subject = program("w, g, m", "m = m + g", "x = dot(m, w)", "update = m * 0.5 + x", returns="update, m")
    factory = exported(subject, tmp_path, name=name)
    params = tree(1)
    got = run_transform(factory(), params, [tree(2)])
    assert_same_bits(got[0], run_transform(programs.to_optax(subject), params, [tree(2)])[0])
    with pytest.raises(ValueError, match="needs the weights"):
        factory().update(params, factory().init(params))


def test_the_module_tells_what_it_is(tmp_path):
    text = programs.export_optax(programs.load("lion"), name="lion_again")
    module = import_module(text, tmp_path)
    assert module.__doc__.startswith("lion_again: an optimizer exported by Pride")
    assert str(programs.load("lion")).splitlines()[3].strip() in module.__doc__
    documented = inspect.getdoc(module.lion_again) or ""
    assert all(f"{name}: " in documented for name in inspect.signature(module.lion_again).parameters)
    state = module.lion_again().init({"a": jnp.ones(2)})
    assert type(state).__name__ == "LionAgainState"
    assert state._fields == ("count", "m")
    assert max(map(len, text.splitlines())) <= 140


def test_text_does_not_depend_on_dead_code_or_the_process():
    subject = programs.load("lion")
    noisy = programs.parse(str(subject).replace("    wd =", "    dead = cosh(w)\n    wd ="))
    assert programs.export_optax(noisy, name="opt") == programs.export_optax(subject, name="opt")


STATES = {
    "tensor": programs.load("lion"),
    "number an array": program("g, n", "n = max(norm(g), n)", "update = g / n", returns="update, n"),
    "number": program(
        "w, g, s, lr", "s = s + global_norm(w)", "x = clip(g, s)", "update = x * lr", returns="update, s"
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_complex_weights_are_refused_and_can_be_split(name, tmp_path):
    transform = exported(STATES[name], tmp_path, name="found")()
    params = {"a": jnp.ones(3), "b": jnp.asarray([1.0 + 2.0j, 0.5j], jnp.complex64)}
    wrapped = r"optax\.contrib\.split_real_and_imaginary\(found\(\.\.\.\)\)"
    with pytest.raises(ValueError, match=rf"^found takes real weights, got complex64: wrap it as {wrapped}$"):
        transform.init(params)
    apart = {"a": params["a"], "b": (params["b"].real, params["b"].imag)}
    whole, parts = cast(Any, optax.contrib.split_real_and_imaginary(transform)), transform
    with jax.numpy_dtype_promotion("standard"):  # Optax's own wrapper needs it
        got, _ = whole.update(params, whole.init(params), params)
    wanted, _ = parts.update(apart, parts.init(apart), apart)
    assert_same_bits({"a": got["a"], "b": (got["b"].real, got["b"].imag)}, wanted)


@pytest.mark.parametrize("name", STATES)
def test_arguments_meant_for_others_are_accepted(name, tmp_path):
    transform, params = exported(STATES[name], tmp_path)(), tree(1)
    state = transform.init(params)
    plain, _ = transform.update(tree(2), state, params)
    assert_same_bits(transform.update(tree(2), state, params, value=jnp.float32(3.0))[0], plain)
    chained = optax.chain(transform, optax.contrib.reduce_on_plateau())
    with jax.numpy_dtype_promotion("standard"):  # Optax's own wrapper needs it
        scaled, _ = chained.update(tree(2), chained.init(params), params, value=jnp.float32(3.0))
    assert_same_bits(scaled, plain)


@pytest.mark.parametrize("name", STATES)
def test_state_has_the_dtypes_of_the_weights(name, tmp_path):
    params = {"a": jnp.ones(3, jnp.bfloat16), "b": jnp.ones((2, 2)), "c": (jnp.ones(2, jnp.float16), None)}
    transform = exported(STATES[name], tmp_path)()
    state = transform.init(params)
    updates, after = jax.eval_shape(transform.update, params, state, params)
    dtypes = jax.tree.map(lambda leaf: leaf.dtype, params)
    assert jax.tree.map(lambda leaf: leaf.dtype, updates) == dtypes
    for each in (state, after):
        assert each.count.dtype == jnp.int32
        kept = each[1]
        assert jax.tree.map(lambda leaf: leaf.dtype, kept) == (jnp.dtype("float32") if name == "number" else dtypes)


@pytest.mark.parametrize("name", STATES)
def test_masked_leaves_are_as_if_they_were_not_there(name, tmp_path):
    transform = exported(STATES[name], tmp_path)()
    masked = optax.masked(transform, {"bias": False, "kernel": True})
    params, gradient = tree(1), tree(2)
    got, state = masked.update(gradient, masked.init(params), params)
    rest = {"kernel": params["kernel"]}
    wanted, inner = transform.update({"kernel": gradient["kernel"]}, transform.init(rest), rest)
    assert_same_bits(got, {"bias": gradient["bias"]} | wanted)
    assert isinstance(state, optax.MaskedState)
    assert_same_bits(jax.tree.leaves(state.inner_state), jax.tree.leaves(inner))


def test_state_is_counted_and_steps_are(tmp_path):
    transform = exported(HARD["norms"], tmp_path)()
    params = tree(1)
    state = transform.init(params)
    assert jax.tree.map(jnp.shape, state.n) == jax.tree.map(lambda leaf: (), params)
    assert jnp.shape(state.s) == ()
    for number in range(1, 4):
        _, state = transform.update(params, state, params)
        assert int(state.count) == number
    full = state._replace(count=jnp.int32(np.iinfo(np.int32).max))
    assert int(transform.update(params, full, params)[1].count) == np.iinfo(np.int32).max
