"""Evaluating candidates: from program text to score, many at a time."""

import itertools
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from workers.compile_cache import open_compile_cache
from workers.errors import describe
from workers.job import TOO_LARGE, Job, Result, Status

if TYPE_CHECKING:
    import tasks


IN_FLIGHT = 2
"""Batches in flight on an accelerator: while it trains with one, the next is parsed, encoded and handed to it."""


def evaluate(jobs: Sequence[Job]) -> list[Result]:
    """Train the tasks of jobs with their programs, in this process.

    The first call imports JAX; each task compiles once per process, or is read from the compile cache.

    Args:
        jobs: What to evaluate. Jobs with equal tasks, rng seeds and hurdle are trained together.

    Returns:
        One result for each job, in the same order: of the job's best setting, if it has several. It is `ok` with a
        score, `hopeless`, `diverged`, or `oom` if memory did not suffice even for the job alone.

    Raises:
        ProgramError: If a program is not valid.
        TaskError: If there is no such task, no task or no rng seed.
    """
    open_compile_cache()
    import tasks

    alike: dict[tuple, list[int]] = defaultdict(list)
    for place, job in enumerate(jobs):
        alike[job.tasks, job.rng_seeds, job.hurdle].append(place)
    batches = []
    for (_, rng_seeds, _), places in alike.items():
        most = max(1 + len(jobs[place].settings) for place in places)
        count = max(1, tasks.programs_at_once(len(rng_seeds)) // most)
        batches += [places[first : first + count] for first in range(0, len(places), count)]
    grouped = [[jobs[place] for place in places] for places in batches]
    if tasks.lanes_of_device() == "sequence":
        evaluated = [_evaluate_alike(together) for together in grouped]
    else:
        with ThreadPoolExecutor(IN_FLIGHT) as threads:
            evaluated = list(threads.map(_evaluate_alike, grouped))
    results = {
        place: result
        for places, together in zip(batches, evaluated, strict=True)
        for place, result in zip(places, together, strict=True)
    }
    return [results[place] for place in range(len(jobs))]


def _evaluate_alike(jobs: Sequence[Job]) -> list[Result]:
    # Imported late, so that the command line starts without JAX.
    import jax

    import programs
    import tasks

    start = time.monotonic()
    suite = tuple(tasks.get(name) for name in jobs[0].tasks)
    texts = [(job.program, *job.settings) for job in jobs]
    some = [programs.parse(text) for own in texts for text in own]
    evaluations, problem = [], ""
    try:
        evaluations = tasks.evaluate_programs(suite, some, jobs[0].rng_seeds, jobs[0].hurdle)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        problem = describe(error)
    if problem and len(jobs) > 1:  # outside of the handler, which keeps what the failed call allocated
        half = len(jobs) // 2
        return _evaluate_alike(jobs[:half]) + _evaluate_alike(jobs[half:])
    if problem:
        return [Result(jobs[0].index, Status.OOM, seconds=time.monotonic() - start, message=problem)]
    seconds = (time.monotonic() - start) / len(jobs)
    left = iter(evaluations)
    taken = [list(itertools.islice(left, len(own))) for own in texts]
    return [_best(job.index, own, seconds) for job, own in zip(jobs, taken, strict=True)]


def _best(index: int, evaluations: "Sequence[tasks.Evaluation]", seconds: float) -> Result:
    """Make the result of a job's best program: one that passed rather than a hopeless one, of equals the first."""
    order = (Status.DIVERGED, Status.HOPELESS, Status.OK)
    ranks = [(order.index(_status(evaluation)), evaluation.score) for evaluation in evaluations]
    setting = ranks.index(max(ranks))
    best = evaluations[setting]
    return Result(
        index=index,
        status=_status(best),
        score=best.score,
        losses=best.losses,
        seconds=seconds,
        setting=setting,
        message="; ".join(filter(None, (best.reason, TOO_LARGE if best.too_large else ""))),
    )


def _status(evaluation: "tasks.Evaluation") -> Status:
    if evaluation.diverged:
        return Status.DIVERGED
    return Status.HOPELESS if evaluation.hopeless else Status.OK


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)
