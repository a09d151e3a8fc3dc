"""What every pool does, and the pool that uses no other process."""

from types import TracebackType
from typing import Protocol, Self

from workers.backlog import Backlog, Evaluate, OnEvent, evaluate_together
from workers.errors import PoolError
from workers.in_process import evaluate
from workers.job import Job, Result


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


class SerialPool:
    """Evaluates in this process, one batch per `wait`; has no deadline and survives no crash."""

    workers = 1

    def __init__(self, evaluate: Evaluate = evaluate, *, batch: int = 8, on_event: OnEvent = ignore) -> None:
        """Make a pool.

        Args:
            evaluate: Evaluates jobs.
            batch: The most jobs that are evaluated together. Few, since a `wait` lasts as long as a
              batch, and until it ends the caller checks no budget and answers no signal.
            on_event: Called with a note whenever an attempt fails.
        """
        self._evaluate = evaluate
        self._batch = batch
        self._backlog = Backlog(on_event)
        self._closed = False

    @property
    def device(self) -> str:
        """The kind of device that trains; see Pool."""
        import jax

        return jax.default_backend()

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
                outcome = evaluate_together(self._evaluate, [attempt.job for attempt in attempts])
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
