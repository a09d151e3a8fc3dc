"""Evaluation on Ray: one process per GPU or TPU, or one single-threaded process per core, watched from here.

Ray's own retries and restarts are off. This process enforces the deadlines, kills and replaces
workers, and retries a job once. A Result does not show which worker evaluated the job, or together
with which other jobs.
"""

import math
import os
import time
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeAlias

import programs
from workers.arithmetic import Arithmetic, Measure
from workers.backlog import Attempt, Backlog, Evaluate, Failure, OnEvent
from workers.cores import default_workers
from workers.devices import device_of
from workers.errors import PoolError
from workers.in_process import evaluate
from workers.job import Job, Result, Status
from workers.pool import ignore, measure_of
from workers.ray_connection import ray_connection
from workers.ray_worker import Evaluator, Expected, Identity, cause_of_death, versions_here

MAX_STARTS = 2
"""How many times in a row a worker may fail to start before it is given up."""

_Ref: TypeAlias = Any
"""A ray.ObjectRef: the future reply to a call."""


@dataclass(frozen=True)
class _Worker:
    """One worker process."""

    number: int  # from 1; a replacement keeps it
    actor: Any  # the handle of its Evaluator
    starts: int  # how many times in a row it was started


@dataclass(frozen=True)
class _Call:
    """A call that a worker is busy with."""

    worker: _Worker
    attempts: tuple[Attempt, ...]  # empty while the worker starts
    started_s: float  # on the monotonic clock
    limit_s: float  # how long the call may take

    @property
    def deadline_s(self) -> float:
        """When the call must be done, on the monotonic clock."""
        return self.started_s + self.limit_s


