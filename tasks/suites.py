"""The tasks and suites by name, and suites from YAML files."""

import functools
from collections.abc import Callable, Iterable
from pathlib import Path

import yaml

from programs import did_you_mean
from tasks.digits import digits
from tasks.task import Task, TaskError
from tasks.text import text_gpt

LARGEST_SUITE_FILE = 65_536  # bytes

# Each `reference` is the mean over rng seeds 1000 to 1015 of the held-out loss that
# `train(task, optax.adamw(0.001, weight_decay=0.01), rng_seed)` gives on CPU.
TASKS: dict[str, Callable[[], Task]] = {
    "digits_tiny": lambda: digits(
        name="digits_tiny",
        description="64-64-10 perceptron on 8 x 8 digits, 60 steps, for tests.",
        width=64,
        depth=1,
        steps=60,
        reference=1.77679,
    ),
    "digits_mlp": lambda: digits(
        name="digits_mlp",
        description="64-64-64-10 perceptron on 8 x 8 digits, 300 steps.",
        width=64,
        depth=2,
        steps=300,
        reference=0.24713,
    ),
    "text_gpt": lambda: text_gpt(
        name="text_gpt",
        description="Two-layer transformer on the bytes of Python's reference pages, 150 steps.",
        steps=150,
        reference=3.24765,
    ),
}

SUITES: dict[str, tuple[str, ...]] = {
    "first": ("digits_mlp", "text_gpt"),
    "smoke": ("digits_tiny",),
}


@functools.cache
def get(name: str) -> Task:
    """Return a task by its name in TASKS, the same object each time.

    Raises:
      TaskError: There is no such task.
    """
    if name not in TASKS:
        raise TaskError(_unknown("task", name, TASKS))
    return TASKS[name]()


def load_suite(name_or_path: str | Path) -> tuple[Task, ...]:
    """Return the tasks of a suite.

    Args:
      name_or_path: A name in SUITES, a name in TASKS, or a YAML file with one key, `tasks`, and a
        list of names in TASKS. A name is preferred to a file of that name.

    Raises:
      TaskError: There is no such name or file, or the file is not as above.
    """
    name = str(name_or_path)
    if name in SUITES:
        return tuple(get(task) for task in SUITES[name])
    if name in TASKS:
        return (get(name),)
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"} or path.is_file():
        return tuple(get(task) for task in _read_suite(path))
    raise TaskError(_unknown("suite or task", name, [*SUITES, *TASKS]))


def _read_suite(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_SUITE_FILE + 1)
    except OSError as error:
        raise TaskError(f"{path}: cannot be read: {error.strerror}") from error
    if len(text) > LARGEST_SUITE_FILE:
        raise TaskError(f"{path}: is longer than {LARGEST_SUITE_FILE} bytes, too long for a suite")
    try:
        content = yaml.load(text, Loader=_PlainLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise TaskError(f"{path}: is not plain YAML: {error}") from error
    if not isinstance(content, dict) or list(content) != ["tasks"]:
        got = f"the keys {', '.join(map(str, content))}" if isinstance(content, dict) else "no keys"
        raise TaskError(f"{path}: got {got}; a suite has one key, as in `tasks: [digits_mlp]`")
    names = content["tasks"]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise TaskError(f"{path}: `tasks` must be a list of task names, as in `[digits_mlp]`")
    for name in names:
        if name not in TASKS:
            raise TaskError(f"{path}: {_unknown('task', name, TASKS)}")
    if len(set(names)) < len(names):
        raise TaskError(f"{path}: `tasks` names a task twice; each counts once")
    return names


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML without aliases and without a key given twice."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases are not accepted", problem_mark=self.peek_event().start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            raise yaml.MarkedYAMLError(problem="a key is given twice", problem_mark=node.start_mark)
        return mapping


def _unknown(what: str, name: str, names: Iterable[str]) -> str:
    return f"unknown {what} {name!r}{did_you_mean(name, names)}; there are {', '.join(names)}"
