"""From programs to scores on a suite of tasks, without the trainings that are not worth running."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import jax
import optax

import programs
from tasks.compiled_training import train_each
from tasks.engines import Engine, choose_engine
from tasks.interpreted_training import Candidate, train_many
from tasks.pinning import pinned
from tasks.task import Task, TaskError, score
from tasks.training import Training


@dataclass(frozen=True)
class Evaluation:
    """The results of one optimizer on a suite of tasks."""

    trainings: tuple[tuple[Training, ...], ...]  # by task, then by rng seed; shorter if the evaluation ended early
    score: float  # mean over tasks of the mean over rng seeds; 0 if any training diverged
    diverged: bool  # a training diverged, and the trainings after it were skipped
    hopeless: bool = False  # a task's score was below the hurdle, and the tasks after it were skipped: see `reason`
    reason: str = ""  # why it was hopeless, for people
    too_large: bool = False  # the program did not fit the interpreter, which trained a task with the others

    @property
    def losses(self) -> tuple[tuple[float, ...], ...]:
        """Held-out losses in nats, by task, then by rng seed."""
        return tuple(tuple(training.loss for training in row) for row in self.trainings)


def evaluate_optimizer(
    tasks: Sequence[Task],
    optimizer: optax.GradientTransformation,
    rng_seeds: Sequence[int],
    hurdle: float | None = None,
) -> Evaluation:
    """Train every task once per rng seed with any Optax transformation, compiled.

    Args:
        tasks: At least one; the optimizer's update compiles once for each.
        optimizer: Any transformation.
        rng_seeds: At least one, each in [0, 2**31).
        hurdle: If the score on a task is below it, the tasks after it are not trained; None for no hurdle.

    Returns:
        The trainings, until the first that diverges, and their score.

    Raises:
        TaskError: If there is no task or no rng seed.
    """
    return _evaluate_all(tasks, 1, rng_seeds, hurdle, lambda task, _: [train_each(task, optimizer, rng_seeds)])[0]


def evaluate_programs(
    tasks: Sequence[Task],
    some: Sequence[programs.Program],
    rng_seeds: Sequence[int],
    hurdle: float | None = None,
) -> list[Evaluation]:
    """Train every task once per rng seed with every program, by the engine that `choose_engine` chooses for the task.

    A program that is too large for the interpreter is compiled.

    Args:
        tasks: At least one.
        some: Any number of programs.
        rng_seeds: At least one, each in [0, 2**31).
        hurdle: If the score on a task is below it, the tasks after it are not trained; None for no hurdle.

    Returns:
        For each program, in order, its trainings until the first that diverges, and their score.

    Raises:
        ProgramError: If a program is not valid.
        TaskError: If there is no task or no rng seed.
    """
    encoded = [programs.encode(program) for program in some]

    def train(task: Task, alive: Sequence[int]) -> list[tuple[Training, ...]]:
        interpreted: dict[programs.Capacity, list[int]] = defaultdict(list)
        trainings: dict[int, tuple[Training, ...]] = {}
        interpret = choose_engine(task, jax.default_backend()) is Engine.INTERPRETER
        for index in alive:
            code = encoded[index]
            if interpret and code is not None:
                interpreted[code[0]].append(index)
            else:
                trainings[index] = train_each(task, as_optimizer(some[index]), rng_seeds)
        for capacity, indexes in interpreted.items():
            candidates = [Candidate(code[1]) for index in indexes if (code := encoded[index])]
            trainings |= dict(zip(indexes, train_many(task, capacity, candidates, rng_seeds), strict=True))
        return [trainings[index] for index in alive]

    evaluations = _evaluate_all(tasks, len(some), rng_seeds, hurdle, train)
    interpreted = any(choose_engine(task, jax.default_backend()) is Engine.INTERPRETER for task in tasks)
    return [
        replace(evaluation, too_large=True) if interpreted and code is None else evaluation
        for evaluation, code in zip(evaluations, encoded, strict=True)
    ]


def as_optimizer(program: programs.Program) -> optax.GradientTransformation:
    """Make an Optax transformation from a program, for the compiler engine."""
    optimizer = programs.to_optax(program)
    # On one flat array the update gives the same numbers and compiles twice as fast.
    return optax.flatten(optimizer) if programs.is_elementwise(program) else optimizer


@pinned()
def _evaluate_all(
    tasks: Sequence[Task],
    count: int,
    rng_seeds: Sequence[int],
    hurdle: float | None,
    train: Callable[[Task, Sequence[int]], list[tuple[Training, ...]]],
) -> list[Evaluation]:
    """Train `count` optimizers task by task, each until it diverges or is hopeless."""
    if not tasks or not rng_seeds:
        raise TaskError(f"got {len(tasks)} tasks and {len(rng_seeds)} rng seeds; give at least one of each")
    rows: list[list[tuple[Training, ...]]] = [[] for _ in range(count)]
    alive = list(range(count))
    for task in tasks:
        for index, row in zip(alive, train(task, alive) if alive else [], strict=True):
            rows[index].append(row)
        alive = [
            index
            for index in alive
            if not (ended := _evaluation(tasks, rows[index], hurdle)).diverged and not ended.hopeless
        ]
    return [_evaluation(tasks, row, hurdle) for row in rows]


def _evaluation(tasks: Sequence[Task], rows: Sequence[tuple[Training, ...]], hurdle: float | None) -> Evaluation:
    """Score what was trained so far."""
    if rows[-1][-1].diverged:
        return Evaluation(tuple(rows), score=0.0, diverged=True)
    scores = [
        math.fsum(score(task, training.loss) for training in row) / len(row)
        for task, row in zip(tasks, rows, strict=False)
    ]
    below = hurdle is not None and scores[-1] < hurdle and len(rows) < len(tasks)
    if not below:
        return Evaluation(tuple(rows), math.fsum(scores) / len(tasks), diverged=False)
    # The other tasks count as 0, so that a hopeless optimizer ranks behind all that passed: scores have no upper end.
    reason = f"{scores[-1]:.4g} on {tasks[len(rows) - 1].name}, below the hurdle of {hurdle:g}"
    return Evaluation(tuple(rows), scores[-1] / len(tasks), diverged=False, hopeless=True, reason=reason)
