"""Which engine trains a program on a task: decided by a table, not by timing."""

from enum import StrEnum

from tasks.task import Task
from tasks.training import weights


class Engine(StrEnum):
    """How a program's update is computed; engines round differently, so the engine is part of a score's identity."""

    INTERPRETER = "interpreter"  # programs as data: nothing compiles
    COMPILER = "compiler"  # each program compiles


BREAK_EVEN = {"cpu": 1e9}
"""Weights times steps from which compiling a program pays off, by platform; see `break_even`."""

_ELSEWHERE = 1e10


def break_even(device: str) -> float:
    """Return the product of weights and steps from which compiling a program pays off.

    The interpreter moves a few more registers per step, in proportion to the weights; the time to compile hardly
    depends on the weights, and compiled steps are dispatched one by one. `pride bench break_even` measures the product:
    for models of less than 100,000 weights compiling did not pay off at all, for 300,000 from 1e8 to 2e9 (jax 0.10.2,
    one core of an Intel Xeon). No accelerator was measured.

    Args:
        device: As JAX names its platforms: "cpu", "gpu" or "tpu".
    """
    return BREAK_EVEN.get(device, _ELSEWHERE)


def choose_engine(task: Task, device: str) -> Engine:
    """Choose the engine for a task: the same for every program, and for any number of rng seeds.

    Args:
        task: What to train.
        device: As JAX names its platforms.
    """
    work = weights(task) * task.steps
    return Engine.INTERPRETER if work < break_even(device) else Engine.COMPILER
