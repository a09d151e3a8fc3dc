"""The tasks and suites, by name."""

import functools
from collections.abc import Callable, Iterable

from programs import did_you_mean
from tasks.digits import TRAINING_IMAGES, digits, mislabelled_digits, perceptron, vision_transformer
from tasks.iris import iris
from tasks.task import Task, TaskError
from tasks.text import text_gpt

# Each `reference` is the mean over rng seeds 1000 to 1015 of the held-out loss that
# `train(task, optax.adamw(0.001, weight_decay=0.01), rng_seed)` gives on CPU.
TASKS: dict[str, Callable[[], Task]] = {
    "digits_tiny": lambda: digits(
        name="digits_tiny",
        description="64-64-10 perceptron on 8 x 8 digits, 60 steps, for tests.",
        model=perceptron(width=64, depth=1),
        steps=60,
        reference=1.77679,
    ),
    "digits_mlp": lambda: digits(
        name="digits_mlp",
        description="64-64-64-10 perceptron on 8 x 8 digits, 300 steps.",
        model=perceptron(width=64, depth=2),
        steps=300,
        reference=0.24713,
    ),
    "digits_vit": lambda: digits(
        name="digits_vit",
        description="Two-layer vision transformer on 8 x 8 digits, 100 steps.",
        model=vision_transformer(),
        steps=100,
        reference=1.18290,
    ),
    "digits_few": lambda: mislabelled_digits(
        name="digits_few",
        description="64-64-10 perceptron on 300 digits, 3 labels in 10 drawn at random, 4,000 steps.",
        images=300,
        redrawn=0.3,
        contrast=1.0,
        batch_size=32,
        reference=0.89982,
    ),
    "digits_faint": lambda: mislabelled_digits(
        name="digits_faint",
        description="64-64-10 perceptron on faint digits, 3 labels in 10 drawn at random, 4,000 steps of 16.",
        images=TRAINING_IMAGES,
        redrawn=0.3,
        contrast=0.3,
        batch_size=16,
        reference=0.52653,
    ),
    "text_gpt": lambda: text_gpt(
        name="text_gpt",
        description="Two-layer transformer on the bytes of Python's reference pages, 150 steps.",
        steps=150,
        reference=3.24765,
    ),
    "iris": lambda: iris(
        name="iris",
        description="4-16-3 perceptron on iris flowers, 21 steps on all of them.",
        steps=21,
        reference=0.96197,
    ),
}

SUITES: dict[str, tuple[str, ...]] = {
    "first": ("digits_mlp", "text_gpt"),
    "smoke": ("digits_tiny",),
    "simplify": ("digits_mlp", "digits_few", "digits_faint"),
}


@functools.cache
def get(name: str) -> Task:
    """Return a task by its name in TASKS, the same object each time.

    Raises:
        TaskError: If there is no such task.
    """
    if name not in TASKS:
        raise TaskError(_unknown("task", name, TASKS))
    return TASKS[name]()


def load_suite(name: str) -> tuple[Task, ...]:
    """Return the tasks of a suite.

    Args:
        name: A name in SUITES, or a name in TASKS for that task alone.

    Raises:
        TaskError: If there is no such suite or task.
    """
    if name in SUITES:
        return tuple(get(task) for task in SUITES[name])
    if name in TASKS:
        return (get(name),)
    raise TaskError(_unknown("suite or task", name, [*SUITES, *TASKS]))


def _unknown(what: str, name: str, names: Iterable[str]) -> str:
    return f"unknown {what} {name!r}{did_you_mean(name, names)}; there are {', '.join(names)}"
