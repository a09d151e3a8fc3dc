"""Pools compared with a model: every job has one result, whatever workers do, and however late."""

import os
import signal
import sys
from types import SimpleNamespace
from typing import Any

import pool_cases
import pytest
from fake_ray import FakeRay
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pool_cases import each, job

from workers import FAILURES, Pool, PoolError, RayPool, Result, SerialPool, Status
from workers.backlog import MAX_ATTEMPTS
from workers.ray_connection import ray_connection

DEADLINE_S = 10.0


class FakeRayPool(RuleBasedStateMachine):
    """A RayPool on a fake Ray with arbitrary replies, failures and deaths: in time, late or never."""

    def __init__(self):
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.ray = FakeRay()
        self.ray.install(self.patch)
        self.waiting = set()  # jobs that have no result yet
        self.submitted = 0
        self.pool: Any = None  # a RayPool, once it is made

    @initialize(batch=st.integers(1, 4), start=st.sampled_from(["", "answer", "answer", "die"]))
    def make(self, batch, start):
        self.pool = RayPool(2, batch=batch, deadline_s=DEADLINE_S, startup_deadline_s=DEADLINE_S)
        self.ray.calls[0].fate = "answer"
        self.ray.calls[1].fate = start

    @rule(count=st.integers(1, 5))
    def submit(self, count):
        for _ in range(count):
            self.waiting.add(self.submitted)
            self.pool.submit(job(self.submitted))
            self.submitted += 1

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), read=st.booleans(), fate=st.sampled_from(["answer", "answer", "fall short", "raise", "die"]))
    def reply(self, data, fate, read):
        """Let a reply arrive; if its worker was killed, it is a late one."""
        self.wait(0.0)
        if pending := self.ray.pending():
            data.draw(st.sampled_from(pending)).fate = fate
        if read:
            self.wait(0.0)

    @rule(timeout_s=st.sampled_from([0.0, 1.0, DEADLINE_S, 100.0]))
    def wait(self, timeout_s):
        try:
            results = self.pool.wait(timeout_s)
        except PoolError:
            assert self.pool.workers == 0
            return
        for result in results:
            self.waiting.remove(result.index)  # fails if the job already has a result
            failures = self.ray.failed.pop(result.index, 0)
            if result.status == Status.OK:
                assert result.attempts == failures + 1 <= MAX_ATTEMPTS
            else:
                assert result.status in FAILURES
                assert result.attempts == failures == MAX_ATTEMPTS

    @rule(seconds=st.sampled_from([1.0, DEADLINE_S]))
    def pass_time(self, seconds):
        self.ray.now_s += seconds

    @precondition(lambda self: len(self.waiting) > 4)
    @rule()
    def forget(self):
        self.pool.forget()
        self.waiting.clear()

    @invariant()
    def nothing_is_lost(self):
        if self.pool is not None:
            assert self.pool.in_flight == len(self.waiting)
            assert self.pool.workers <= 2

    def teardown(self):
        if self.pool is not None:
            for _ in range(2 * self.submitted + 2):  # enough if all calls are answered
                for call in self.ray.pending():
                    call.fate = "answer"
                self.wait(0.0)
            assert not (self.waiting and self.pool.workers)
            self.pool.close()
            assert all(call.worker.killed for call in self.ray.calls)
        self.patch.undo()


TestFakeRayPool = FakeRayPool.TestCase
TestFakeRayPool.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def act(job):
    """Do what a job's program names."""
    actions = {
        "raise": lambda: [][0],
        "die": lambda: os._exit(7),
        "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
        "interrupt": lambda: signal.raise_signal(signal.SIGINT),
    }
    if job.program in actions:
        actions[job.program]()
    return Result(job.index, Status.DIVERGED if job.program == "diverge" else Status.OK, seconds=1.0)


EXPECTED = {
    "": Status.OK,
    "diverge": Status.DIVERGED,
    "raise": Status.CRASHED,
    "die": Status.CRASHED,
    "stop": Status.TIMEOUT,
}


