"""From programs to scores: the two engines, lanes, hurdles, early ends, and what fits into memory."""

import dataclasses
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from program_cases import program, random_mutants

import programs
import tasks
from tasks import interpreted_training, memory, training
from tasks.engines import BREAK_EVEN

IRIS = tasks.get("iris")
TINY = tasks.get("digits_tiny")


def encoded(subject: programs.Program) -> tuple[programs.Capacity, programs.MachineCode]:
    found = programs.encode(subject)
    assert found is not None
    return found


CAPACITY, ADAMW = encoded(programs.load("adamw"))
RUNAWAY = program("w, g", "u = w + g", "u = u * -1000.0", returns="u")
BOMB = program("w, g, t", "late = less(30.0, t)", "u = g * 0.1", "u = u - late * 1e9", returns="u")
PROGRAMS = [programs.load("adamw"), RUNAWAY, programs.load("sgd"), program("w", returns="w"), programs.load("lion")]


def long_program(statements):
    return program("g, lr", "u = sin(g)", *["u = sin(u)"] * (statements - 1), returns="u")


@pytest.mark.parametrize("name", ["adamw", "lion", "muon", "lion_raw", "lars"])
def test_the_engines_agree(name):
    subject = programs.load(name)
    (ours,) = tasks.evaluate_programs([IRIS], [subject], [0, 1])
    theirs = tasks.evaluate_optimizer([IRIS], programs.to_optax(subject), [0, 1])
    assert [t.steps for t in ours.trainings[0]] == [21, 21]
    assert ours.losses[0] == pytest.approx(theirs.losses[0], rel=1e-4)


def test_bits_do_not_depend_on_what_is_trained_beside():
    alone = [tasks.evaluate_programs([IRIS], [subject], [0, 1])[0] for subject in PROGRAMS]
    assert tasks.evaluate_programs([IRIS], PROGRAMS, [0, 1]) == alone
    many = PROGRAMS * 30  # more than one call holds
    assert len(many) > interpreted_training.SEQUENCE
    assert tasks.evaluate_programs([IRIS], many[::-1], [0, 1]) == alone[::-1] * 30


def test_a_lane_ends_when_it_has_diverged_and_its_later_rng_seeds_are_not_trained():
    fine, bomb, runaway = tasks.evaluate_programs([TINY, TINY], [programs.load("sgd"), BOMB, RUNAWAY], [0, 1])
    assert [len(row) for row in fine.trainings] == [2, 2]
    assert (fine.diverged, fine.hopeless) == (False, False)
    for evaluation, steps in ((bomb, 50), (runaway, 25)):
        assert evaluation.trainings == ((training.Training(TINY.worst, 0.0, diverged=True, steps=steps),),)
        assert (evaluation.diverged, evaluation.score) == (True, 0.0)


def test_the_compiler_ends_a_training_at_the_same_step():
    for subject in (BOMB, RUNAWAY):
        compiled = tasks.evaluate_optimizer([TINY], programs.to_optax(subject), [0])
        assert tasks.evaluate_programs([TINY], [subject], [0]) == [compiled]


def test_a_hurdle_ends_what_is_hopeless():
    (alone,) = tasks.evaluate_programs([IRIS], [programs.load("sgd")], [0])
    for hurdle, hopeless in ((alone.score, False), (alone.score * 1.01, True), (None, False), (-1.0, False)):
        (both,) = tasks.evaluate_programs([IRIS, TINY], [programs.load("sgd")], [0], hurdle)
        assert both.hopeless is hopeless
        assert len(both.trainings) == 2 - hopeless
        assert both.losses[0] == alone.losses[0]
    (ended,) = tasks.evaluate_programs([IRIS, TINY], [programs.load("sgd")], [0], 100.0)
    assert ended.score == alone.score / 2
    assert ended.reason == f"{alone.score:.4g} on iris, below the hurdle of 100"
    # If it is hopeless on the second task, its score on the first is not kept: scores have no upper end.
    (second,) = tasks.evaluate_programs([IRIS, TINY, IRIS], [programs.load("sgd")], [0], alone.score * 0.9)
    assert (second.hopeless, len(second.trainings)) == (True, 2)
    assert second.score == tasks.score(TINY, second.losses[1][0]) / 3
    # After the last task nothing is left to skip.
    assert not tasks.evaluate_programs([IRIS], [programs.load("sgd")], [0], 100.0)[0].hopeless
    assert tasks.evaluate_optimizer([IRIS, TINY], programs.to_optax(programs.load("sgd")), [0], 100.0).hopeless


@pytest.mark.slow
def test_programs_of_any_size_are_evaluated_together():
    some = [long_program(10), long_program(100), long_program(256), long_program(300)]
    assert [found and found[0] for found in map(programs.encode, some)] == [
        *programs.CAPACITIES[:1],
        *programs.CAPACITIES[1:] * 2,
        None,
    ]
    together = tasks.evaluate_programs([IRIS], some, [0])
    alone = [tasks.evaluate_optimizer([IRIS], programs.to_optax(subject), [0]) for subject in some]
    for ours, theirs in zip(together, alone, strict=True):
        assert ours.losses[0] == pytest.approx(theirs.losses[0], rel=1e-5)


