"""Which engine trains a program on a task: a table, and no timing decides it."""

from enum import StrEnum

from tasks.task import Task
from tasks.training import weights


class Engine(StrEnum):
    """How a program's update is computed. The two differ by rounding, so it is part of a score's identity."""

    INTERPRETER = "interpreter"  # programs as data: nothing compiles
    COMPILER = "compiler"  # each program compiles


BREAK_EVEN = {"cpu": 5e7}
"""Weights times steps from which compiling a program pays, by platform.

The interpreter moves a few more registers a step, in proportion to the weights; compiling takes a time that hardly
depends on them. `python tests/benchmarks/bench_engines.py` measures it.
"""

_OTHERS = 5e9


def choose_engine(task: Task, rng_seeds: int, device: str) -> Engine:
    """Choose the engine for the trainings of one program on a task.

    Args:
        task: What is trained.
        rng_seeds: How many trainings there are.
        device: As JAX names its platforms: "cpu", "gpu" or "tpu".
    """
    work = weights(task) * task.steps * rng_seeds
    break_even = BREAK_EVEN.get(device, _OTHERS)
    return Engine.INTERPRETER if work < break_even else Engine.COMPILER
