"""What every pool does, and the pool without other processes."""

from types import TracebackType
from typing import Protocol, Self

from workers.arithmetic import Arithmetic, Measure, arithmetic_here, unmeasured
from workers.backlog import Backlog, Evaluate, OnEvent, evaluate_together
from workers.devices import device_here
from workers.errors import PoolError
from workers.in_process import evaluate
from workers.job import Job, Result


class Pool(Protocol):
    """Takes jobs and gives back exactly one Result for each, in any order.

    Not for use from several threads.
    """

    @property
    def workers(self) -> int:
        """How many jobs can be evaluated at once."""
        ...

    @property
    def device(self) -> str:
        """What trains, as JAX names its platforms: "cpu", "gpu" or "tpu"."""
        ...

    @property
    def in_flight(self) -> int:
        """How many jobs were submitted and not given back yet, those waiting included."""
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
        """Accept a job; any number may be submitted.

        Raises:
            PoolError: The pool is closed.
        """
        ...

    def hand_out(self) -> None:
        """Let idle workers begin with what was submitted, which else the next `wait` does."""
        ...

    def wait(self, timeout_s: float | None = None) -> list[Result]:
        """Block until at least one result is ready, and return all that are.

        Args:
            timeout_s: Seconds to wait at most; None for no limit.

        Returns:
            At least one result; [] on timeout, and at once if nothing is in flight.

        Raises:
            PoolError: No worker can be started.
        """
        ...

    def forget(self) -> None:
        """Drop what is in flight: its results are never given back. Workers may go on with it for a while."""
        ...

    def close(self) -> None:
        """Drop what is in flight and leave nothing running; may be called again."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def ignore(event: str) -> None:
    """Take a pool's note and do nothing with it."""


def measure_of(given: Evaluate) -> Measure:
    """Return what measures the arithmetic of an evaluation: probe trainings for Pride's own, UNKNOWN for any other."""
    return arithmetic_here if given is evaluate else unmeasured


class SerialPool:
    """Evaluates in this process, one batch per `wait`; has no deadline and survives no crash."""

    workers = 1

    def __init__(
        self,
        evaluate: Evaluate = evaluate,
        *,
        batch: int = 8,
        measure: Measure | None = None,
        on_event: OnEvent = ignore,
    ) -> None:
        """Make a pool.

        Args:
            evaluate: What to do with jobs.
            batch: How many jobs are evaluated together at most. Few, since a `wait` lasts as long as a
              batch, and whoever waits looks at no budget and answers no signal until it ends.
            measure: What returns the arithmetic; None for the right one of `evaluate`. See `measure_of`.
            on_event: Called with a note when a job is tried again.
        """
        self._evaluate = evaluate
        self._batch = batch
        self._measure = measure or measure_of(evaluate)
        self._backlog = Backlog(on_event)
        self._closed = False

    @property
    def device(self) -> str:
        """What trains; see Pool.

        Raises:
            DeviceError: If JAX cannot start its device.
        """
        return device_here()

    def arithmetic(self, timeout_s: float | None = None) -> Arithmetic | None:
        """Measure the arithmetic of this process, however long it takes. See Pool."""
        return self._measure()

    @property
    def in_flight(self) -> int:
        """How many jobs were submitted and not given back yet."""
        return self._backlog.in_flight

    def submit(self, job: Job) -> None:
        """Accept a job. See Pool."""
        if self._closed:
            raise PoolError("this pool is closed; make a new one")
        self._backlog.add(job)

    def hand_out(self) -> None:
        """Do nothing: there is no worker but this process."""

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
        """Drop what is in flight. See Pool."""
        self._backlog.forget()

    def close(self) -> None:
        """Drop what is in flight."""
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
