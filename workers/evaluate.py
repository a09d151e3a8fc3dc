"""Evaluating one candidate: program text to score."""

import time

from workers.job import Job, Result, Status


def evaluate(job: Job) -> Result:
    """Train a job's tasks with its program, in this process.

    The first call imports JAX; each task compiles once per process.

    Args:
        job: What to evaluate.

    Returns:
        `ok` with a score, `diverged`, or `oom` if memory did not suffice.

    Raises:
        ProgramError: The program is not valid.
        TaskError: There is no such task, no task or no rng seed.
    """
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


def describe(error: BaseException) -> str:
    """Return an exception's type and text, as in "ValueError: no such task"."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)
