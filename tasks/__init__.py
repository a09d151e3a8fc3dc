"""What is trained, and the two engines that train it: the interpreter and the compiler."""

from tasks.compiled_training import train
from tasks.engines import Engine, choose_engine
from tasks.evaluation import Evaluation, evaluate_optimizer, evaluate_programs
from tasks.fingerprint import probe_arithmetic
from tasks.interpreted_training import Candidate, lanes_of_device, programs_at_once, train_many
from tasks.suites import SUITES, TASKS, get, load_suite
from tasks.task import Task, TaskError, score
from tasks.training import Training

__all__ = [
    "SUITES",
    "TASKS",
    "Candidate",
    "Engine",
    "Evaluation",
    "Task",
    "TaskError",
    "Training",
    "choose_engine",
    "evaluate_optimizer",
    "evaluate_programs",
    "get",
    "lanes_of_device",
    "load_suite",
    "probe_arithmetic",
    "programs_at_once",
    "score",
    "train",
    "train_many",
]
