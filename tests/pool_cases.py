"""What tests of pools share: evaluations that train nothing, and running jobs to the end."""

import functools

from workers import Job, Result, Status


def job(index, program="", task_names=(), rng_seeds=()):
    return Job(index, program, task_names, rng_seeds)


def echo(job):
    return Result(job.index, Status.OK, score=job.index / 2, losses=((float(job.index),),), seconds=1.0)


def each(evaluate_one):
    """Make an evaluation of several jobs, one after another."""
    return functools.partial(_each, evaluate_one)


def _each(evaluate_one, jobs):
    return [evaluate_one(job) for job in jobs]


def only_for(bad, index, job):
    return bad(job) if job.index == index else echo(job)


def drain(pool):
    results = []
    while pool.in_flight:
        arrived = pool.wait()
        assert arrived
        results += arrived
    return sorted(results, key=lambda result: result.index)


def run(pool, count):
    for index in range(count):
        pool.submit(job(index))
    assert pool.in_flight == count
    return drain(pool)
