"""The jobs of a pool whose results were not returned yet: which wait, which must run alone, how often each was tried.

Only a failure that is certainly a job's own counts as its attempt. If several jobs fail together, each
is queued again alone, and its result there counts.
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
"""How many times a failing job is tried."""

Evaluate: TypeAlias = Callable[[Sequence[Job]], list[Result]]
"""Returns one Result for each job, in the same order; raises if the jobs fail as a whole.

A job's score and losses must not depend on the jobs it is evaluated with. Results without `seconds`
get an equal share of the call's seconds. A RayPool needs a picklable one.
"""

OnEvent: TypeAlias = Callable[[str], None]
"""Receives a note for people, such as "candidate 12, attempt 1 of 2: timeout (took longer than 60 s)"."""


@dataclass(frozen=True)
class Attempt:
    """A job that waits to be evaluated or is being evaluated."""

    job: Job
    number: int  # from 1, at most MAX_ATTEMPTS
    alone: bool  # whether no other job may be evaluated with it
    generation: int = 0  # how often the backlog was told to forget before the job was added


@dataclass(frozen=True)
class Failure:
    """Why jobs that were evaluated together have no results."""

    status: Status  # one of FAILURES
    message: str
    seconds: float  # wall clock until it failed


def evaluate_together(evaluate: Evaluate, jobs: Sequence[Job]) -> list[Result] | Failure:
    """Evaluate jobs once; return an exception as a Failure.

    Returns:
        The results of `evaluate`, each with its seconds; or a Failure, `crashed` (`oom` for a
        MemoryError), with the exception's type and text.
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
    """Hands out jobs in the order in which they were added, and collects their results."""

    def __init__(self, on_event: OnEvent) -> None:
        """Make an empty backlog.

        Args:
            on_event: Called with a note whenever an attempt fails.
        """
        self._on_event = on_event
        self._queue: deque[Attempt] = deque()
        self._done: list[Result] = []  # not returned yet
        self._in_flight = 0
        self._generation = 0

    @property
    def in_flight(self) -> int:
        """How many jobs were added whose results were not returned yet."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """How many jobs can be taken."""
        return len(self._queue)

    @property
    def has_results(self) -> bool:
        """Whether there are results to return."""
        return bool(self._done)

    def add(self, job: Job) -> None:
        """Add a job."""
        self._queue.append(Attempt(job, 1, alone=False, generation=self._generation))
        self._in_flight += 1

    def take(self, most: int) -> tuple[Attempt, ...]:
        """Take out the oldest jobs, to evaluate them together: at least one, at most `most`."""
        taken = [self._queue.popleft()]
        if not taken[0].alone:
            while len(taken) < most and self._queue and not self._queue[0].alone:
                taken.append(self._queue.popleft())
        return tuple(taken)

    def put_back(self, attempts: Sequence[Attempt]) -> None:
        """Return attempts to the front of the queue, as if they had not been taken."""
        self._queue.extendleft(attempt for attempt in reversed(attempts) if attempt.generation == self._generation)

    def settle(
        self,
        attempts: Sequence[Attempt],
        outcome: list[Result] | Failure,
        worker: str = "",
        worker_now: str = "",
    ) -> None:
        """Record the outcome of jobs that were evaluated together; queue failed jobs again, at the front.

        Args:
            attempts: As returned by `take`.
            outcome: One result for each attempt, in the same order, or why there are none.
            worker: The beginning of each note, as in "worker 1, ".
            worker_now: The end of each note, as in "; worker replaced".
        """
        if any(attempt.generation != self._generation for attempt in attempts):
            return  # all were forgotten meanwhile: jobs that are taken together are of one generation
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
        """Return all results that are ready, each once."""
        done, self._done = self._done, []
        self._in_flight -= len(done)
        return done

    def forget(self) -> None:
        """Forget every job; the results of jobs that are being evaluated will be dropped."""
        self._generation += 1
        self._queue.clear()
        self._done.clear()
        self._in_flight = 0
