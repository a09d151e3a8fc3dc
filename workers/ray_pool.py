"""Evaluation on Ray: one single-threaded process a core, watched from here.

Ray's own retries and restarts are off. This process keeps the deadlines, kills and replaces
workers, and tries a job again, once. Which worker evaluates what leaves no trace in a Result.
"""

import math
import os
import re
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self, TypeAlias

import programs
from workers.cores import default_workers, jax_uses_gpus
from workers.evaluate import describe, evaluate
from workers.job import FAILURES, Job, Result, Status
from workers.pool import MAX_ATTEMPTS, Evaluate, OnEvent, PoolError, ignore, try_once
from workers.ray_connection import ray_connection

MAX_STARTS = 2
"""How often in a row a worker may fail to start before it is given up."""

CPU_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "JAX_PLATFORMS": "cpu",
}

GPU_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_gpu_deterministic_ops=true",
    "JAX_PLATFORMS": "",
}

_Ref: TypeAlias = Any
"""A ray.ObjectRef: the reply to a call, to come."""


class _Evaluator:
    """What runs in a worker process."""

    def __init__(self, environment: dict[str, str]) -> None:
        # Before anything that reads it is imported: `evaluate` arrives with `start`. A runtime_env
        # would do the same, but then no process that Ray holds ready could be used.
        os.environ.update(environment)

    def start(self, evaluate: Evaluate, warm: Job | None) -> None:
        self._evaluate = evaluate
        if warm is not None:
            evaluate(warm)

    def run(self, job: Job) -> Result:
        return try_once(self._evaluate, job)


@dataclass(frozen=True)
class _Worker:
    """One worker process."""

    number: int  # from 1; a replacement keeps it
    actor: Any  # the handle of its _Evaluator
    starts: int  # how often in a row it was started


@dataclass(frozen=True)
class _Attempt:
    """A job on its way."""

    job: Job
    number: int  # 1 or 2


@dataclass(frozen=True)
class _Call:
    """What a worker is doing."""

    worker: _Worker
    attempt: _Attempt | None  # None while it starts
    started_s: float  # on the monotonic clock
    deadline_s: float  # on the monotonic clock


