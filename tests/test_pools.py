"""What every pool does: the same tests for SerialPool and RayPool."""

import functools
import os
import signal
import stat
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pool_cases
import pytest
from pool_cases import drain, each, echo, job, only_for, run

import programs
from workers import Arithmetic, PoolError, RayPool, Result, SerialPool, Status, arithmetic_here
from workers.ray_connection import ray_connection
from workers.ray_worker import Evaluator

POOLS = ("serial", "ray")


def diverge(job):
    return Result(job.index, Status.DIVERGED, seconds=1.0)


def refuse(job):
    raise ValueError(f"candidate {job.index} is not for me")


def refuse_odd(job):
    return refuse(job) if job.index % 2 else echo(job)


def refuse_once(folder, job):
    marker = folder / str(job.index)
    if not marker.exists():
        marker.touch()
        raise ValueError("not yet")
    return echo(job)


def use_up_memory(job):
    raise MemoryError("no room")


def fall_short(job):
    return Result(job.index, Status.OOM, seconds=1.0, message="no room")


def say_no_seconds(job):
    return replace(echo(job), seconds=0.0)


def leave_one_out(jobs):
    return [echo(job) for job in jobs[1:]]


def turn_around(jobs):
    return [echo(job) for job in reversed(jobs)]


def count_jobs(jobs):
    return [Result(job.index, Status.OK, score=float(len(jobs))) for job in jobs]


def read_process(job):
    return Result(job.index, Status.OK, score=float(os.getpgrp()), message=os.environ["XLA_FLAGS"])


@pytest.fixture(scope="module")
def ray_here():
    """Start one local Ray for this module, which all its pools use."""
    before = os.getpgrp(), signal.getsignal(signal.SIGTERM), dict(os.environ)
    notes = []
    with ray_connection(None, 2, notes.append):
        from ray import cloudpickle

        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        cloudpickle.register_pickle_by_value(pool_cases)
        assert (os.getpgrp(), signal.getsignal(signal.SIGTERM)) == before[:2]
        assert not notes
        yield
    assert "RAY_AUTH_MODE" not in set(os.environ) - set(before[2])


@pytest.fixture(params=POOLS)
def make_pool(request):
    if request.param == "serial":
        yield SerialPool
    else:
        request.getfixturevalue("ray_here")
        yield functools.partial(RayPool, 2)


def test_one_result_for_each_job_and_more_jobs_than_workers(make_pool):
    with make_pool(evaluate=each(echo)) as pool:
        assert run(pool, 20) == [echo(job(index)) for index in range(20)]
        assert pool.wait() == []


def test_wait_with_nothing_in_flight_returns_at_once(make_pool):
    with make_pool(evaluate=each(echo)) as pool:
        assert pool.in_flight == 0
        assert pool.wait() == []
        assert pool.wait(timeout_s=1000.0) == []


def test_jobs_submitted_between_waits(make_pool):
    with make_pool(evaluate=each(echo)) as pool:
        results = []
        for index in range(10):
            pool.submit(job(index))
            pool.submit(job(100 + index))
            results += pool.wait()
        results += drain(pool)
        assert sorted(result.index for result in results) == [*range(10), *range(100, 110)]


def test_equal_jobs_are_each_answered(make_pool):
    with make_pool(evaluate=each(echo)) as pool:
        for _ in range(3):
            pool.submit(job(7))
        assert drain(pool) == [echo(job(7))] * 3


def test_diverged_is_an_outcome_and_is_not_tried_again(make_pool):
    notes = []
    with make_pool(evaluate=each(diverge), on_event=notes.append) as pool:
        assert run(pool, 3) == [diverge(job(index)) for index in range(3)]
    assert notes == []


def test_raising_is_crashed_after_two_attempts_with_type_and_text(make_pool):
    notes = []
    with make_pool(evaluate=each(refuse_odd), on_event=notes.append) as pool:
        results = run(pool, 4)
    assert [result.status for result in results] == ["ok", "crashed", "ok", "crashed"]
    assert [result.attempts for result in results] == [1, 2, 1, 2]
    assert results[1].message == "ValueError: candidate 1 is not for me"
    assert results[1].score == 0.0
    assert any("candidate 3, attempt 1 of 2: crashed" in note for note in notes)
    assert "candidates together" in notes[0]
    assert "crashed (ValueError: candidate 1 is not for me); each is tried alone" in notes[0]


