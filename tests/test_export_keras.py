"""Modules for Keras 3: they compute what the program does, and behave like Keras's own optimizers, on two backends."""

import functools
import itertools
import os
import subprocess
import sys
import tempfile
from unittest import mock

import jax
import numpy as np
import pytest
from export_cases import Leaves, Reference, Stepper, subjects, worst
from program_cases import import_module, program
from test_export import HARD
from test_export_docstring import example
from test_functions import agree, flushed, inputs, reference, roles
from test_unread_rate import SENTENCE, UNREAD

import programs
from programs import FUNCTIONS, ProgramError

BACKEND = os.environ.get("KERAS_BACKEND", "jax")
with (
    tempfile.TemporaryDirectory() as _home,  # Keras writes a file of settings when it is imported
    mock.patch.dict(os.environ, KERAS_BACKEND=BACKEND, KERAS_HOME=_home),
):
    keras = pytest.importorskip("keras")
pytestmark = [
    pytest.mark.slow,
    # Keras's own code does both.
    pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad:UserWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]
SUBJECTS = subjects(mutants=40 if BACKEND == "torch" else 10)
# Functions that Keras 3.15 computes in float32 even if it is given float64, on at least one of the backends.
IN_FLOAT32 = {"cos", "sin", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "arccosh"}
IN_FLOAT32 |= {"arctanh", "floor", "softplus", "orthogonalize"}
_numbers = itertools.count()  # of the modules that were exported


