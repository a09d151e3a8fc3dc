"""The jobs of a pool that were not given back yet: which wait, with whom, and how often each was tried.

Only a failure that is surely a job's own counts as its attempt. Where several jobs fail together, each
is queued again alone, and what it does there counts.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from workers import faults
from workers.errors import describe
from workers.job import FAILURES, Job, Result, Status

faults.declare(
    {
        "worker.evaluate": "jobs are about to be evaluated",
        "worker.reply": "jobs were evaluated, and nobody knows yet",
    }
)

MAX_ATTEMPTS = 2
"""How often a job that fails is tried."""

Evaluate: TypeAlias = Callable[[Sequence[Job]], list[Result]]
"""Gives one Result for each job, in the same order; where several fail as a whole, it raises.

A job's score and losses must not depend on the jobs beside it. Results without `seconds` get an
equal share of the call's. For a RayPool it must be picklable.
"""

OnEvent: TypeAlias = Callable[[str], None]
"""Takes a note for people, such as "candidate 12, attempt 1 of 2: timeout (took longer than 60 s)"."""


@dataclass(frozen=True)
class Attempt:
    """A job that is to be evaluated, or is being."""

    job: Job
    number: int  # from 1, at most MAX_ATTEMPTS
    alone: bool  # whether no other job may be evaluated with it
    generation: int = 0  # how often the backlog was told to forget, before it came


@dataclass(frozen=True)
class Failure:
    """Why jobs that were evaluated together have no results."""

    status: Status  # one of FAILURES
    message: str
    seconds: float  # wall clock until it failed


def evaluate_together(evaluate: Evaluate, jobs: Sequence[Job]) -> list[Result] | Failure:
    """Evaluate jobs once, with any exception as a Failure.

    Returns:
        What `evaluate` returns, each with its seconds; or `crashed` (`oom` for a MemoryError) with
        the exception's type and text.
    """
    start = time.monotonic()
    try:
        faults.hit("worker.evaluate")
        results = evaluate(jobs)
        faults.hit("worker.reply")
        got, wanted = [result.index for result in results], [job.index for job in jobs]
        if got != wanted:
            raise ValueError(f"got results of the candidates {got}; right would be {wanted}")
    except Exception as error:
        status = Status.OOM if isinstance(error, MemoryError) else Status.CRASHED
        return Failure(status, describe(error), time.monotonic() - start)
    share = (time.monotonic() - start) / len(jobs)
    return [result if result.seconds else replace(result, seconds=share) for result in results]


class Backlog:
    """Hands out jobs in the order in which they came, and collects what comes of them."""

    def __init__(self, on_event: OnEvent) -> None:
        """Make an empty one.

        Args:
            on_event: Called with a note when something failed.
        """
        self._on_event = on_event
        self._queue: deque[Attempt] = deque()
        self._done: list[Result] = []  # not given back yet
        self._in_flight = 0
        self._generation = 0

    @property
    def in_flight(self) -> int:
        """How many jobs were added and not given back yet."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """How many jobs can be taken."""
        return len(self._queue)

    @property
    def has_results(self) -> bool:
        """Whether there are results to give back."""
        return bool(self._done)

    def add(self, job: Job) -> None:
        """Take in a job."""
        self._queue.append(Attempt(job, 1, alone=False, generation=self._generation))
        self._in_flight += 1

    def take(self, most: int) -> tuple[Attempt, ...]:
        """Take out the oldest jobs, to evaluate them together: at most so many, at least one."""
        taken = [self._queue.popleft()]
        if not taken[0].alone:
            while len(taken) < most and self._queue and not self._queue[0].alone:
                taken.append(self._queue.popleft())
        return tuple(taken)

    def put_back(self, attempts: Sequence[Attempt]) -> None:
        """Queue what was taken again, as if it had not been."""
        self._queue.extendleft(attempt for attempt in reversed(attempts) if attempt.generation == self._generation)

    def settle(
        self,
        attempts: Sequence[Attempt],
        outcome: list[Result] | Failure,
        worker: str = "",
        worker_now: str = "",
    ) -> None:
        """Take in what came of jobs that were evaluated together: done, or queued again, in front.

        Args:
            attempts: As taken.
            outcome: One result for each, in the same order, or why there are none.
            worker: Begins the notes, as in "worker 1, ".
            worker_now: Ends them, as in "; worker replaced".
        """
        if any(attempt.generation != self._generation for attempt in attempts):
            return  # forgotten meanwhile, all of them: what is taken together came together
        if not isinstance(outcome, Failure):
            results = outcome
        elif len(attempts) == 1:
            index = attempts[0].job.index
            results = [Result(index, outcome.status, seconds=outcome.seconds, message=outcome.message)]
        else:
            indices = [attempt.job.index for attempt in attempts]
            self._on_event(
                f"{worker}{len(indices)} candidates together, from {min(indices)} to {max(indices)}: "
                f"{outcome.status} ({outcome.message}); each is tried alone{worker_now}"
            )
            self.put_back([replace(attempt, alone=True) for attempt in attempts])
            return
        again: list[Attempt] = []
        for attempt, result in zip(attempts, results, strict=True):
            if result.status in FAILURES:
                self._on_event(
                    f"{worker}candidate {attempt.job.index}, attempt {attempt.number} of {MAX_ATTEMPTS}: "
                    f"{result.status} ({result.message}){worker_now}"
                )
                if attempt.number < MAX_ATTEMPTS:
                    again.append(replace(attempt, number=attempt.number + 1, alone=True))
                    continue
            self._done.append(replace(result, attempts=attempt.number))
        self.put_back(again)

    def give_back(self) -> list[Result]:
        """Return the results that are there, each once."""
        done, self._done = self._done, []
        self._in_flight -= len(done)
        return done

    def forget(self) -> None:
        """Forget every job; what comes of those that are being evaluated is dropped."""
        self._generation += 1
        self._queue.clear()
        self._done.clear()
        self._in_flight = 0
