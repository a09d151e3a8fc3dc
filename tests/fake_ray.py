"""A fake of Ray for RayPool, with its own clock; the test decides the fate of each call, and when it happens."""

import contextlib
import sys
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace

import workers.ray_pool
from workers import UNKNOWN, Result, Status
from workers.backlog import Failure
from workers.ray_worker import Identity

MANY = 2000  # more waits than any test needs


class RayError(Exception):
    """Raised by a call of a dead worker."""


@dataclass(eq=False)
class Call:
    """One call of a worker's method; also the reference to its future reply."""

    worker: "Worker"
    jobs: list | None  # None for the start of a worker
    fate: str = ""  # "" (undecided), "answer", "fall short" (each result is a failure), "raise" (an exception) or "die"
    read: bool = False


@dataclass(eq=False)
class Worker:
    """A worker process; also the handle of its methods, as `worker.run.remote(jobs)`."""

    calls: list[Call]
    killed: bool = False
    start: SimpleNamespace = field(init=False)
    run: SimpleNamespace = field(init=False)

    def __post_init__(self):
        self.start = SimpleNamespace(remote=lambda *given: self._call(None))
        self.run = SimpleNamespace(remote=self._call)

    def _call(self, jobs):
        assert not self.killed
        self.calls.append(Call(self, jobs))
        return self.calls[-1]


class FakeRay:
    """The part of the module `ray` that RayPool uses, and a record of the jobs.

    Attributes:
        now_s: The time; it advances only while the pool waits in vain.
        calls: All calls that were made.
        arithmetics: Those of the workers, in the order in which they start; UNKNOWN for all further workers.
        failed: By a job's index, how often it failed by itself: evaluated alone, or with its own result.
    """

    exceptions = SimpleNamespace(RayError=RayError)

    def __init__(self):
        self.now_s = 0.0
        self.waits = 0
        self.calls = []
        self.arithmetics = []
        self.failed = Counter()

    def install(self, patch):
        """Make pools use this fake; they are made with `RayPool` as usual."""
        patch.setitem(sys.modules, "ray", self)
        patch.setattr(workers.ray_pool, "ray_connection", lambda *given: contextlib.nullcontext())
        patch.setattr(workers.ray_pool, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        patch.setattr(workers.ray_pool, "cause_of_death", lambda error: (Status.CRASHED, "the worker died"))

    def pending(self):
        """Return the calls whose fate is undecided, including those of killed workers: their replies come late."""
        return [call for call in self.calls if not call.fate]

    def remote(self, **options):
        return lambda evaluator: SimpleNamespace(remote=lambda environment: Worker(self.calls))

    def cluster_resources(self):
        return {"CPU": 2.0}

    available_resources = cluster_resources

    def wait(self, calls, num_returns=1, timeout: float | None = None):
        ready = [call for call in calls if call.fate]
        assert ready or timeout is not None, "the pool would wait for ever"
        self.waits += 1
        assert self.waits < MANY, "the pool turns in circles"
        if not ready and timeout:
            self.now_s += timeout + 1e-6  # like any clock: past the deadline, not a rounding error before it
        return ready[:num_returns], [call for call in calls if call not in ready[:num_returns]]

    def get(self, call):
        assert call.fate
        assert not call.read, "a reply was read twice"
        assert not call.worker.killed, "a reply that came too late was read"
        call.read = True
        if call.fate == "answer":
            if call.jobs is None:
                return Identity("here", self.arithmetics.pop(0) if self.arithmetics else UNKNOWN)
            return [Result(job.index, Status.OK, seconds=1.0) for job in call.jobs]
        if call.fate == "fall short" and call.jobs is not None:
            self.failed.update(job.index for job in call.jobs)
            return [Result(job.index, Status.OOM, seconds=1.0) for job in call.jobs]
        self._fail(call)
        if call.fate == "die" or call.jobs is None:
            raise RayError
        return Failure(Status.CRASHED, "out of luck", 1.0)

    def kill(self, worker):
        worker.killed = True
        for call in self.calls:
            if call.worker is worker and not call.read and call.jobs is not None:
                self._fail(call)

    def _fail(self, call):
        if call.jobs is not None and len(call.jobs) == 1:
            self.failed[call.jobs[0].index] += 1