@pytest.fixture(autouse=True)
def plain_promotion():
    """Let JAX promote dtypes as it does for users of Keras."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture
def double():
    """Let Keras compute numbers in float64."""
    keras.config.set_floatx("float64")
    with jax.enable_x64(True):
        yield
    keras.config.set_floatx("float32")


def exported(subject, folder, name="opt"):
    return getattr(import_module(programs.export_keras(subject, name=name), folder, f"module{next(_numbers)}"), name)


def variables(leaves):
    return [keras.Variable(leaf, dtype=str(leaf.dtype)) for leaf in leaves]


def tensors(leaves):
    return [keras.ops.convert_to_tensor(leaf) for leaf in leaves]


def numbers(leaves):
    return [np.array(keras.ops.convert_to_numpy(leaf)) for leaf in leaves]


def drawn(rng_seed, shapes=((3, 2), (4,), ()), dtype="float32"):
    rng = np.random.default_rng(rng_seed)
    return [np.asarray(rng.normal(size=shape), dtype) for shape in shapes]


def stepper(kind, weights: Leaves) -> Stepper:
    own, optimizer = variables(weights), kind()
    base = float(numbers([optimizer.learning_rate])[0])
    optimizer.build(own)

    def step(weights: Leaves, gradients: Leaves, rate: float) -> Leaves:
        optimizer.learning_rate = base * rate
        for variable, w in zip(own, weights, strict=True):
            variable.assign(w)
        optimizer.apply(tensors(gradients), own)
        return numbers(own)

    return step


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_module_is_the_program(name, tmp_path):
    found = worst(SUBJECTS[name], functools.partial(stepper, exported(SUBJECTS[name], tmp_path)), "float32", steps=10)
    assert found.excess <= 1.0
    assert found.steps == 10 or name.startswith("mutant")


def kept_in_float64(subject):
    live = zip(subject.statements, programs.check(subject).live, strict=True)
    return not IN_FLOAT32 & {statement.function for statement, alive in live if alive}


KEPT = [name for name, subject in SUBJECTS.items() if kept_in_float64(subject)]


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("name", KEPT if BACKEND == "torch" else KEPT[::4])  # JAX compiles every function again
def test_a_module_is_the_program_in_float64(name, tmp_path):
    kind = exported(SUBJECTS[name], tmp_path)
    assert worst(SUBJECTS[name], functools.partial(stepper, kind), "float64", steps=10).excess <= 1.0


@pytest.mark.parametrize("name", HARD)
def test_hard_programs(name, tmp_path):
    assert worst(HARD[name], functools.partial(stepper, exported(HARD[name], tmp_path)), "float32", 10).excess <= 1.0


# Arguments at which Keras's own functions differ from NumPy's, and why.
LEFT_OUT = {
    "mod": (
        lambda x, y: np.isinf(np.float32(x) / np.float32(y)) & np.isfinite(x),
        "NaN if x / y overflows, on PyTorch",
    ),
}


@pytest.mark.parametrize("row", FUNCTIONS.values(), ids=FUNCTIONS)
@np.errstate(all="ignore")
def test_functions_at_nasty_points(row, tmp_path):
    subject = program("w, g, m, lr", "update = m", f"m = {row.name}({', '.join(roles(row))})", returns="update, m")
    kind = exported(subject, tmp_path)
    for g, w, lr in inputs(row, "float32"):
        own, optimizer = variables(w), kind(**({"learning_rate": lr} if "lr" in roles(row) else {}))
        optimizer.build(own)
        optimizer.apply(tensors(g), own)
        kept = optimizer.slots["m"]
        kept = numbers(kept) if isinstance(kept, list) else numbers([kept]) * len(own)
        x, y = ([leaf.astype(np.float64) for leaf in leaves] for leaves in (g, w))
        rate = np.asarray(lr, "float32").astype(np.float64)
        wanted = reference(row, "float32", x, y, rate)
        smooth = reference(row, "float32", flushed(x, "float32"), flushed(y, "float32"), rate)
        for place, leaf in enumerate(kept):
            got = np.broadcast_to(leaf.astype(np.float64), x[place].shape)
            right = agree(row, "float32", x[place], y[place], got, wanted[place])
            right |= agree(row, "float32", x[place], y[place], got, smooth[place])
            if row.name in LEFT_OUT:
                right |= LEFT_OUT[row.name][0](x[place], y[place])
            wrong = np.stack([x[place], y[place], got, wanted[place]], axis=-1)[~right].tolist()
            assert not wrong, f"lr {lr}: {len(wrong)} of {right.size}, [g, w, got, wanted] = {wrong[:5]}"


@pytest.mark.parametrize("row", [row for row in FUNCTIONS.values() if row.arity], ids=lambda row: row.name)
@np.errstate(all="ignore")
def test_functions_of_numbers_and_arrays_mixed(row, tmp_path):
    weights, gradients = drawn(0, ((2, 2),)), drawn(1, ((2, 2),))
    for named in itertools.product([False, True], repeat=row.arity):
        words = [
            number if not keep else "lr" if name in row.scalars else role
            for keep, name, role, number in zip(named, row.parameters, "gww", ("0.75", "-1.25", "0.25"), strict=False)
        ]
        subject = program("w, g, m, lr", "update = m", f"m = {row.name}({', '.join(words)})", returns="update, m")
        step, plain = stepper(exported(subject, tmp_path), weights), Reference(subject, [(2, 2)], "float32")
        steps = [(step(weights, gradients, 0.5), plain(weights, gradients, 0.5)[0]) for _ in range(2)]
        moved, wanted = steps[-1]
        np.testing.assert_allclose(weights[0] - moved[0], wanted, rtol=1e-6, atol=1e-6, err_msg=str(words))


SETTLED = program(
    "w, g, m, s, n, lr",
    "s = s + lr",
    "n = interp(norm(g), n, 0.5)",
    "x = clip(g, 0.75)",
    "m = interp(x, m, 0.9)",
    "update = m * lr + w * 0.01",
    "update = update * s + global_norm(g) * 0.3 / n",
    returns="update, m, s, n",
)
KINDS = {name: programs.load(name) for name in ("adamw", "lion", "sgd", "dowg")} | {"all kinds of state": SETTLED}


@pytest.mark.parametrize("name", KINDS)
def test_a_schedule_is_read_from_step_0(name, tmp_path):
    kind = exported(KINDS[name], tmp_path)
    schedule = keras.optimizers.schedules.ExponentialDecay(0.5, decay_steps=1, decay_rate=0.5)
    scheduled, plain = kind(learning_rate=schedule), kind(learning_rate=0.5)
    first, second = variables(drawn(0)), variables(drawn(0))
    for number in range(4):
        plain.learning_rate = 0.5 * 0.5**number if number else 0.5
        scheduled.apply(tensors(drawn(number)), first)
        plain.apply(tensors(drawn(number)), second)
    for x, y in zip(numbers(first), numbers(second), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_config_and_state_round_trip(name, tmp_path):
    kind, own = exported(KINDS[name], tmp_path), variables(drawn(0))
    optimizer = kind(learning_rate=0.25, clipnorm=3.0)
    optimizer.settings |= {"b1": 0.5} if "b1" in optimizer.settings else {}
    for number in range(3):
        optimizer.apply(tensors(drawn(number)), own)
    config = optimizer.get_config()
    assert config["learning_rate"] == 0.25
    assert config["clipnorm"] == 3.0
    loaded, again = kind.from_config(config), variables(numbers(own))
    assert loaded.get_config() == config
    assert keras.optimizers.deserialize(keras.optimizers.serialize(optimizer)).get_config() == config
    loaded.build(again)
    saved = {}
    optimizer.save_own_variables(saved)
    loaded.load_own_variables(saved)
    for number in range(3, 6):
        optimizer.apply(tensors(drawn(number)), own)
        loaded.apply(tensors(drawn(number)), again)
    for x, y in zip(numbers(own), numbers(again), strict=True):
        np.testing.assert_array_equal(x, y)


def model():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)])


@pytest.mark.parametrize("name", KINDS)
def test_a_model_is_fitted_saved_and_loaded(name, tmp_path):
    x, y = drawn(0, ((32, 4), (32, 1)))
    trained = model()
    rate = {"adamw": 0.01, "lion": 0.003, "sgd": 0.05}.get(name, 0.01)
    trained.compile(exported(KINDS[name], tmp_path)(learning_rate=rate), loss="mse")
    before = trained.evaluate(x, y, verbose=0)
    trained.fit(x, y, epochs=5, batch_size=8, shuffle=False, verbose=0)
    assert name == "all kinds of state" or trained.evaluate(x, y, verbose=0) < before
    trained.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for each in (trained, loaded):
        each.fit(x, y, epochs=2, batch_size=8, shuffle=False, verbose=0)
    for a, b in zip(trained.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_state_has_the_dtypes_of_the_weights(tmp_path):
    own = [keras.Variable(np.ones(3), dtype=dtype) for dtype in ("bfloat16", "float16", "float32")]
    optimizer = exported(SETTLED, tmp_path)()
    optimizer.apply([keras.ops.ones(3, variable.dtype) for variable in own], own)
    for name in ("m", "n"):
        assert [each.dtype for each in optimizer.slots[name]] == ["bfloat16", "float16", "float32"]
    assert optimizer.slots["s"].dtype == "float32"
    assert [each.dtype for each in own] == ["bfloat16", "float16", "float32"]


def test_weights_without_a_gradient_stay(tmp_path):
    own, alone = variables(drawn(0)), variables(drawn(0)[:2])
    kind = exported(SETTLED, tmp_path)
    optimizer, other = kind(), kind()
    optimizer.build(own)
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        optimizer.apply([*tensors(drawn(1)[:2]), None], own)
    other.apply(tensors(drawn(1)[:2]), alone)
    for x, y in zip(numbers([*own[:2], own[2]]), [*numbers(alone), drawn(0)[2]], strict=True):
        np.testing.assert_array_equal(x, y)


def test_what_is_kept_does_not_change_with_the_weights(tmp_path):
    subject = program("w, g, a, b, c", "update = a + b + c", "a = b", "b = w", "c = g", returns="update, a, b, c")
    step, plain = stepper(exported(subject, tmp_path), drawn(0)), Reference(subject, [(3, 2), (4,), ()], "float32")
    for number in range(1, 5):
        weights, gradients = drawn(number), drawn(number + 10)
        wanted = plain(weights, gradients, 1.0)
        for w, x, moved in zip(weights, wanted, step(weights, gradients, 1.0), strict=True):
            np.testing.assert_allclose(w - moved, x, rtol=1e-5, atol=1e-6)


def test_gradient_accumulation_steps_once_for_several(tmp_path):
    kind = exported(programs.load("adamw"), tmp_path)
    gathered, plain = kind(learning_rate=0.1, gradient_accumulation_steps=2), kind(learning_rate=0.1)
    first, second = variables(drawn(0)), variables(drawn(0))
    for number in range(3):
        one, other = drawn(2 * number), drawn(2 * number + 1)
        gathered.apply(tensors(one), first)
        gathered.apply(tensors(other), first)
        plain.apply(tensors([(x + y) / np.float32(2.0) for x, y in zip(one, other, strict=True)]), second)
    for x, y in zip(numbers(first), numbers(second), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5)


def test_complex_weights_are_refused(tmp_path):
    class Complex:
        dtype = "complex64"

    with pytest.raises(ValueError, match=r"^found takes real weights, got complex64: split them in two$"):
        exported(programs.load("lion"), tmp_path, name="found")().build([Complex()])


@pytest.mark.skipif(BACKEND != "jax", reason="of JAX")
def test_stateless_apply_under_jit_compiles_once(tmp_path):
    own, optimizer = variables(drawn(0)), exported(SETTLED, tmp_path)(learning_rate=0.5)
    optimizer.build(own)
    traced = []

    @jax.jit
    def step(state, gradients, weights):
        traced.append(1)
        return optimizer.stateless_apply(state, gradients, weights)

    weights, state = [variable.value for variable in own], [variable.value for variable in optimizer.variables]
    for number in range(3):
        weights, state = step(state, tensors(drawn(number)), weights)
    for number in range(3):
        optimizer.apply(tensors(drawn(number)), own)
    assert len(traced) == 1
    for x, y in zip(weights, numbers(own), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5)


@pytest.mark.parametrize("name", ["", "1a", "a b", "class", "keras", "ops", "print"])
def test_names_that_cannot_be_a_class_are_refused(name):
    with pytest.raises(ProgramError, match=r"cannot be a function's name|Python built-in|the module itself uses"):
        programs.export_keras(programs.load("lion"), name=name)


@pytest.mark.parametrize("name", ["lion", "dowg", "muon"])
def test_the_example_runs(name, tmp_path):
    text = programs.export_keras(programs.load(name), name="found", provenance=('a """ run',))
    (tmp_path / "found.py").write_text(text, encoding="utf-8")
    shown = example(text) + "\nprint(bool(keras.ops.all(keras.ops.isfinite(weights))), weights.shape)\n"
    environment = os.environ | {"KERAS_BACKEND": BACKEND, "KERAS_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", shown], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("True (3,)\n", 0), done.stderr


@pytest.mark.skipif(BACKEND != "jax", reason="starts itself")
def test_all_of_it_on_pytorch():
    pytest.importorskip("torch")
    command = [sys.executable, "-m", "pytest", "-q", "-m", "slow", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, env=os.environ | {"KERAS_BACKEND": "torch"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_a_rate_that_is_not_read_warns(tmp_path):
    found = exported(UNREAD, tmp_path)
    with pytest.warns(UserWarning, match=SENTENCE):
        found(learning_rate=keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9))
    found.from_config(found().get_config())
