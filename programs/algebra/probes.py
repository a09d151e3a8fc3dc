"""Probes: programs run on fixed weights and gradients, so that their updates can be compared."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from programs.algebra.derivation import Gap, Proof
from programs.checking import check
from programs.execution import numpy_step, zero_state
from programs.program import Program

TOLERANCES = {Proof.EXACT: 1e-9, Proof.REAL: 1e-9, Proof.NEARLY: 1e-3}
"""How much a rewriting step may change the updates on the probes in 64-bit floats, relative to the largest element.
An exact step must not change them at extreme points in 32-bit floats either."""

PERIOD = 30
"""The number of steps for which persistent gradients stay nearly the same."""

_Gradients = Callable[[tuple[int, ...], int, int], np.ndarray]  # from shape, step and index of the array
_SHAPES = ((3, 4), (5,), ())
_STEPS = 5
_RATE = 0.7
_HUGE = (1e10, 1e19, 1e20, 1e25, 1e30, 1e38, float(np.finfo(np.float32).max))
_SMALL = (0.0, 1e-45, 1e-39, 2e-38, 1e-30, 1e-25, 1e-20, 1e-12, 1e-8)
_PLAIN = (0.1, 0.5, 1.0, 1.5, 3.0, 40.0, 1e4)
_EXTREMES = (_SMALL, _HUGE, (*_SMALL, *_PLAIN, *_HUGE), (*_PLAIN, np.inf, np.nan))
"""Sets of magnitudes of gradients and weights; separate, since one infinite element makes the norm of all infinite."""
_EXTREME_STEPS = 3
_NARROW_ROUNDING = 1e-4  # relative: a few roundings of a 32-bit float
_TINY = float(np.finfo(np.float32).tiny)


def probe(program: Program, steps: int = _STEPS) -> list[tuple[np.ndarray, ...]]:
    """Run a program in NumPy (float64) on fixed gradients, from fixed weights.

    Returns:
        The update of each step, a tuple of arrays of the shapes (3, 4), (5,) and ().

    Raises:
        ProgramError: If the program is not well formed.
    """
    return _probe([program], steps, _array)[0]


def largest_difference(first: Program, second: Program, steps: int = 20, persistent: bool = False) -> float:
    """Compare two programs' updates on the probes, both at the weights that the first program's updates lead to.

    Args:
        first: The program whose updates move the weights.
        second: The program to compare with it.
        steps: The number of steps to compare.
        persistent: Whether gradients stay nearly the same for ``PERIOD`` steps and then reverse and become smaller, so
            that averages point against them; otherwise every step has different gradients.

    Returns:
        The largest difference of two elements, relative to the largest element of the arrays they belong to;
        infinite if one of two elements is finite and the other is not.

    Raises:
        ProgramError: If a program is not well formed.
    """
    largest = 0.0
    for ours, theirs in zip(*_probe([first, second], steps, _persistent if persistent else _array), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            if not np.array_equal(np.isfinite(a), np.isfinite(b)):
                return math.inf
            finite = np.isfinite(a)
            if finite.any() and (gap := np.abs(a[finite] - b[finite]).max()) > 0.0:
                largest = max(largest, float(gap / max(np.abs(a[finite]).max(), np.abs(b[finite]).max())))
    return largest


def gaps(first: Program, second: Program) -> tuple[Gap, ...]:
    """Find why the updates of two programs differ at extreme points in 32-bit floats.

    The points are zeros, numbers too small for full precision, huge and infinite numbers, and NaN. Differences by
    rounding or in the sign of zero do not count.

    Returns:
        The gaps; empty if the updates are the same.

    Raises:
        ProgramError: If a program is not well formed.
    """
    found: dict[Gap, None] = {}
    for one, other in zip(_narrow_updates(first), _narrow_updates(second), strict=True):
        found |= dict.fromkeys(gaps_between(one, other))
    return tuple(gap for gap in Gap if gap in found)


def gaps_between(one: np.ndarray, other: np.ndarray) -> tuple[Gap, ...]:
    """Find the gaps between two arrays of 32-bit floats, beyond a few roundings and the sign of zero."""
    a, b = np.broadcast_arrays(one.astype(np.float64), other.astype(np.float64))
    no_number = np.isnan(a) != np.isnan(b)
    finite = np.isfinite(a) & np.isfinite(b)
    infinite = ~np.isnan(a) & ~np.isnan(b) & ~finite & (a != b)
    a, b = np.where(finite, a, 0.0), np.where(finite, b, 0.0)
    smaller, larger = np.minimum(np.abs(a), np.abs(b)), np.maximum(np.abs(a), np.abs(b))
    apart = np.abs(a - b) > _NARROW_ROUNDING * larger + _TINY
    lost = apart & (smaller < _TINY)
    ways = {
        Gap.OVERFLOW: infinite,
        Gap.UNDERFLOW: lost,
        Gap.NAN: no_number,
        Gap.ROUNDING: apart & ~lost,
    }
    return tuple(gap for gap, places in ways.items() if places.any())


@lru_cache(maxsize=8)  # a step starts from the program that the previous one led to
def _narrow_updates(program: Program) -> tuple[np.ndarray, ...]:
    """Return a program's updates at extreme points in NumPy (float32)."""
    updates = []
    facts = check(program)
    with np.errstate(all="ignore"):
        for sizes in _EXTREMES:
            points = np.array([*sizes, *(-size for size in sizes)], np.float32)
            weights = (np.roll(points, 3),)
            state = zero_state(facts, weights, np.float32)
            for step in range(1, _EXTREME_STEPS + 1):
                gradient = (np.roll(points, 5 * (step - 1)),)
                update, state = numpy_step(program, weights, gradient, state, _RATE, step, np.float32)
                updates.append(update[0])
    return tuple(updates)


def _probe(some: Sequence[Program], steps: int, gradients: _Gradients) -> list[list[tuple[np.ndarray, ...]]]:
    """Return each program's updates, all at the weights that the first program's updates lead to."""
    weights = tuple(_array(shape, 0, place) for place, shape in enumerate(_SHAPES))
    states = [zero_state(check(program), weights) for program in some]
    updates = [[] for _ in some]
    with np.errstate(all="ignore"):
        for step in range(1, steps + 1):
            gradient = tuple(gradients(shape, step, place) for place, shape in enumerate(_SHAPES))
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


def _persistent(shape: tuple[int, ...], step: int, place: int) -> np.ndarray:
    """Make gradients that stay nearly the same for a period, then reverse and become smaller."""
    period = (step - 1) // PERIOD
    kept = (-0.3) ** (period % 2) * _array(shape, period // 2, place)
    return np.asarray(kept + 0.01 * _array(shape, step, place))
