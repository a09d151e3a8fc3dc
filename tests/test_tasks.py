"""Tasks, suites and the training loop."""

import dataclasses
import gzip
import hashlib
import importlib.resources
import math
import os
import subprocess
import sys
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import programs
import tasks
from tasks import digits, iris, text
from tasks.losses import accuracy, cross_entropy
from tasks.transformer import WIDTH, Blocks

TINY = tasks.get("digits_tiny")
ADAMW = programs.to_optax(programs.load("adamw"))


def steepest(rate: float) -> optax.GradientTransformation:
    """Make a stateless optimizer whose update is the gradient times a negative rate."""

    def update(updates, state, params=None):
        return jax.tree.map(lambda gradient: -rate * gradient, updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def bomb(step: int, size: float) -> optax.GradientTransformation:
    """Make an optimizer that moves every weight by `size` at one step and never otherwise."""

    def update(updates, state, params=None):
        jump = jnp.where(state == step, size, 0.0)
        return jax.tree.map(lambda leaf: jnp.full_like(leaf, jump), updates), state + 1

    return optax.GradientTransformation(lambda params: jnp.zeros((), jnp.int32), update)


def test_digits_are_split_without_overlap_and_stratified():
    data = digits.load()
    assert data.training_rows.shape == (digits.TRAINING_IMAGES, 64)
    assert data.held_out_rows.shape == (digits.HELD_OUT_IMAGES, 64)
    assert data.training_rows.min() == 0.0
    assert data.training_rows.max() == 1.0
    training = {image.tobytes() for image in data.training_rows}
    assert not any(image.tobytes() in training for image in data.held_out_rows)
    shares = [
        np.bincount(labels, minlength=10) / len(labels) for labels in (data.training_labels, data.held_out_labels)
    ]
    np.testing.assert_allclose(shares[0], shares[1], atol=0.002)


def test_flowers_are_standardised_by_the_training_part_and_stratified():
    data = iris.load()
    assert data.training_rows.shape == (iris.TRAINING_FLOWERS, iris.FEATURES)
    assert data.held_out_rows.shape == (iris.HELD_OUT_FLOWERS, iris.FEATURES)
    np.testing.assert_allclose(data.training_rows.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(data.training_rows.std(axis=0), 1.0, rtol=1e-5)
    assert np.bincount(data.training_labels).tolist() == [40, 40, 40]
    assert np.bincount(data.held_out_labels).tolist() == [10, 10, 10]


def test_text_is_that_of_python_3_11_on_every_python():
    data = text.load()
    assert data.held_out.shape == (text.HELD_OUT_WINDOWS, text.LENGTH + 1)
    split = text.CHARACTERS * 9 // 10
    assert data.training.shape == (split,)
    packed = importlib.resources.files("tasks").joinpath("data", "python_topics.txt.gz").read_bytes()
    characters = gzip.decompress(packed)
    assert hashlib.sha256(characters).hexdigest() == "16c4e64ac33665d293660d77e06b1485002e5878f73ce7d0184cf2180c054b2e"
    assert bytes(data.training.tolist()) == characters[:split]
    rest = characters[split:]
    assert all(bytes(window.tolist()) in rest for window in data.held_out)
    assert data.held_out.max() < text.VOCABULARY


TRANSFORMERS = ("digits_vit", "text_gpt")  # these take seconds to compile


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in TRANSFORMERS else name for name in tasks.TASKS]
)
def test_task_row(name: str):
    task = tasks.get(name)
    assert task is tasks.get(name)
    assert task.name == name
    assert task.description.endswith(".")
    assert 0 < task.reference < task.worst
    params = task.init(jax.random.key(7))
    loss, share = task.held_out(params)
    assert float(loss) == pytest.approx(task.worst, abs=1e-5)
    assert 0 <= float(share) < 2 * math.exp(-task.worst)
    batch = jnp.array([0, task.training_examples - 1], jnp.int32)
    assert float(task.loss(params, batch)) == pytest.approx(task.worst, abs=1e-5)


@pytest.mark.parametrize("suite", tasks.SUITES)
def test_suites_name_tasks(suite: str):
    assert set(tasks.SUITES[suite]) <= set(tasks.TASKS)


@pytest.mark.slow
def test_transformer_does_not_look_ahead():
    params = text.Transformer(jax.random.key(0))
    params = eqx.tree_at(lambda tree: tree.predict, params, params.embedding.T)
    window = jnp.asarray(text.load().held_out[0, :-1])
    changed = window.at[20].set((window[20] + 1) % text.VOCABULARY)
    before, after = params(window), params(changed)
    np.testing.assert_array_equal(before[:20], after[:20])
    assert not np.array_equal(before[20:], after[20:])


