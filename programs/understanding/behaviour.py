"""A program's behaviour, measured: the most similar seed programs, the size of its updates, its weight decay.

All measurements use NumPy (float64) on fixed arrays that are computed from integers alone.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from programs.algebra.keys import key
from programs.checking import check
from programs.execution import numpy_step, zero_state
from programs.library import load, seed_programs
from programs.program import Program

_SHAPES = ((4, 4), (6,))
_STEPS = 24  # of the trajectory on which programs are compared
_CURVATURES = (0.3, 5.0)  # of the quadratic that the trajectory descends, smallest and largest
_STEP_SIZE = 0.1
_NOISE = 0.003  # of the gradients, relative to the curvature and the size of the weights
_MIXERS = (2654435761, 73244475, 73244475)  # odd, below 2^32
_DIGITS = 3  # of a cosine when shown; twice as many decide which is larger
NEAREST = 3
NOISE_STEPS = 100  # of unit-variance noise, before an update is measured
_MEASURED_STEPS = 30  # the last steps, over which its size is averaged
_WEIGHT_SIZE = 0.1  # root mean square of the weights during the measurement
SILENT_STEPS = 20  # without a gradient, over which the shrinkage is averaged

Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Neighbour:
    """A seed program and how similar its updates are.

    Attributes:
        name: The name of the seed program.
        cosine: The mean cosine of the angle between the two programs' updates, -1 to 1, to three digits.
    """

    name: str
    cosine: float


@dataclass(frozen=True)
class Measured:
    """Measurements of a program with ``lr`` 1.

    Attributes:
        update_size: The root mean square of an update's elements at the end of ``NOISE_STEPS`` steps with gradients of
            noise with variance 1, at weights of root mean square 0.1; None if it is not finite.
        update_power: The power of ``lr`` to which the update's size is proportional: 1 if half the rate halves the
            update; None if there is no update.
        shrinkage: The fraction of the weights that a step takes away, averaged over the first ``SILENT_STEPS`` steps
            without a gradient, not counting what is the same for weights of opposite sign; None if it is not finite.
    """

    update_size: float | None
    update_power: float | None
    shrinkage: float | None


def nearest_seeds(program: Program, count: int = NEAREST) -> tuple[Neighbour, ...]:
    """Find the seed programs whose updates have the most similar directions, except those with the same key.

    All programs see the same weights and gradients: 24 steps of gradient descent on a badly scaled quadratic with a
    little noise, so that some gradients shrink a lot and then change sign. The size of updates counts only if the
    directions are the same: then the programs whose updates grow and shrink alike over the steps come first.

    Raises:
        ProgramError: If the program is not well formed.
    """
    own, own_key = _course(program), key(program)
    found = []
    for name, course in _seed_courses().items():
        cosine = float(np.mean(np.sum(own.directions * course.directions, axis=1)))
        rank = (-round(cosine, 2 * _DIGITS), -round(_cosine(own.sizes, course.sizes), 2 * _DIGITS), name)
        found.append((rank, Neighbour(name, round(cosine, _DIGITS) + 0.0)))
    others = (neighbour for _, neighbour in sorted(found, key=lambda pair: pair[0]))
    return tuple(itertools.islice((other for other in others if key(load(other.name)) != own_key), count))


def measure(program: Program) -> Measured:
    """Measure the size of a program's updates and how much it shrinks the weights, with ``lr`` 1.

    Raises:
        ProgramError: If the program is not well formed.
    """
    with np.errstate(all="ignore"):
        whole, half = (_update_size(program, rate) for rate in (1.0, 0.5))
        power = _finite(np.round(np.log2(whole / half), _DIGITS) + 0.0) if whole and half else None
        return Measured(whole, power, _shrinkage(program))


def _update_size(program: Program, rate: float) -> float | None:
    """Return the root mean square of late updates on noise; None if it is not finite."""
    weights = tuple(_WEIGHT_SIZE * noise for noise in _noises(0))
    squares = []
    inputs = ((weights, _noises(step)) for step in range(1, NOISE_STEPS + 1))
    for update in _updates(program, inputs, rate):
        squares.append(np.mean(np.square(_flat(update))))
    return _finite(np.sqrt(np.mean(squares[-_MEASURED_STEPS:])))


def _shrinkage(program: Program) -> float | None:
    """Return the mean fraction of the weights that steps without a gradient take away; None if it is not finite.

    The updates are compared with those at the opposite weights and their differences halved: an update that moves both
    alike is not decay.
    """
    weights = _noises(0)
    flat = _flat(weights)
    pairs = zip(_silent_updates(program, weights), _silent_updates(program, tuple(-x for x in weights)), strict=True)
    return _finite(np.mean([np.dot(here - there, flat) / 2.0 / np.dot(flat, flat) for here, there in pairs]))


def _silent_updates(program: Program, weights: Arrays) -> Iterator[np.ndarray]:
    """Yield a program's updates without a gradient, at weights that stay fixed."""
    silence = tuple(np.zeros(shape) for shape in _SHAPES)
    inputs = ((weights, silence) for _ in range(SILENT_STEPS))
    return (_flat(update) for update in _updates(program, inputs, 1.0))


