"""What is trained, and the training loop that takes any optax.GradientTransformation."""

from tasks.suites import SUITES, TASKS, get, load_suite
from tasks.task import Task, TaskError, score
from tasks.training import Evaluation, Training, evaluate, train

__all__ = [
    "SUITES",
    "TASKS",
    "Evaluation",
    "Task",
    "TaskError",
    "Training",
    "evaluate",
    "get",
    "load_suite",
    "score",
    "train",
]