class RayPool:
    """Evaluates on Ray: on a cluster started here, or on a running one.

    Ctrl-C reaches this process only; the workers continue.
    """

    def __init__(
        self,
        workers: int | None = None,
        address: str | None = None,
        *,
        batch: int = 64,
        deadline_s: float = 120.0,
        startup_deadline_s: float = 120.0,
        warm: tuple[str, ...] = (),
        lazy: bool = False,
        versions: Mapping[str, str] | None = None,
        arithmetic: Arithmetic | None = None,
        measure: Measure | None = None,
        evaluate: Evaluate = evaluate,
        on_event: OnEvent = ignore,
    ) -> None:
        """Start the workers, without waiting for them.

        Args:
            workers: How many; None for one per free GPU or TPU if the cluster has any, else one per free core.
            address: Of a running cluster, which the pool leaves running; None for the address in
              RAY_ADDRESS or, if that is not set, to start a cluster here. If this process is already
              connected to Ray, that connection is used in any case.
            batch: The most jobs that are evaluated together. With 64, Ray's overhead per job (about 30
              microseconds, a millisecond for a job alone) is below 1 % of a training of 10 ms.
            deadline_s: Seconds that one attempt at a job may take; jobs that are evaluated together may
              take the sum of their deadlines.
            startup_deadline_s: Seconds that a worker may take to start, and to warm up each task.
            warm: Names of tasks to train once before the first job, so that they are compiled.
            lazy: Whether to start the workers only when the first job is submitted.
            versions: Package versions that workers must have; None for those of this process.
            arithmetic: The arithmetic that workers must have; None for that of the first that starts.
            measure: Returns a worker's arithmetic; None for the function that suits `evaluate`, see `measure_of`.
            evaluate: Evaluates jobs; must be picklable.
            on_event: Called with a note when a worker or a job fails.

        Raises:
            PoolError: If Ray does not start, or cannot be joined.
        """
        self._batch = batch
        self._deadline_s = deadline_s
        self._startup_deadline_s = startup_deadline_s * max(1, len(warm))
        self._warm = Job(-1, programs.source_text("sgd"), warm, (0,)) if warm else None
        self._evaluate = evaluate
        self._measure = measure or measure_of(evaluate)
        self._wanted = arithmetic  # that all workers must have, once it is known
        self._found: Arithmetic | None = None  # that of workers that have started
        self._refused: Arithmetic | None = None  # that of the last worker with another one
        self.on_event = on_event
        self._startup_deadline_each_s, self._warm_tasks = startup_deadline_s, warm
        self._backlog = Backlog(on_event)
        self._idle: deque[_Worker] = deque()
        self._calls: dict[_Ref, _Call] = {}  # one per worker that is not idle
        self._last_failure = ""  # why a worker last failed to start
        self._closed = False
        with ExitStack() as stack:
            stack.enter_context(ray_connection(address, workers or default_workers(), on_event))
            stack.callback(self._kill_all)
            import ray

            self._ray: Any = ray
            self._device = device_of(self._ray.cluster_resources())
            self._expected = Expected(self._device.name, versions or versions_here())
            self._actor_class = self._ray.remote(
                num_cpus=1, max_restarts=0, max_task_retries=0, **self._device.request
            )(Evaluator)
            free = int(self._ray.available_resources().get(self._device.resource, 0))
            self._count, self._rests = workers or max(1, free), lazy
            joined = bool(address or os.environ.get("RAY_ADDRESS"))  # so that others may use it
            if joined and free < self._count:
                on_event(self._waits(free))
            if not lazy:
                self._start_all()
            self._stack = stack.pop_all()

    @property
    def device(self) -> str:
        """The kind of device that trains; see Pool."""
        return self._device.name

    @property
    def workers(self) -> int:
        """How many workers there are, including those still starting; while the pool rests, how many there will be."""
        return self._count if self._rests else self._present

    @property
    def _present(self) -> int:
        return len(self._idle) + len(self._calls)

    @property
    def in_flight(self) -> int:
        """How many jobs were submitted whose results were not returned yet, including waiting jobs."""
        return self._backlog.in_flight

    def arithmetic(self, timeout_s: float | None = None) -> Arithmetic | None:
        """Return the arithmetic of the workers; if no worker has the one they must have, that of one which was refused.

        While the pool rests, one worker is started to find out. See Pool.
        """
        end_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
        if self._rests and not self._present:
            self._start(1, starts=1)
        while self._found is None and self._present:
            self._settle_replies(end_s)
            self._settle_overdue()
            if time.monotonic() >= end_s:
                break
        if not self._present and not (self._found or self._refused):
            raise PoolError(f"no worker can be started: {self._last_failure}")
        return self._found or (None if self._present else self._refused)

    def submit(self, job: Job) -> None:
        """Accept a job, for the next `wait` to hand out. See Pool."""
        if self._closed:
            raise PoolError("this pool is closed; make a new one")
        if self._rests:
            self._start_all()
        self._backlog.add(job)

    def wait(self, timeout_s: float | None = None) -> list[Result]:
        """Block until at least one result is ready. See Pool."""
        end_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
        self.hand_out()
        while self._backlog.in_flight and not self._backlog.has_results:
            if not self.workers:
                raise PoolError(f"no worker can be started: {self._last_failure}")
            self._settle_replies(end_s)
            self._settle_overdue()
            self.hand_out()
            if time.monotonic() >= end_s:
                break
        return self._backlog.give_back()

    def forget(self) -> None:
        """Drop all jobs in flight. See Pool."""
        self._backlog.forget()

    def close(self) -> None:
        """Drop all jobs in flight, kill the workers, and end Ray if this pool started it."""
        self._closed = True
        self._backlog.forget()
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

    def share(self, parts: int) -> dict[str, Any]:
        """Return the arguments for one of `parts` pools that replace this one while it rests."""
        return {
            "workers": self._count // parts,
            "batch": self._batch,
            "deadline_s": self._deadline_s,
            "startup_deadline_s": self._startup_deadline_each_s,
            "warm": self._warm_tasks,
            "versions": self._expected.versions,
            "arithmetic": self._wanted,
            "measure": self._measure,
            "evaluate": self._evaluate,
        }

    def rest(self) -> None:
        """End the workers and free their resources for other pools; the next job starts new workers."""
        self._backlog.forget()
        self._kill_all()
        self._rests = True

    def _start_all(self) -> None:
        self._rests = False
        for number in range(1 + self._present, self._count + 1):
            self._start(number, starts=1)

    def _waits(self, free: int) -> str:
        """Return a sentence on workers that cannot start before others have ended."""
        units = "cores" if self._device.resource == "CPU" else f"{self._device.resource}s"
        total = int(self._ray.cluster_resources().get(self._device.resource, 0))
        return f"waiting for free {units} of the cluster: wanted {self._count}, free {free} of {total}"

    def _start(self, number: int, starts: int) -> None:
        actor = self._actor_class.remote(self._device.environment)
        reply = actor.start.remote(self._evaluate, self._warm, self._expected, self._measure)
        self._calls[reply] = _Call(_Worker(number, actor, starts), (), time.monotonic(), self._startup_deadline_s)

    def hand_out(self) -> None:
        """Hand every idle worker a fair share of the waiting jobs; busy workers get their share when they are done."""
        share = min(self._batch, math.ceil(self._backlog.waiting / max(1, self.workers)))
        while self._backlog.waiting and self._idle:
            worker, attempts = self._idle.popleft(), self._backlog.take(share)
            reply = worker.actor.run.remote([attempt.job for attempt in attempts])
            self._calls[reply] = _Call(worker, attempts, time.monotonic(), self._deadline_s * len(attempts))

    def _settle_replies(self, end_s: float) -> None:
        """Wait for a reply until `end_s` or the first deadline, and settle all replies that have arrived."""
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
            outcome = self._ray.get(reply)
        except self._ray.exceptions.RayError as error:
            self._replace(reply, *cause_of_death(error))
            return
        if not call.attempts and (otherwise := self._otherwise(outcome)):
            self._replace(reply, Status.CRASHED, otherwise)
            return
        del self._calls[reply]
        self._idle.append(call.worker)
        if call.attempts:
            self._backlog.settle(call.attempts, outcome, f"worker {call.worker.number}, ", "; worker kept")

    def _otherwise(self, who: Identity) -> str:
        """Return why a worker that has started computes other bits than the others; nothing if it does not."""
        if self._wanted not in (None, who.arithmetic):
            self._refused = who.arithmetic
            return (
                f"node {who.node} has the arithmetic {who.arithmetic}, which gives other bits than {self._wanted}; all "
                "workers of a search must have the same one"
            )
        self._wanted = self._found = who.arithmetic
        return ""

    def _settle_overdue(self) -> None:
        now_s = time.monotonic()
        for reply, call in list(self._calls.items()):
            if call.deadline_s <= now_s:
                self._replace(reply, Status.TIMEOUT, f"took longer than {call.limit_s:g} s")

    def _replace(self, reply: _Ref, status: Status, reason: str) -> None:
        """Kill a worker, start a replacement, and settle the killed worker's attempts.

        If a reply of the killed worker still arrives, it is not in `_calls` and thus never read.
        """
        call = self._calls.pop(reply)
        worker = call.worker
        self._ray.kill(worker.actor)
        if call.attempts:
            self._start(worker.number, starts=1)
            failure = Failure(status, reason, time.monotonic() - call.started_s)
            self._backlog.settle(call.attempts, failure, f"worker {worker.number}, ", "; worker replaced")
            return
        self._last_failure = reason
        again = worker.starts < MAX_STARTS
        if again:
            self._start(worker.number, worker.starts + 1)
        consequence = "started again" if again else "given up"
        self.on_event(f"worker {worker.number} did not start: {reason}; {consequence}")

    def _kill_all(self) -> None:
        for worker in [*self._idle, *(call.worker for call in self._calls.values())]:
            self._ray.kill(worker.actor)
        self._idle.clear()
        self._calls.clear()