@pytest.mark.slow
def test_tokens_without_a_mask_all_see_each_other_alike():
    blocks = Blocks(jax.random.split(jax.random.key(0), 4))
    tokens = jax.random.normal(jax.random.key(1), (16, WIDTH))
    order = np.random.default_rng(0).permutation(16)
    np.testing.assert_allclose(blocks(tokens[order]), blocks(tokens)[order], atol=1e-4)
    assert not np.any(np.all(blocks(tokens.at[15].add(1.0)) == blocks(tokens), axis=-1))


def test_patches_are_squares_of_the_image():
    cut = digits.patches(jnp.arange(3 * 64).reshape(3, 64))
    assert cut.shape == (3, 16, 4)
    assert cut[0, :2].tolist() == [[0, 1, 8, 9], [2, 3, 10, 11]]
    assert cut[2, -1].tolist() == [128 + pixel for pixel in (54, 55, 62, 63)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batch_size", "kind"), [(digits.TRAINING_IMAGES, slice), (64, jax.Array)], ids=["full", "drawn"]
)
def test_full_batch_is_a_slice(batch_size: int, kind: type):
    seen = []

    def loss(params, batch):
        seen.append(batch)
        return TINY.loss(params, batch)

    task = dataclasses.replace(TINY, steps=1, batch_size=batch_size, loss=loss)
    assert task.full_batch == (kind is slice)
    assert not tasks.train(task, steepest(0.1), 0).diverged
    assert seen
    assert all(isinstance(batch, kind) for batch in seen)


def test_only_flowers_come_all_at_once_and_a_slice_means_each_of_them_once():
    assert [name for name in tasks.TASKS if tasks.get(name).full_batch] == ["iris"]
    task = tasks.get("iris")
    params = eqx.tree_at(lambda tree: tree.predict, task.init(jax.random.key(0)), jnp.eye(iris.CLASSES, iris.UNITS))
    every = float(task.loss(params, jnp.arange(task.training_examples)))
    assert float(task.loss(params, slice(None))) == pytest.approx(every, rel=1e-5)
    assert every != pytest.approx(task.worst, abs=0.01)


def test_cross_entropy_does_not_cancel():
    logits = jnp.array([[1e9, 1e9], [3e17, 0.0]], jnp.float32)
    assert float(cross_entropy(logits, jnp.array([1, 0]))) == pytest.approx(math.log(2) / 2)
    assert float(cross_entropy(logits, jnp.array([0, 1]))) > 1e17
    assert float(accuracy(logits, jnp.array([0, 1]))) == 0.5


def test_training_twice_gives_the_same_bits():
    assert tasks.train(TINY, ADAMW, 3) == tasks.train(TINY, ADAMW, 3)


def test_rng_seed_decides_the_weights_and_batches_and_the_optimizer_does_not():
    seen = {}

    def recording(rate: float, key: tuple) -> optax.GradientTransformation:
        def update(updates, state, params=None):
            jax.debug.callback(lambda *leaves: seen.setdefault(key, leaves), updates, params)
            return steepest(rate).update(updates, state)

        return optax.GradientTransformation(lambda params: optax.EmptyState(), update)

    for rate, rng_seed in ((0.1, 0), (0.2, 0), (0.1, 1)):
        tasks.train(TINY, recording(rate, (rate, rng_seed)), rng_seed)
    jax.effects_barrier()

    def first_step(rate: float, rng_seed: int) -> list[bytes]:
        return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(seen[rate, rng_seed])]

    assert first_step(0.1, 0) == first_step(0.2, 0)
    assert first_step(0.1, 0) != first_step(0.1, 1)


