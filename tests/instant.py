"""An evaluation that trains nothing: the score follows from the program's key."""

from collections.abc import Sequence

import programs
import workers


def evaluate(jobs: Sequence[workers.Job]) -> list[workers.Result]:
    return [evaluate_one(job) for job in jobs]


def evaluate_one(job: workers.Job) -> workers.Result:
    """Score a program by its key; one key in seven diverges."""
    number = int(programs.key(programs.parse(job.program))[:8], 16)
    if number % 7 == 0:
        return workers.Result(job.index, workers.Status.DIVERGED)
    losses = tuple(number / 2**32 + 0.01 * (seed % 3) for seed in job.rng_seeds)
    return workers.Result(job.index, workers.Status.OK, score=2.0 - sum(losses) / len(losses), losses=(losses,))