def test_the_engine_follows_from_the_task_and_the_device():
    for name in tasks.TASKS:
        assert tasks.choose_engine(tasks.get(name), "cpu") is tasks.Engine.INTERPRETER
    enough = int(BREAK_EVEN["cpu"] / training.weights(TINY))
    for steps, engine in ((enough, tasks.Engine.INTERPRETER), (enough + 1, tasks.Engine.COMPILER)):
        assert tasks.choose_engine(dataclasses.replace(TINY, steps=steps), "cpu") is engine
    assert tasks.choose_engine(dataclasses.replace(TINY, steps=enough + 1), "gpu") is tasks.Engine.INTERPRETER


def test_long_trainings_compile(monkeypatch):
    calls = []
    monkeypatch.setattr("tasks.engines.BREAK_EVEN", {"cpu": 0})
    monkeypatch.setattr("tasks.evaluation.train_many", lambda *arguments: calls.append(arguments))
    compiled = tasks.evaluate_optimizer([IRIS], programs.to_optax(programs.load("lion")), [0])
    assert tasks.evaluate_programs([IRIS], [programs.load("lion")], [0])[0].losses == compiled.losses
    assert not calls


def test_learning_rates_are_lanes():
    rates = (0.5, 1.0, 4.0)
    lanes = [tasks.Candidate(ADAMW, rate) for rate in rates]
    rows = tasks.train_many(IRIS, CAPACITY, lanes, [3])
    for rate, (ours,) in zip(rates, rows, strict=True):
        theirs = tasks.train(IRIS, programs.to_optax(programs.load("adamw"), rate), 3)
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)
    assert len({row[0].loss for row in rows}) == 3


def test_no_candidates_give_no_trainings():
    assert tasks.evaluate_programs([IRIS], [], [0]) == []
    assert tasks.train_many(IRIS, CAPACITY, [], [0]) == []
    assert tasks.train_many(IRIS, CAPACITY, [], [0], "population") == []


@pytest.mark.slow
def test_lanes_side_by_side_train_the_same():
    some = [p for p in [*PROGRAMS, *random_mutants(40, starts=("adamw", "lion"))] if encoded(p)[0] == CAPACITY]
    candidates = [tasks.Candidate(encoded(subject)[1]) for subject in some]
    one_by_one = tasks.train_many(IRIS, CAPACITY, candidates, [0, 1], "sequence")
    together = tasks.train_many(IRIS, CAPACITY, candidates, [0, 1], "population", 16)
    close = [
        len(ours) == len(theirs) and np.allclose([t.loss for t in ours], [t.loss for t in theirs], rtol=1e-3)
        for ours, theirs in zip(one_by_one, together, strict=True)
    ]
    assert sum(close) >= len(some) - 2  # mutants may amplify rounding


DEVICES = """
import programs, tasks
capacity, code = programs.encode(programs.load("adamw"))
lanes = [tasks.Candidate(code, rate) for rate in (0.5, 1.0, 2.0, 4.0, 8.0)]
rows = tasks.train_many(tasks.get("iris"), capacity, lanes, [0], "population", 16)
import jax
print(jax.local_device_count(), *(training.loss.hex() for row in rows for training in row))
"""


@pytest.mark.slow
def test_lanes_are_dealt_to_all_devices_of_a_process():
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    done = subprocess.run([sys.executable, "-c", DEVICES], env=environment, capture_output=True, text=True, check=True)
    devices, *losses = done.stdout.split()
    lanes = [tasks.Candidate(ADAMW, rate) for rate in (0.5, 1.0, 2.0, 4.0, 8.0)]
    here = [row[0].loss for row in tasks.train_many(IRIS, CAPACITY, lanes, [0], "sequence")]
    assert devices == "4"
    assert [float.fromhex(loss) for loss in losses] == pytest.approx(here, rel=1e-4)


@pytest.mark.slow
def test_the_memory_of_a_lane_is_bounded_by_the_model(monkeypatch):
    """XLA's own count for a compiled population is at most the model's bound, and not far below it."""
    built = []
    compile_ahead = interpreted_training.compile_ahead
    monkeypatch.setattr(
        interpreted_training, "compile_ahead", lambda *args: built.append(compile_ahead(*args)) or built[0]
    )
    tasks.train_many(IRIS, CAPACITY, [tasks.Candidate(ADAMW)], [0], "population", 48)
    needed = built[0].memory_analysis().temp_size_in_bytes
    assert 0.1 < needed / (48 * memory.lane_bytes(IRIS, CAPACITY)) <= 1.0


def test_the_population_is_the_largest_that_fits(monkeypatch):
    lane = memory.lane_bytes(TINY, CAPACITY)
    assert memory.lane_bytes(tasks.get("digits_mlp"), CAPACITY) > lane
    for limit, lanes in ((None, 256), (lane * 1000, 256), (lane * 600, 64), (lane * 50, 16), (1, 16)):
        monkeypatch.setattr(memory, "memory_limit", lambda limit=limit: limit)
        assert memory.lanes_that_fit(TINY, CAPACITY, interpreted_training.POPULATIONS) == lanes
    assert jax.default_backend() != "cpu" or interpreted_training.lanes_of_device() == "sequence"