def _updates(program: Program, inputs: Iterator[tuple[Arrays, Arrays]], rate: float) -> Iterator[Arrays]:
    """Yield a program's updates on given weights and gradients, to which they are not applied."""
    state = zero_state(check(program), tuple(np.zeros(shape) for shape in _SHAPES))
    for step, (weights, gradient) in enumerate(inputs, start=1):
        update, state = numpy_step(program, weights, gradient, state, rate, step)
        yield update


@dataclass(frozen=True)
class _Course:
    """A program's updates along the common trajectory.

    Attributes:
        directions: Each update scaled to length 1, shape (steps, weights); 0 if that is not finite.
        sizes: The lengths of the updates, shape (steps,); 0 if not finite.
    """

    directions: np.ndarray
    sizes: np.ndarray


def _course(program: Program) -> _Course:
    with np.errstate(all="ignore"):
        updates = np.stack([_flat(update) for update in _updates(program, iter(_trajectory()), 1.0)])
        scaled = updates / np.max(np.abs(updates), axis=1, keepdims=True)  # so that no square overflows
        directions = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
        sizes = np.linalg.norm(updates, axis=1)
    directed = np.isfinite(directions).all(axis=1)
    return _Course(np.where(directed[:, None], directions, 0.0), np.where(directed & np.isfinite(sizes), sizes, 0.0))


@cache
def _seed_courses() -> dict[str, _Course]:
    return {name: _course(load(name)) for name in seed_programs()}


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Return the cosine of the angle between two nonnegative vectors; 0 if one of them is 0."""
    one, other = (x / max(np.max(x), np.finfo(np.float64).tiny) for x in (one, other))
    length = np.linalg.norm(one) * np.linalg.norm(other)
    return float(np.dot(one, other) / length) if length else 0.0


@cache
def _trajectory() -> tuple[tuple[Arrays, Arrays], ...]:
    """Return the weights and gradients of each step."""
    weights = tuple(_WEIGHT_SIZE * noise for noise in _noises(0))
    curvatures = tuple(_spread(shape, *_CURVATURES) for shape in _SHAPES)
    path = []
    for step in range(1, _STEPS + 1):
        gradient = tuple(
            np.asarray(c * (w + _NOISE * _WEIGHT_SIZE * n))
            for c, w, n in zip(curvatures, weights, _noises(step), strict=True)
        )
        path.append((weights, gradient))
        weights = tuple(np.asarray(w - _STEP_SIZE * g) for w, g in zip(weights, gradient, strict=True))
    return tuple(path)


def _spread(shape: tuple[int, ...], first: float, last: float) -> np.ndarray:
    """Make numbers from the first to the last, evenly spaced on a logarithmic scale."""
    return np.geomspace(first, last, int(np.prod(shape))).reshape(shape)


@cache
def _noises(step: int) -> Arrays:
    """Make arrays of pseudo-random numbers, spread evenly about 0, with a mean square of 1 over all arrays."""
    arrays = tuple(_noise(shape, step, place) for place, shape in enumerate(_SHAPES))
    size = np.sqrt(np.mean(np.square(_flat(arrays))))
    return tuple(np.asarray(array / size) for array in arrays)


def _noise(shape: tuple[int, ...], step: int, place: int) -> np.ndarray:
    """Make numbers from -1 to 1 from integers alone, so that they are the same on every machine."""
    mixed = np.arange(int(np.prod(shape)), dtype=np.uint64) + np.uint64(1000 * step + 100 * place + 1)
    for factor in _MIXERS:
        mixed = (mixed * np.uint64(factor)) % np.uint64(2**32)
        mixed = mixed ^ (mixed >> np.uint64(16))
    return ((mixed.astype(np.float64) + 0.5) / 2**31 - 1.0).reshape(shape)


def _flat(arrays: Arrays) -> np.ndarray:
    return np.concatenate([np.ravel(array) for array in arrays])


def _finite(number: np.floating) -> float | None:
    return float(number) if np.isfinite(number) else None
