"""What every pool does, how often a job is tried, and the pool without other processes."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Protocol, Self, TypeAlias

from workers.evaluate import describe, evaluate
from workers.job import FAILURES, Job, Result, Status

MAX_ATTEMPTS = 2
"""How often a job that fails is tried."""

Evaluate: TypeAlias = Callable[[Job], Result]
"""What a worker does with a job. For a RayPool it must be picklable."""

OnEvent: TypeAlias = Callable[[str], None]
"""Takes a note for people, such as "worker 1 died on candidate 12, attempt 1; replaced"."""


class PoolError(RuntimeError):
    """A pool cannot work: its workers do not start, or it is closed."""


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

    def submit(self, job: Job) -> None:
        """Accept a job; any number may be submitted.

        Raises:
            PoolError: The pool is closed.
        """
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


def try_once(evaluate: Evaluate, job: Job) -> Result:
    """Evaluate a job once, with any exception as a Result.

    Returns:
        What `evaluate` returns, or `crashed` (`oom` for a MemoryError) with the exception's type and
        text as message.
    """
    start = time.monotonic()
    try:
        return evaluate(job)
    except Exception as error:
        status = Status.OOM if isinstance(error, MemoryError) else Status.CRASHED
        seconds = time.monotonic() - start
        return Result(job.index, status, seconds=seconds, message=describe(error))


def ignore(event: str) -> None:
    """Take a pool's note and do nothing with it."""


class SerialPool:
    """Evaluates in this process, one job per `wait`; has no deadline and survives no crash."""

    workers = 1

    def __init__(self, evaluate: Evaluate = evaluate, on_event: OnEvent = ignore) -> None:
        """Make a pool.

        Args:
            evaluate: What to do with a job.
            on_event: Called with a note when a job is tried again.
        """
        self._evaluate = evaluate
        self._on_event = on_event
        self._queue: deque[Job] = deque()
        self._closed = False

    @property
    def device(self) -> str:
        """What trains; see Pool."""
        import jax

        return jax.default_backend()

    @property
    def in_flight(self) -> int:
        """How many jobs were submitted and not given back yet."""
        return len(self._queue)

    def submit(self, job: Job) -> None:
        """Accept a job. See Pool."""
        if self._closed:
            raise PoolError("this pool is closed; make a new one")
        self._queue.append(job)

    def wait(self, timeout_s: float | None = None) -> list[Result]:
        """Evaluate the oldest job, however long it takes: `timeout_s` cannot interrupt it."""
        if not self._queue:
            return []
        job = self._queue[0]
        result = try_once(self._evaluate, job)
        attempts = 1
        while result.status in FAILURES and attempts < MAX_ATTEMPTS:
            self._on_event(
                f"candidate {job.index}, attempt {attempts} of {MAX_ATTEMPTS}: {result.status} ({result.message})"
            )
            result = try_once(self._evaluate, job)
            attempts += 1
        # Only now, so that an interrupted job stays in flight.
        self._queue.popleft()
        return [replace(result, attempts=attempts)]

    def close(self) -> None:
        """Drop what is in flight."""
        self._queue.clear()
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
