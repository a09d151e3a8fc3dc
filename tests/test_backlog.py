"""Which jobs are evaluated together, what counts as an attempt, and that every job gets one result."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_cases import each, echo, job

from workers import Job, Result, Status
from workers.backlog import Backlog, Failure, evaluate_together

DEATH = Failure(Status.CRASHED, "the worker died", seconds=2.0)


def filled(count, on_event=lambda event: None):
    backlog = Backlog(on_event)
    for index in range(count):
        backlog.add(job(index))
    return backlog


def indices(attempts):
    return [attempt.job.index for attempt in attempts]


def test_the_oldest_are_taken_together():
    backlog = filled(5)
    assert [indices(backlog.take(3)), indices(backlog.take(3))] == [[0, 1, 2], [3, 4]]
    assert (backlog.waiting, backlog.in_flight) == (0, 5)


def test_what_is_put_back_is_as_if_it_had_not_been_taken():
    backlog = filled(4)
    taken = backlog.take(3)
    backlog.put_back(taken)
    assert backlog.take(4)[:3] == taken


def test_results_are_given_back_once():
    backlog = filled(2)
    backlog.settle(backlog.take(2), [echo(job(0)), echo(job(1))])
    assert (backlog.in_flight, backlog.has_results) == (2, True)
    assert backlog.give_back() == [echo(job(0)), echo(job(1))]
    assert (backlog.in_flight, backlog.has_results, backlog.give_back()) == (0, False, [])


def test_a_failure_together_is_no_attempt_and_each_goes_on_alone():
    notes = []
    backlog = filled(4, notes.append)
    backlog.settle(backlog.take(3), DEATH, "worker 1, ", "; worker replaced")
    taken = [backlog.take(9) for _ in range(4)]
    assert [indices(attempts) for attempts in taken] == [[0], [1], [2], [3]]
    assert [attempt.number for attempts in taken for attempt in attempts] == [1, 1, 1, 1]
    assert notes == [
        "worker 1, 3 candidates together, from 0 to 2: crashed (the worker died); each is tried alone; worker replaced"
    ]


def test_a_failure_alone_is_an_attempt_and_the_second_is_the_last():
    notes = []
    backlog = filled(2, notes.append)
    backlog.settle(backlog.take(1), DEATH, "worker 1, ", "; worker replaced")
    assert not backlog.has_results
    backlog.settle(backlog.take(9), DEATH, "worker 2, ", "; worker replaced")
    (result,) = backlog.give_back()
    assert result == Result(0, Status.CRASHED, seconds=2.0, attempts=2, message="the worker died")
    assert notes == [
        f"worker {number}, candidate 0, attempt {number} of 2: crashed (the worker died); worker replaced"
        for number in (1, 2)
    ]


def test_a_failure_among_results_is_an_attempt_and_the_second_is_alone():
    backlog = filled(4)
    short = Result(1, Status.OOM, message="no room")
    backlog.settle(backlog.take(3), [echo(job(0)), short, echo(job(2))])
    assert backlog.give_back() == [echo(job(0)), echo(job(2))]
    (again,) = backlog.take(9)
    assert (again.job.index, again.number) == (1, 2)


def test_what_is_forgotten_never_comes_back():
    backlog = filled(4)
    backlog.settle(backlog.take(1), [echo(job(0))])
    done, failed, unused = backlog.take(1), backlog.take(1), backlog.take(1)
    backlog.forget()
    assert (backlog.in_flight, backlog.waiting, backlog.give_back()) == (0, 0, [])
    backlog.add(job(7))
    backlog.settle(done, [echo(job(1))])
    backlog.settle(failed, Failure(Status.CRASHED, "the worker died", 1.0))
    backlog.put_back(unused)
    assert (backlog.in_flight, backlog.waiting, backlog.give_back()) == (1, 1, [])
    backlog.settle(backlog.take(2), [echo(job(7))])
    assert [result.index for result in backlog.give_back()] == [7]


@given(
    kinds=st.lists(st.sampled_from(["good", "bad", "deadly", "deadly once"]), max_size=30),
    sizes=st.lists(st.integers(1, 9), min_size=1),
)
def test_every_job_has_one_result_and_only_the_guilty_pay(kinds, sizes):
    """Good jobs have one attempt, whatever others do; no result shows which jobs were evaluated together."""
    backlog, results, calls, killed = filled(len(kinds)), [], 0, set()
    while backlog.in_flight:
        attempts = backlog.take(sizes[calls % len(sizes)])
        calls += 1
        taken = indices(attempts)
        deadly = [index for index in taken if kinds[index] == "deadly" or index in once(kinds) - killed]
        if deadly:
            killed.add(deadly[0])
            backlog.settle(attempts, DEATH)
        else:
            bad = Result(-1, Status.OOM)
            backlog.settle(attempts, [bad if kinds[index] == "bad" else echo(job(index)) for index in taken])
        results += backlog.give_back()
    assert len(results) == len(kinds)
    by_index = {result.index: result for result in results if result.index >= 0}
    for index, kind in enumerate(kinds):
        if kind == "good":
            assert by_index[index] == echo(job(index))
        elif kind == "deadly":
            assert (by_index[index].status, by_index[index].attempts) == (Status.CRASHED, 2)
        elif kind == "deadly once":
            assert by_index[index].status == Status.OK
    assert [result.attempts for result in results if result.status == Status.OOM] == [2] * kinds.count("bad")


def once(kinds):
    return {index for index, kind in enumerate(kinds) if kind == "deadly once"}


def test_evaluating_together_gives_each_its_seconds():
    def evaluate(jobs):
        return [Result(jobs[0].index, Status.OK, seconds=7.0), Result(jobs[1].index, Status.OK)]

    found = evaluate_together(evaluate, [job(3), job(4)])
    assert not isinstance(found, Failure)
    first, second = found
    assert first.seconds == 7.0
    assert 0.0 < second.seconds < 7.0


def fail(error, jobs: Sequence[Job]):
    raise error


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [(MemoryError("heap"), "oom", "MemoryError: heap"), (LookupError(), "crashed", "LookupError")],
)
def test_what_is_raised_is_a_failure_of_all(error, status, message):
    failure = evaluate_together(lambda jobs: fail(error, jobs), [job(3), job(4)])
    assert isinstance(failure, Failure)
    assert (failure.status, failure.message) == (status, message)


@pytest.mark.parametrize("got", [[3], [4, 3], [3, 4, 5], []])
def test_results_of_other_jobs_are_a_failure(got):
    failure = evaluate_together(lambda jobs: each(echo)([job(index) for index in got]), [job(3), job(4)])
    assert isinstance(failure, Failure)
    assert failure.message == f"ValueError: got results of the candidates {got}; right would be [3, 4]"
