"""Evaluating candidates: program text to score."""

import time
from collections.abc import Sequence

from workers.job import Job, Result, Status


def evaluate(jobs: Sequence[Job]) -> list[Result]:
    """Train the tasks of jobs with their programs, in this process.

    The first call imports JAX; each task compiles once per process.

    Args:
        jobs: What to evaluate.

    Returns:
        One result for each job, in the same order: `ok` with a score, `diverged`, or `oom` if memory
        did not suffice.

    Raises:
        ProgramError: A program is not valid.
        TaskError: There is no such task, no task or no rng seed.
    """
    return [_evaluate_one(job) for job in jobs]


def describe(error: BaseException) -> str:
    """Return an exception's type and text, as in "ValueError: no such task"."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _evaluate_one(job: Job) -> Result:
    # Imported late, so that the command line starts without JAX.
    import jax
    import optax

    import programs
    import tasks

    start = time.monotonic()
    program = programs.parse(job.program)
    optimizer = programs.to_optax(program)
    if programs.is_elementwise(program):
        # One flat array gives the same numbers and compiles twice as fast.
        optimizer = optax.flatten(optimizer)
    try:
        evaluation = tasks.evaluate(tuple(tasks.get(name) for name in job.tasks), optimizer, job.rng_seeds)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        seconds = time.monotonic() - start
        return Result(job.index, Status.OOM, seconds=seconds, message=describe(error))
    return Result(
        index=job.index,
        status=Status.DIVERGED if evaluation.diverged else Status.OK,
        score=0.0 if evaluation.diverged else evaluation.score,
        losses=evaluation.losses,
        seconds=time.monotonic() - start,
    )


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)
