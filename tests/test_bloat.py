"""Simplifying restores seed programs that were bloated at random, and bloat changes nothing."""

import numpy as np
import pytest
from bloat import KINDS
from bloat_cases import came_back, many, singles
from program_cases import SEEDS, run_numpy

import programs

SHORTENED = {"lion_raw", "lion_pruned", "radam"}  # by rules, without any bloat


def updates(program, dtype):
    """Run some steps on three arrays, in floats of a dtype."""
    rng = np.random.default_rng(3)
    arrays = [tuple(rng.normal(size=shape).astype(dtype) for shape in ((3, 4), (5,))) for _ in range(4)]
    return run_numpy(program, arrays[0], arrays[1:], lr=0.5, dtype=dtype)


def same(one, other, compare):
    for first, second in zip(one, other, strict=True):
        for x, y in zip(first, second, strict=True):
            compare(x, y)


def close(x, y):
    np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("exact", [True, False])
def test_bloat_changes_nothing(exact):
    cases = [case for case in [*singles(), *many(exact, count=60)] if case[1].exact == exact]
    assert len(cases) > 40
    for seed, bloated in cases:
        names = [kind.name for kind in bloated.kinds]
        assert len(bloated.program.statements) >= len(seed.statements), names
        if exact:
            for dtype in (np.float32, np.float64):
                same(updates(bloated.program, dtype), updates(seed, dtype), np.testing.assert_array_equal)
        else:
            same(updates(bloated.program, np.float64), updates(seed, np.float64), close)


def test_every_kind_of_bloat_finds_places():
    assert {bloated.kinds for _, bloated in singles()} == {(kind,) for kind in KINDS}


@pytest.mark.parametrize("name", SEEDS)
def test_a_seed_program_keeps_its_key(name):
    seed = programs.load(name)
    kept = programs.key(programs.simplify(seed).program) == programs.key(seed)
    assert kept == (name not in SHORTENED)


@pytest.mark.slow
def test_what_is_bloated_once_and_exactly_comes_back():
    assert [b.kinds[0].name for seed, b in singles() if b.exact and not came_back(seed, b)] == []


def test_what_is_bloated_comes_back():
    assert [b.kinds for seed, b in many(exact=True, count=20) if not came_back(seed, b)] == []


@pytest.mark.slow
def test_what_is_bloated_often_and_exactly_comes_back():
    cases = list(many(exact=True))
    assert len(cases) >= 100
    assert [[kind.name for kind in b.kinds] for seed, b in cases if not came_back(seed, b)] == []