def test_raising_once_is_made_good_by_the_second_attempt(make_pool, tmp_path):
    with make_pool(evaluate=each(functools.partial(refuse_once, tmp_path)), batch=1) as pool:
        results = run(pool, 3)
    assert [result.status for result in results] == ["ok"] * 3
    assert [result.attempts for result in results] == [2] * 3


def test_memory_error_is_oom(make_pool):
    with make_pool(evaluate=each(use_up_memory)) as pool:
        (result,) = run(pool, 1)
    assert (result.status, result.message) == (Status.OOM, "MemoryError: no room")


def test_one_failure_among_results_is_an_attempt_of_that_job_alone(make_pool):
    notes = []
    with make_pool(evaluate=each(functools.partial(only_for, fall_short, 2)), on_event=notes.append) as pool:
        results = run(pool, 4)
    assert [result.status for result in results] == ["ok", "ok", "oom", "ok"]
    assert [result.attempts for result in results] == [1, 1, 2, 1]
    assert len(notes) == 2
    assert all("candidate 2, attempt" in note for note in notes)


@pytest.mark.parametrize(
    "batch", [pytest.param(1, marks=pytest.mark.slow), 3, pytest.param(64, marks=pytest.mark.slow)]
)
def test_results_do_not_depend_on_the_batch(make_pool, batch):
    with make_pool(evaluate=each(echo), batch=batch) as pool:
        assert run(pool, 70) == [echo(job(index)) for index in range(70)]


def test_results_of_other_jobs_than_asked_for_are_no_results(make_pool):
    with make_pool(evaluate=leave_one_out) as pool:
        results = run(pool, 4)
    assert {result.status for result in results} == {Status.CRASHED}
    assert results[3].message == "ValueError: got results of the candidates []; right would be [3]"


def test_results_in_another_order_than_asked_for_are_no_results(make_pool):
    with make_pool(evaluate=turn_around) as pool:
        assert run(pool, 4) == [echo(job(index)) for index in range(4)]  # each was evaluated alone


def test_seconds_are_a_share_of_the_batch_where_the_evaluation_does_not_say(make_pool):
    with make_pool(evaluate=each(say_no_seconds)) as pool:
        assert all(result.seconds > 0.0 for result in run(pool, 4))


def test_close_drops_what_is_in_flight_and_may_be_called_twice(make_pool):
    pool = make_pool(evaluate=each(echo))
    for index in range(5):
        pool.submit(job(index))
    pool.close()
    pool.close()
    assert pool.in_flight == 0
    assert pool.wait() == []
    with pytest.raises(PoolError, match="closed"):
        pool.submit(job(5))


def test_serial_evaluates_the_oldest_together():
    with SerialPool(evaluate=count_jobs, batch=3) as pool:
        for index in range(8):
            pool.submit(job(index))
        assert [[result.score for result in pool.wait()] for _ in range(3)] == [[3.0] * 3, [3.0] * 3, [2.0] * 2]


def test_serial_keeps_what_was_interrupted_in_flight():
    interrupts = [KeyboardInterrupt()]

    def interrupted_once(jobs):
        if interrupts:
            raise interrupts.pop()
        return [echo(job) for job in jobs]

    with SerialPool(evaluate=interrupted_once) as pool:
        pool.submit(job(0))
        pool.submit(job(1))
        with pytest.raises(KeyboardInterrupt):
            pool.wait()
        assert pool.in_flight == 2
        assert drain(pool) == [echo(job(0)), echo(job(1))]


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "sizes"), [(1, [1] * 7), (3, [1] + [3] * 6), (64, [7] * 7)])
def test_ray_sends_jobs_together(ray_here, batch, sizes):
    with RayPool(1, evaluate=count_jobs, batch=batch) as pool:
        assert sorted(result.score for result in run(pool, 7)) == sizes


