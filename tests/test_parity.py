"""Every seed program against an independent implementation, over a whole training; the summary shows the errors."""

import jax
import jax.numpy as jnp
import optax
import pytest
from parity_cases import RTOL
from parity_table import HEADER
from parity_training import CASES, STEPS, compare, measure
from program_cases import SEEDS, first_and_slow

import programs


@pytest.mark.parametrize("case", first_and_slow(CASES, 20), ids=[case.program for case in CASES])
def test_seed_programs_train_as_what_they_are_compared_with(case, request):
    found = measure(programs.load(case.program), case)
    cells = (case.program, case.against, str(STEPS), f"{found.error:.2g}", f"{case.rtol:.0e}", case.reason)
    request.node.user_properties.append(("parity", cells))
    assert found.movement > 100 * case.rtol  # otherwise nothing was trained
    assert found.error <= case.rtol


def test_every_seed_program_has_a_case():
    assert {case.program for case in CASES} == set(SEEDS)


def test_a_looser_tolerance_has_a_reason():
    assert [case.program for case in CASES if (case.rtol == RTOL) == bool(case.reason)] == []


@pytest.mark.parametrize("name", SEEDS)
def test_seed_programs_name_their_source(name):
    assert HEADER.match(programs.source_text(name))


def schedule(count):
    return 1.0 - 0.9 * count.astype(jnp.float32) / STEPS


SCHEDULED = {
    "momentum": lambda rate: optax.sgd(rate(0.01), momentum=0.9),
    "lion": lambda rate: optax.lion(rate(0.0001), b1=0.9, b2=0.99, weight_decay=0.1),
    "lars": lambda rate: optax.lars(rate(1.0), weight_decay=0.0005, eps=1e-8),
    "fromage": lambda rate: optax.fromage(rate(0.01), min_norm=0.0),
}


@pytest.mark.parametrize("name", SCHEDULED)
def test_schedules_are_read_alike(name):
    program = programs.load(name)
    with jax.numpy_dtype_promotion("standard"):
        scheduled = SCHEDULED[name](lambda value: lambda count: value * schedule(count))
        constant = SCHEDULED[name](lambda value: value)
    assert compare(programs.to_optax(program, schedule), scheduled).error <= RTOL
    assert compare(programs.to_optax(program, schedule), constant).error > RTOL


WRONG = [
    ("adam", "0.999", "0.99"),
    ("nadamw", "wd = w * 0.01", "wd = w * 0.0101"),
    ("lars", "where(both, trust, 1.0)", "where(both, trust, 0.0)"),
]


@pytest.mark.parametrize(("name", "right", "wrong"), WRONG, ids=[name for name, *_ in WRONG])
def test_a_wrong_program_is_found_out(name, right, wrong):
    text = programs.source_text(name)
    assert right in text
    case = next(case for case in CASES if case.program == name)
    assert measure(programs.parse(text.replace(right, wrong)), case).error > case.rtol