class RealPool(RuleBasedStateMachine):
    """A pool whose jobs determine what happens to their workers, and their results."""

    actions = ("", "diverge", "raise")

    def __init__(self):
        super().__init__()
        self.waiting = {}  # actions by index
        self.submitted = 0
        self.pool = self.make()

    def make(self) -> Pool:
        return SerialPool(each(act), batch=3)

    @rule(data=st.data(), count=st.integers(1, 4))
    def submit(self, data, count):
        for _ in range(count):
            action = data.draw(st.sampled_from(self.actions))
            self.waiting[self.submitted] = action
            self.pool.submit(job(self.submitted, action))
            self.submitted += 1

    @rule()
    def wait(self):
        results = self.pool.wait()
        assert bool(results) == bool(self.waiting)
        for result in results:
            status = EXPECTED[self.waiting.pop(result.index)]
            assert (result.status, result.attempts) == (status, MAX_ATTEMPTS if status in FAILURES else 1)

    @precondition(lambda self: self.waiting)
    @rule()
    def forget(self):
        self.pool.forget()
        self.waiting.clear()

    @rule()
    def close(self):
        self.pool.close()
        with pytest.raises(PoolError, match="closed"):
            self.pool.submit(job(0))
        assert self.pool.wait() == []
        self.waiting.clear()
        self.pool = self.make()

    @invariant()
    def nothing_is_lost(self):
        assert self.pool.in_flight == len(self.waiting)

    def teardown(self):
        while self.waiting:
            self.wait()
        self.pool.close()


class RealRayPool(RealPool):
    """The same on Ray, on which workers may also die and stop."""

    actions = ("", "", "diverge", "raise", "die", "stop")

    def make(self):
        return RayPool(2, evaluate=each(act), batch=3, deadline_s=1.0)


TestSerialPool = RealPool.TestCase
TestSerialPool.settings = settings(max_examples=50, stateful_step_count=20, deadline=None)


@pytest.mark.chaos
def test_a_pool_on_ray_is_as_its_model():
    with ray_connection(None, 2, print):
        from hypothesis.stateful import run_state_machine_as_test
        from ray import cloudpickle

        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        cloudpickle.register_pickle_by_value(pool_cases)
        run_state_machine_as_test(RealRayPool, settings=settings(max_examples=4, stateful_step_count=8, deadline=None))


@pytest.mark.parametrize(("free", "wanted"), [(2.0, None), (1.0, 2), (0.0, None), (0.0, 2)])
def test_a_pool_says_that_it_waits_for_free_cores(monkeypatch, free, wanted):
    ray, notes = FakeRay(), []
    ray.install(monkeypatch)
    ray.available_resources = lambda: {"CPU": free}
    RayPool(wanted, "head:6379", on_event=notes.append)
    count = wanted or max(1, int(free))
    sentence = f"waiting for free cores of the cluster: wanted {count}, free {int(free)} of 2"
    assert notes == ([sentence] if free < count else [])


class Clock:
    """A clock that evaluations set forward."""

    def __init__(self, monkeypatch, slow):
        self.now_s = 0.0
        self.slow = slow  # by a job's index, the seconds of its first attempts and of all later ones
        self.asked = []
        monkeypatch.setattr("workers.pool.time", SimpleNamespace(monotonic=lambda: self.now_s))

    def evaluate(self, jobs):
        self.asked.append([job.index for job in jobs])
        for asked in jobs:
            self.now_s += self.slow.get(asked.index, [1.0])[0]
            if len(self.slow.get(asked.index, [])) > 1:
                self.slow[asked.index].pop(0)
        return [pool_cases.echo(asked) for asked in jobs]


def test_a_serial_pool_drops_what_took_longer_than_the_deadline(monkeypatch):
    clock, notes = Clock(monkeypatch, {1: [100.0], 2: [1.0, 1.0, 100.0]}), []
    pool = SerialPool(clock.evaluate, batch=3, deadline_s=DEADLINE_S, on_event=notes.append)
    results = pool_cases.run(pool, 3)
    assert [result.status for result in results] == [Status.OK, Status.TIMEOUT, Status.OK]
    assert (results[1].attempts, results[1].message) == (2, "took longer than 10 s")
    assert clock.asked == [[0, 1, 2], [0], [1], [1], [2]]
    assert "candidate 1, attempt 1 of 2: timeout (took longer than 10 s)" in notes


def test_jobs_together_may_take_the_sum_of_their_deadlines_in_a_serial_pool(monkeypatch):
    clock = Clock(monkeypatch, {1: [DEADLINE_S + 5.0]})
    pool = SerialPool(clock.evaluate, batch=3, deadline_s=DEADLINE_S)
    assert [result.status for result in pool_cases.run(pool, 3)] == [Status.OK] * 3
    assert clock.asked == [[0, 1, 2]]
