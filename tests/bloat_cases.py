"""The bloated seed programs that the table and the tests share; the same ones at every call."""

import functools
import itertools

import numpy as np
from bloat import KINDS, bloat
from program_cases import SEEDS

import programs

STARTS = tuple(programs.load(name) for name in SEEDS)
_EACH = 4  # seed programs per kind


@functools.cache
def singles():
    """Return some seed programs for every kind, with this one bloat each."""
    cases = []
    for number, kind in enumerate(KINDS):
        found = 0
        for place in np.random.default_rng([number, 1]).permutation(len(STARTS)):
            bloated = bloat(STARTS[place], np.random.default_rng([number, place]), (kind,), 1)
            if bloated.kinds and found < _EACH:
                found += 1
                cases.append((STARTS[place], bloated))
    return tuple(cases)


def many(exact, count=136, rng_seed=2):
    """Return every seed program twice, with 3 to 8 bloats each."""
    kinds = tuple(kind for kind in KINDS if kind.exact or not exact)
    for number, start in zip(range(count), itertools.cycle(STARTS), strict=False):
        rng = np.random.default_rng([number, exact, rng_seed])
        yield start, bloat(start, rng, kinds, int(rng.integers(3, 9)))


def came_back(seed, bloated):
    """Return whether simplifying leads to the seed program's key, or to what the seed program itself simplifies to."""
    found = programs.key(programs.simplify(bloated.program).program)
    return found == programs.key(seed) or found == programs.key(programs.simplify(seed).program)