FRESH = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import programs, tasks
adamw = programs.to_optax(programs.load("adamw"))
for name in sys.argv[1:]:
    evaluation = tasks.evaluate_optimizer([tasks.get(name)], adamw, [0, 1])
    print(*(training.loss.hex() for training in evaluation.trainings[0]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [["digits_tiny", "iris"], pytest.param(["digits_mlp", "digits_vit", "text_gpt"], marks=pytest.mark.slow)],
    ids=", ".join,
)
def test_number_of_cores_does_not_change_bits(names: list[str]):
    fresh = subprocess.run(
        [sys.executable, "-c", FRESH, *names],
        env=os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=3"},
        capture_output=True,
        text=True,
        check=True,
    )
    evaluation = tasks.evaluate_optimizer([tasks.get(name) for name in names], ADAMW, [0, 1])
    ours = [" ".join(loss.hex() for loss in row) for row in evaluation.losses]
    assert fresh.stdout.splitlines() == ours


@pytest.mark.parametrize("size", [math.nan, math.inf, 1e5])
def test_divergence_ends_a_training_early(size: float):
    training = tasks.train(TINY, bomb(step=3, size=size), 0)
    assert training == tasks.Training(TINY.worst, accuracy=0.0, diverged=True, steps=25)


@pytest.mark.parametrize("step", range(TINY.steps - 2, TINY.steps))
def test_divergence_at_the_end_is_seen(step: int):
    assert tasks.train(TINY, bomb(step, size=1e5), 0).diverged


def test_evaluation_stops_at_the_first_divergence():
    evaluation = tasks.evaluate_optimizer([TINY, TINY], bomb(step=3, size=1e5), [0, 1, 2])
    assert [len(row) for row in evaluation.trainings] == [1]
    assert evaluation.diverged
    assert evaluation.score == 0.0


def test_evaluation_is_the_mean_of_its_trainings():
    evaluation = tasks.evaluate_optimizer([TINY], ADAMW, [5, 6])
    trainings = [tasks.train(TINY, ADAMW, rng_seed) for rng_seed in (5, 6)]
    assert evaluation.trainings == (tuple(trainings),)
    assert evaluation.losses == ((trainings[0].loss, trainings[1].loss),)
    scores = [tasks.score(TINY, training.loss) for training in trainings]
    assert evaluation.score == pytest.approx(sum(scores) / 2)
    with pytest.raises(tasks.TaskError, match="0 rng seeds"):
        tasks.evaluate_optimizer([TINY], ADAMW, [])


FAST = ("digits_tiny", "iris")


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in tasks.TASKS]
)
def test_adamw_scores_one(name: str):
    evaluation = tasks.evaluate_optimizer([tasks.get(name)], ADAMW, range(1000, 1016))
    loss = float(np.mean(evaluation.losses[0]))
    tolerance = 0.03 if name == "text_gpt" else 0.002
    assert evaluation.score == pytest.approx(1.0, abs=tolerance), f"the reference of {name} should be {loss:.5f}"


def test_flat_optimizer_learns_the_same():
    flat = tasks.train(TINY, optax.flatten(ADAMW), 0)
    assert flat.loss == pytest.approx(tasks.train(TINY, ADAMW, 0).loss, rel=1e-4)


def test_gradient_descent_learns():
    training = tasks.train(TINY, steepest(0.5), 0)
    assert training.accuracy > 0.8
    assert tasks.score(TINY, training.loss) > 0.5


def test_state_may_hold_the_weights():
    def update(updates, state, params: Any = None):
        return jax.tree.map(lambda gradient: -0.5 * gradient, updates), params

    holding = optax.GradientTransformation(lambda params: params, update)
    assert tasks.train(TINY, holding, 0).loss == tasks.train(TINY, steepest(0.5), 0).loss


@pytest.mark.parametrize(
    ("loss", "share", "diverged"),
    [(0.0, 0.5, True), (0.34, 0.5, True), (0.35, 0.5, False), (math.nan, 1.0, True)],
)
def test_loss_that_contradicts_its_accuracy_is_divergence(loss: float, share: float, diverged: bool):
    contradicting = tasks.Task(
        name="contradicting",
        description="Two weights and whatever loss is wanted.",
        steps=1,
        batch_size=1,
        training_examples=1,
        held_out_examples=1,
        worst=2.0,
        reference=1.0,
        init=lambda key: jnp.zeros(2),
        loss=lambda params, batch: jnp.square(params).sum(),
        held_out=lambda params: (jnp.float32(loss), jnp.float32(share)),
    )
    assert tasks.train(contradicting, steepest(0.1), 0).diverged == diverged


def test_score():
    assert tasks.score(TINY, TINY.worst) == 0.0
    assert tasks.score(TINY, TINY.worst - 1e-6) == 0.0
    assert tasks.score(TINY, TINY.reference) == 1.0
    assert tasks.score(TINY, 0.5) > 1.0
    for loss in (math.inf, math.nan, TINY.worst + 1):
        assert tasks.score(TINY, loss) == 0.0


def test_unknown_task():
    with pytest.raises(tasks.TaskError, match="digits_mlp"):
        tasks.get("digit_mlp")


def test_load_suite():
    assert tasks.load_suite("smoke") == (TINY,)
    assert tasks.load_suite("digits_tiny") == (TINY,)
    assert [task.name for task in tasks.load_suite("first")] == ["digits_mlp", "text_gpt"]
    with pytest.raises(tasks.TaskError, match="did you mean 'smoke'"):
        tasks.load_suite("smok")
