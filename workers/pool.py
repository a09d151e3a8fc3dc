"""What every pool does, and the pool that uses no other process."""

import math
import time
from types import TracebackType
from typing import Protocol, Self

from workers.arithmetic import Arithmetic, Measure, arithmetic_here, unmeasured
from workers.backlog import Backlog, Evaluate, Failure, OnEvent, evaluate_together
from workers.devices import device_here
from workers.errors import PoolError
from workers.in_process import evaluate
from workers.job import Job, Result, Status


class Pool(Protocol):
    """Accepts jobs and returns exactly one Result for each, in any order.

    A pool must not be used from several threads.
    """

    @property
    def workers(self) -> int:
        """How many jobs can be evaluated at once."""
        ...

    @property
    def device(self) -> str:
        """The kind of device that trains, as JAX names its platforms: "cpu", "gpu" or "tpu"."""
        ...

    @property
    def in_flight(self) -> int:
        """How many jobs were submitted whose results were not returned yet, including waiting jobs."""
        ...

    def arithmetic(self, timeout_s: float | None = None) -> Arithmetic | None:
        """Return the arithmetic of the workers, which is that of all of them; wait until it is known.

        Args:
            timeout_s: Seconds to wait at most; None for no limit.

        Returns:
            The arithmetic, or None on timeout.

        Raises:
            PoolError: No worker can be started.
        """
        ...

    def submit(self, job: Job) -> None:
        """Accept a job; any number of jobs may be submitted.

        Raises:
            PoolError: If the pool is closed.
        """
        ...

    def hand_out(self) -> None:
        """Start idle workers on the submitted jobs now, rather than at the next `wait`."""
        ...

    def wait(self, timeout_s: float | None = None) -> list[Result]:
        """Block until at least one result is ready, and return all results that are.

        Args:
            timeout_s: Seconds to wait at most; None for no limit.

        Returns:
            At least one result; [] on timeout, and at once if nothing is in flight.

        Raises:
            PoolError: If no worker can be started.
        """
        ...

    def forget(self) -> None:
        """Drop all jobs in flight: their results are never returned. Workers may continue with them for a while."""
        ...

    def close(self) -> None:
        """Drop all jobs in flight and leave nothing running; may be called again."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def ignore(event: str) -> None:
    """Ignore a pool's note."""


def measure_of(given: Evaluate) -> Measure:
    """Return what measures the arithmetic of an evaluation: probe trainings for Pride's own, UNKNOWN for any other."""
    return arithmetic_here if given is evaluate else unmeasured


class SerialPool:
    """Evaluates in this process, one batch per `wait`; survives no crash, and hears of a deadline afterwards."""

    workers = 1

    def __init__(
        self,
        evaluate: Evaluate = evaluate,
        *,
        batch: int = 8,
        deadline_s: float = math.inf,
        measure: Measure | None = None,
        on_event: OnEvent = ignore,
    ) -> None:
        """Make a pool.

        Args:
            evaluate: Evaluates jobs.
            batch: The most jobs that are evaluated together. Few, since a `wait` lasts as long as a
              batch, and until it ends the caller checks no budget and answers no signal.
            deadline_s: The most seconds for one attempt at a job; jobs that are evaluated together may take the sum of
              theirs. Nothing is cut short: what took longer counts as a timeout, as it does with workers.
            measure: Returns the arithmetic; None for the function that suits `evaluate`, see `measure_of`.
            on_event: Called with a note whenever an attempt fails.
        """
        self._evaluate = evaluate
        self._batch = batch
        self._deadline_s = deadline_s
        self._measure = measure or measure_of(evaluate)
        self._backlog = Backlog(on_event)
        self._closed = False

    @property
    def device(self) -> str:
        """The kind of device that trains; see Pool.

        Raises:
            DeviceError: If JAX cannot start its device.
        """
        return device_here()

    def arithmetic(self, timeout_s: float | None = None) -> Arithmetic | None:
        """Measure the arithmetic of this process, however long it takes. See Pool."""
        return self._measure()

    @property
    def in_flight(self) -> int:
        """How many jobs were submitted whose results were not returned yet."""
        return self._backlog.in_flight

    def submit(self, job: Job) -> None:
        """Accept a job. See Pool."""
        if self._closed:
            raise PoolError("this pool is closed; make a new one")
        self._backlog.add(job)

    def hand_out(self) -> None:
        """Do nothing: this process is the only worker."""

    def wait(self, timeout_s: float | None = None) -> list[Result]:
        """Evaluate the oldest jobs, however long it takes: `timeout_s` cannot interrupt it."""
        while self._backlog.waiting and not self._backlog.has_results:
            attempts = self._backlog.take(self._batch)
            try:
                start_s = time.monotonic()
                outcome = evaluate_together(self._evaluate, [attempt.job for attempt in attempts])
                took_s, limit_s = time.monotonic() - start_s, self._deadline_s * len(attempts)
                if took_s > limit_s and not isinstance(outcome, Failure):
                    outcome = Failure(Status.TIMEOUT, f"took longer than {limit_s:g} s", took_s)
            except BaseException:
                self._backlog.put_back(attempts)
                raise
            self._backlog.settle(attempts, outcome)
        return self._backlog.give_back()

    def forget(self) -> None:
        """Drop all jobs in flight. See Pool."""
        self._backlog.forget()

    def close(self) -> None:
        """Drop all jobs in flight."""
        self._backlog.forget()
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