@pytest.mark.slow
def test_ray_gives_no_worker_more_than_its_share(ray_here):
    with RayPool(2, evaluate=count_jobs) as pool:
        sizes = [result.score for result in run(pool, 8)]
    assert max(sizes) == 4  # the other worker may still have been starting, and then takes fewer jobs


@pytest.mark.slow
def test_same_results_on_both_pools(ray_here):
    jobs = [
        job(index, programs.source_text(name), ("digits_tiny",), (0, 1)) for index, name in enumerate(["adamw", "sgd"])
    ]
    with SerialPool() as serial, RayPool(1, warm=("digits_tiny",)) as on_ray:
        for each in jobs:
            serial.submit(each)
            on_ray.submit(each)
        here, there = drain(serial), drain(on_ray)
    assert [result.status for result in here] == ["ok", "ok"]
    assert all(result.seconds > 0 for result in (*here, *there))
    assert [replace(result, seconds=0) for result in here] == [replace(result, seconds=0) for result in there]


@pytest.mark.slow
def test_ray_wait_gives_up_after_the_timeout(ray_here):
    with RayPool(1, evaluate=each(echo)) as pool:
        pool.submit(job(0))
        early = pool.wait(timeout_s=0.0)
        assert early == [] or early == [echo(job(0))]
        assert [*early, *drain(pool)] == [echo(job(0))]


@pytest.mark.slow
def test_ray_one_result_each_even_if_replies_race_with_the_deadline(ray_here):
    with RayPool(2, evaluate=each(echo), deadline_s=0.0) as pool:
        results = run(pool, 4)
    assert [result.index for result in results] == [0, 1, 2, 3]
    assert {result.status for result in results} <= {Status.OK, Status.TIMEOUT}


@pytest.mark.slow
def test_ray_workers_are_single_threaded_and_out_of_reach_of_ctrl_c(ray_here):
    with RayPool(1, evaluate=each(read_process)) as pool:
        (result,) = run(pool, 1)
    assert result.message == "--xla_cpu_multi_thread_eigen=false"
    assert result.score != os.getpgrp()


@pytest.mark.slow
def test_ray_workers_that_cannot_start_are_a_pool_error(ray_here):
    notes = []
    with RayPool(2, evaluate=each(refuse), warm=("digits_tiny",), on_event=notes.append) as pool:
        pool.submit(job(0))
        for _ in range(2):
            with pytest.raises(PoolError, match="ValueError: candidate -1 is not for me"):
                pool.wait()
        assert pool.workers == 0
    assert sum("started again" in note for note in notes) == 2
    assert sum("given up" in note for note in notes) == 2


def measure_by_process():
    return Arithmetic(str(os.getpid()), "a processor")


@pytest.mark.slow
def test_ray_workers_of_another_arithmetic_are_refused(ray_here):
    notes = []
    with RayPool(2, evaluate=each(echo), measure=measure_by_process, on_event=notes.append) as pool:
        arithmetic = pool.arithmetic()
        while pool.workers > 1:
            assert run(pool, 1) == [echo(job(0))]
        assert pool.arithmetic() == arithmetic
    assert [note.rpartition("; ")[2] for note in notes] == ["started again", "given up"]
    assert all(f"which gives other bits than {arithmetic};" in note for note in notes)


@pytest.mark.slow
def test_ray_workers_have_the_arithmetic_of_this_process(ray_here):
    with RayPool(1, lazy=True) as pool:
        assert pool.arithmetic() == arithmetic_here()
        assert pool.workers == 1


def test_local_ray_is_closed_to_others(ray_here):
    import ray

    token = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert stat.S_IMODE(token.parent.stat().st_mode) == 0o700
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert ray.util.get_node_ip_address() == "127.0.0.1"


class Waiting(Evaluator):
    def wait(self) -> None:
        threading.Event().wait()


def test_a_worker_that_nobody_starts_ends(ray_here):
    import ray
    from ray.exceptions import ActorDiedError

    worker: Any = ray.remote(num_cpus=0)(Waiting).remote({}, 0.1)
    with pytest.raises(ActorDiedError):
        ray.get(worker.wait.remote())
