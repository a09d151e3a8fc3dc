"""Reductions: the exact set for small programs, and what holds for all programs."""

import dataclasses

import numpy as np
import pytest
from program_cases import program

import programs
from programs import dataflow

QUICK = ("adam", "lamb", "lion", "lion_raw", "novograd", "rprop", "sgd")
CANCELLING = ("prodigy", "schedule_free_adamw", "schedule_free_sgd")
"""Some reductions of these have updates in which all but rounding cancels, so that probes refute what rules may do."""
SIGNED = """def train(w, g, m, lr):
    m = interp(g, m, 0.9)
    update = sign(m)
    update = update * lr
    return update, m
"""


def texts(reductions: tuple[programs.Reduction, ...]) -> set[tuple[str, str]]:
    return {(reduction.statement, reduction.replacement) for reduction in reductions}


def test_reductions_of_a_small_program_are_exactly_these():
    assert texts(programs.reductions(programs.parse(SIGNED))) == {
        ("m = interp(g, m, 0.9)", "the gradient"),  # sign(g) * lr
        ("update = sign(m)", "the gradient"),  # g * lr
        ("update = sign(m)", "the old m"),  # the average of the step before
        ("update = sign(m)", "interp(g, m, 0.9)"),
    }  # and neither lr alone, nor anything without lr


def test_a_next_value_may_give_way_to_another_value_of_its_kind():
    reasons = [reduction.steps[0].reason for reduction in programs.reductions(programs.load("lion"))]
    assert "m = interp(g, m, 0.99) -> interp(g, m, 0.9)" in reasons


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in programs.seed_programs()]
)
def test_reductions_are_smaller_sorted_distinct_and_keep_the_rate(name: str):
    seed = programs.simplify(programs.load(name)).program
    found = programs.reductions(seed)
    sizes = [programs.size(reduction.program) for reduction in found]
    assert sizes == sorted(sizes)
    assert all(size[:2] < programs.size(seed)[:2] for size in sizes)
    keys = [programs.key(reduction.program) for reduction in found]
    assert len(set(keys)) == len(keys)
    assert programs.key(seed) not in keys
    read = programs.check(seed).inputs & {"g", "lr"}
    assert all(programs.check(reduction.program).inputs & {"g", "lr"} == read for reduction in found)
    for reduction in found:
        first, *rest = reduction.steps
        assert first.proof is programs.Proof.MEASURED
        for before, step in zip(reduction.steps, rest, strict=False):
            by_rules = dataclasses.replace(step, proof=programs.Proof.NEARLY)
            refuted = programs.proved(before.program, by_rules) is None
            assert (step.proof is programs.Proof.MEASURED) == refuted
            assert not refuted or name in CANCELLING


def test_roundings_of_a_small_program_are_exactly_these():
    subject = programs.parse(
        "def train(g, m, lr):\n    m = interp(g, m, 0.9982)\n    x = lr * 0.0217\n    update = m * x\n    "
        "return update, m\n"
    )
    assert [reduction.replacement for reduction in programs.roundings(subject)] == [
        "x = lr * 0.02",  # both have two characters fewer
        "m = interp(g, m, 0.998)",
        "x = lr * 0.022",
    ]


def test_a_number_near_one_never_becomes_one():
    subject = programs.parse("def train(g, m):\n    m = interp(g, m, 0.999999123)\n    return m, m\n")
    numbers = [reduction.replacement for reduction in programs.roundings(subject)]
    assert numbers[0] == "m = interp(g, m, 0.999999)" or "0.9999991" in numbers[0]
    assert not any("1.0" in number for number in numbers)


def test_there_is_nothing_to_reduce_in_gradient_descent():
    descent = programs.parse("def train(g, lr):\n    update = g * lr\n    return update\n")
    assert programs.reductions(descent) == ()
    assert programs.roundings(descent) == ()


def test_updates_of_one_program_do_not_differ_and_of_others_do():
    lion = programs.load("lion")
    assert programs.largest_difference(lion, lion) == 0.0
    assert programs.largest_difference(lion, programs.load("adamw")) > 0.1
    nothing = programs.parse("def train(g):\n    x = reciprocal(0.0)\n    update = g * x\n    return update\n")
    assert programs.largest_difference(lion, nothing) == np.inf


def shared_products(count):
    """Make a program in which rules fit at every third statement and would leave more to compute."""
    lines, last = [], "g"
    for number in range(count):
        a, b, x = f"a{number}", f"b{number}", f"x{number}"
        lines += [f"{a} = {last} * m", f"{b} = w * m", f"{x} = {a} + {b}", f"{a} = {a} * {b}", f"{x} = tanh({x})"]
        lines += [f"w = cos({a})", f"x{number} = {x} + {a}"]
        last = x
    return program("w, g, m, lr", *lines, f"m = interp({last}, m, 0.9)", "update = m * lr", returns="update, m")


def work(monkeypatch, count, run):
    """Count the nodes that are added to graphs meanwhile."""
    done = 0
    subject = shared_products(count)

    def counted(function):
        def call(*arguments):
            nonlocal done
            done += 1
            return function(*arguments)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(dataflow.GraphBuilder, "add", counted(dataflow.GraphBuilder.add))
        run(subject)
    return done


@pytest.mark.parametrize("run", [programs.recognise, lambda p: programs.simplify(p, prove=False)])
def test_the_work_for_a_program_grows_little_faster_than_its_length(monkeypatch, run):
    short, long = (work(monkeypatch, count, run) for count in (10, 80))
    assert long < 8 * 1.5 * short


def test_one_reduction_costs_little_more_than_a_few_passes_over_the_program(monkeypatch):
    found = []
    subject = shared_products(5)
    done = work(monkeypatch, 5, lambda p: found.extend(programs.reductions(p)))
    assert done < 20 * len(subject.statements) * len(found)