class RayPool:
    """Evaluates on Ray: on a cluster started here, or on one that runs.

    Ctrl-C reaches this process only; the workers go on.
    """

    def __init__(
        self,
        workers: int | None = None,
        address: str | None = None,
        *,
        deadline_s: float = 120.0,
        startup_deadline_s: float = 120.0,
        warm: tuple[str, ...] = (),
        evaluate: Evaluate = evaluate,
        on_event: OnEvent = ignore,
    ) -> None:
        """Start the workers, without waiting for them.

        Args:
            workers: How many; None for one a GPU where the cluster has some, else one a free core.
            address: Of a running cluster, which the pool leaves running; None for that in
              RAY_ADDRESS, and without one to start a cluster here. A connection that this process
              already has is used in any case.
            deadline_s: Seconds one attempt at a job may take.
            startup_deadline_s: Seconds a worker may take to start and warm up.
            warm: Names of tasks to train once before the first job, so that they are compiled.
            evaluate: What to do with a job; picklable.
            on_event: Called with a note when a worker or a job fails.

        Raises:
            PoolError: Ray does not start, or cannot be joined.
        """
        self._deadline_s = deadline_s
        self._startup_deadline_s = startup_deadline_s
        self._warm = Job(-1, programs.source_text("sgd"), warm, (0,)) if warm else None
        self._evaluate = evaluate
        self._on_event = on_event
        self._queue: deque[_Attempt] = deque()  # not with a worker yet
        self._idle: deque[_Worker] = deque()
        self._calls: dict[_Ref, _Call] = {}  # one per worker that is not idle
        self._done: list[Result] = []  # not given back yet
        self._in_flight = 0
        self._last_failure = ""  # why a worker last failed to start
        self._closed = False
        with ExitStack() as stack:
            stack.enter_context(ray_connection(address, workers or default_workers(), on_event))
            stack.callback(self._kill_all)
            import ray

            self._ray: Any = ray
            free = self._ray.available_resources()
            gpus = int(free.get("GPU", 0)) if jax_uses_gpus() else 0
            self._actor_class = self._ray.remote(
                num_cpus=1, num_gpus=int(gpus > 0), max_restarts=0, max_task_retries=0
            )(_Evaluator)
            self._environment = GPU_ENVIRONMENT if gpus else CPU_ENVIRONMENT
            for number in range(1, (workers or gpus or max(1, int(free.get("CPU", 0)))) + 1):
                self._start(number, starts=1)
            self._stack = stack.pop_all()

    @property
    def device(self) -> str:
        """What trains; see Pool."""
        return "gpu" if self._environment is GPU_ENVIRONMENT else "cpu"

    @property
    def workers(self) -> int:
        """How many workers there are, those still starting included."""
        return len(self._idle) + len(self._calls)

    @property
    def in_flight(self) -> int:
        """How many jobs were submitted and not given back yet, those waiting included."""
        return self._in_flight

    def submit(self, job: Job) -> None:
        """Accept a job. See Pool."""
        if self._closed:
            raise PoolError("this pool is closed; make a new one")
        self._queue.append(_Attempt(job, 1))
        self._in_flight += 1
        self._hand_out()

    def wait(self, timeout_s: float | None = None) -> list[Result]:
        """Block until at least one result is ready. See Pool."""
        end_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while self._in_flight and not self._done:
            if not self.workers:
                raise PoolError(f"no worker can be started: {self._last_failure}")
            self._settle_replies(end_s)
            self._settle_overdue()
            self._hand_out()
            if time.monotonic() >= end_s:
                break
        done, self._done = self._done, []
        self._in_flight -= len(done)
        return done

    def close(self) -> None:
        """Drop what is in flight, kill the workers, and end Ray where this pool started it."""
        self._closed = True
        self._queue.clear()
        self._done.clear()
        self._in_flight = 0
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _start(self, number: int, starts: int) -> None:
        actor = self._actor_class.remote(self._environment)
        now_s = time.monotonic()
        self._calls[actor.start.remote(self._evaluate, self._warm)] = _Call(
            _Worker(number, actor, starts), None, now_s, now_s + self._startup_deadline_s
        )

    def _hand_out(self) -> None:
        while self._queue and self._idle:
            worker, attempt = self._idle.popleft(), self._queue.popleft()
            now_s = time.monotonic()
            self._calls[worker.actor.run.remote(attempt.job)] = _Call(worker, attempt, now_s, now_s + self._deadline_s)

    def _settle_replies(self, end_s: float) -> None:
        """Wait for a reply until `end_s` or the first deadline; take in all that are there."""
        until_s = min(end_s, *(call.deadline_s for call in self._calls.values()))
        left_s = None if until_s == math.inf else max(0.0, until_s - time.monotonic())
        calls = list(self._calls)
        if self._ray.wait(calls, timeout=left_s)[0]:
            replies, _ = self._ray.wait(calls, num_returns=len(calls), timeout=0)
            for reply in replies:
                self._settle(reply)

    def _settle(self, reply: _Ref) -> None:
        call = self._calls[reply]
        try:
            result = self._ray.get(reply)
        except self._ray.exceptions.RayError as error:
            self._replace(reply, *_cause(error))
            return
        del self._calls[reply]
        self._idle.append(call.worker)
        if call.attempt is not None:
            self._finish(call, call.attempt, result, "kept")

    def _settle_overdue(self) -> None:
        now_s = time.monotonic()
        overdue = [(reply, call) for reply, call in self._calls.items() if call.deadline_s <= now_s]
        for reply, call in overdue:
            limit_s = self._startup_deadline_s if call.attempt is None else self._deadline_s
            self._replace(reply, Status.TIMEOUT, f"took longer than {limit_s:g} s")

    def _replace(self, reply: _Ref, status: Status, reason: str) -> None:
        """Kill a worker, start another in its place, and settle what it was doing.

        A reply that still comes from the killed worker is not in `_calls` and thus never read.
        """
        call = self._calls.pop(reply)
        worker = call.worker
        self._ray.kill(worker.actor)
        if call.attempt is not None:
            self._start(worker.number, starts=1)
            seconds = time.monotonic() - call.started_s
            result = Result(call.attempt.job.index, status, seconds=seconds, message=reason)
            self._finish(call, call.attempt, result, "replaced")
            return
        self._last_failure = reason
        again = worker.starts < MAX_STARTS
        if again:
            self._start(worker.number, worker.starts + 1)
        consequence = "started again" if again else "given up"
        self._on_event(f"worker {worker.number} did not start: {reason}; {consequence}")

    def _finish(self, call: _Call, attempt: _Attempt, result: Result, worker_now: str) -> None:
        """Take what came of an attempt: count the job as done, or queue it again."""
        if result.status in FAILURES:
            self._on_event(
                f"worker {call.worker.number}, candidate {attempt.job.index}, attempt "
                f"{attempt.number} of {MAX_ATTEMPTS}: {result.status} ({result.message}); "
                f"worker {worker_now}"
            )
            if attempt.number < MAX_ATTEMPTS:
                self._queue.appendleft(_Attempt(attempt.job, attempt.number + 1))
                return
        self._done.append(replace(result, attempts=attempt.number))

    def _kill_all(self) -> None:
        for worker in [*self._idle, *(call.worker for call in self._calls.values())]:
            self._ray.kill(worker.actor)
        self._idle.clear()
        self._calls.clear()


def _cause(error: Exception) -> tuple[Status, str]:
    """Return what a Ray error means for a job, and why: what was raised, or how the worker died."""
    from ray.exceptions import ActorDiedError, OutOfMemoryError, RayTaskError, TaskCancelledError

    if isinstance(error, OutOfMemoryError):
        return Status.OOM, "Ray ended the worker because its machine ran out of memory"
    if isinstance(error, TaskCancelledError):  # what Ray makes of it
        return Status.CRASHED, "KeyboardInterrupt in the worker"
    if isinstance(error, RayTaskError):
        return Status.CRASHED, describe(error.cause)
    if isinstance(error, ActorDiedError):
        code = re.search(r"exit code (\d+)", str(error))  # often unknown to Ray
        return Status.CRASHED, f"the worker died with exit code {code[1]}" if code else "the worker died"
    return Status.CRASHED, f"the worker is lost: {type(error).__name__}"
