"""Probes: programs run on fixed weights and gradients, so that their updates can be compared."""

import math
from collections.abc import Sequence

import numpy as np

from programs.algebra.derivation import Proof
from programs.checking import check
from programs.execution import numpy_step, zero_state
from programs.program import Program

TOLERANCES = {Proof.EXACT: 1e-9, Proof.NEARLY: 1e-3}
"""How much a rewriting step may change the updates on the probes, relative to the largest element."""

_SHAPES = ((3, 4), (5,), ())
_STEPS = 5
_RATE = 0.7


def probe(program: Program, steps: int = _STEPS) -> list[tuple[np.ndarray, ...]]:
    """Run a program in NumPy (float64) on fixed gradients, from fixed weights.

    Returns:
        The update of each step, a tuple of arrays of the shapes (3, 4), (5,) and ().

    Raises:
        ProgramError: If the program is not well formed.
    """
    return _probe([program], steps)[0]


def largest_difference(first: Program, second: Program, steps: int = 20) -> float:
    """Compare two programs' updates on the probes, both at the weights that the first program's updates lead to.

    Args:
        first: The program whose updates move the weights.
        second: The program to compare with it.
        steps: The number of steps to compare.

    Returns:
        The largest difference of two elements, relative to the largest element of the arrays they belong to;
        infinite if one of two elements is finite and the other is not.

    Raises:
        ProgramError: If a program is not well formed.
    """
    largest = 0.0
    for ours, theirs in zip(*_probe([first, second], steps), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            if not np.array_equal(np.isfinite(a), np.isfinite(b)):
                return math.inf
            finite = np.isfinite(a)
            if finite.any() and (gap := np.abs(a[finite] - b[finite]).max()) > 0.0:
                largest = max(largest, float(gap / max(np.abs(a[finite]).max(), np.abs(b[finite]).max())))
    return largest


def _probe(some: Sequence[Program], steps: int) -> list[list[tuple[np.ndarray, ...]]]:
    """Return each program's updates, all at the weights that the first program's updates lead to."""
    weights = tuple(_array(shape, 0, place) for place, shape in enumerate(_SHAPES))
    states = [zero_state(check(program), weights) for program in some]
    updates = [[] for _ in some]
    with np.errstate(all="ignore"):
        for step in range(1, steps + 1):
            gradient = tuple(_array(shape, step, place) for place, shape in enumerate(_SHAPES))
            for index, program in enumerate(some):
                update, states[index] = numpy_step(program, weights, gradient, states[index], _RATE, step)
                updates[index].append(update)
            weights = tuple(np.asarray(w - u) for w, u in zip(weights, updates[0][-1], strict=True))
    return updates


def _array(shape: tuple[int, ...], step: int, place: int) -> np.ndarray:
    """Make numbers in (-1, 1) from integers alone, so that they are the same on every machine."""
    size = int(np.prod(shape, dtype=np.int64))
    numbers = (np.arange(1, size + 1, dtype=np.int64) * 7919 + step * 104729 + place * 1299709) % 2003
    return (numbers / 1001.0 - 1.0).reshape(shape)
