"""What the tests of exports to several libraries share: one reference, and how far a module is from it."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from program_cases import RAW_WINNER, SEEDS, random_mutants

import programs
from programs.execution import execute

SHAPES = ((3, 4), (), (5,), (0,), (2, 3, 2, 2), (0, 3))
TOLERANCES = {"float32": 1e-6, "float64": 1e-10}
"""The largest relative error of an update, beyond what the rounding of the weights hides."""

ROUNDING = 30.0
"""By how many times its own rounding errors an update may be off, if a program amplifies them."""

Leaves = Sequence[np.ndarray]


class Stepper(Protocol):
    """An exported optimizer in a training: it takes weights and gradients, and returns the weights after one step."""

    def __call__(self, weights: Leaves, gradients: Leaves, rate: float) -> Leaves: ...


@dataclass(frozen=True)
class Worst:
    """How far a module was from its program.

    Attributes:
        error: The largest relative error of an update, beyond what the rounding of the weights hides.
        excess: The largest error relative to the error that is allowed.
        steps: How many steps were compared; fewer than requested if the program's numbers became infinite or NaN.
    """

    error: float
    excess: float
    steps: int


def subjects(mutants: int) -> dict[str, programs.Program]:
    """Return all seed programs, the paper's raw winner, and `mutants` mutants of seed programs."""
    found = {name: programs.load(name) for name in SEEDS} | {"raw winner": programs.parse(RAW_WINNER)}
    return found | {f"mutant {number}": each for number, each in enumerate(random_mutants(mutants, edits=8))}


def rates(steps: int) -> list[float]:
    """Return factors for the learning rate: a falling schedule."""
    return [1.0 / (1.0 + 0.25 * step) for step in range(steps)]


class Reference:
    """A program run step by step in NumPy; ``state`` holds the kind and the arrays of each state variable."""

    def __init__(self, program: programs.Program, shapes: Sequence[tuple[int, ...]], dtype: str):
        self._program, self._facts, self._dtype = program, programs.check(program), np.dtype(dtype)
        sizes = {
            programs.Kind.SCALAR: [()],
            programs.Kind.PER_ARRAY: [()] * len(shapes),
            programs.Kind.TENSOR: shapes,
        }
        kinds = self._facts.state_kinds
        self.state = {
            name: (kinds[name], tuple(np.zeros(shape, dtype) for shape in sizes[kinds[name]]))
            for name in self._facts.live_state
        }
        self._step = 0

    @np.errstate(all="ignore")
    def __call__(self, weights: Leaves, gradients: Leaves, rate: float) -> Leaves:
        """Return the update of the next step."""
        self._step += 1
        inputs = self.state | {
            "w": (programs.Kind.TENSOR, tuple(w.astype(self._dtype) for w in weights)),
            "g": (programs.Kind.TENSOR, tuple(g.astype(self._dtype) for g in gradients)),
            "lr": (programs.Kind.SCALAR, (self._dtype.type(rate),)),
            "t": (programs.Kind.SCALAR, (self._dtype.type(self._step),)),
        }
        like = [np.zeros(w.shape, self._dtype) for w in weights]
        update, self.state = execute(self._program, self._facts, np, like, inputs, self._dtype)
        return update


def walk(program: programs.Program, dtype: str, steps: int) -> Iterator[tuple[Leaves, Leaves, float, Leaves, Leaves]]:
    """Train with a program on random gradients, for as long as its numbers are finite.

    Yields:
        The weights, the gradients, the factor of the rate, the update, and its distance from the update in float64.
    """
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape).astype(dtype) for shape in SHAPES]
    plain, exact = Reference(program, SHAPES, dtype), Reference(program, SHAPES, "float64")
    for rate in rates(steps):
        gradients = [rng.normal(size=shape).astype(dtype) for shape in SHAPES]
        update = plain(weights, gradients, rate)
        precise = exact(weights, gradients, float(np.asarray(rate, dtype)))
        if not all(np.isfinite(x).all() for x in (*update, *precise)):
            return
        yield weights, gradients, rate, update, [abs(x - y) for x, y in zip(update, precise, strict=True)]
        with np.errstate(all="ignore"):
            weights = [(w - x).astype(dtype) for w, x in zip(weights, update, strict=True)]
        if not all(np.isfinite(w).all() for w in weights):
            return


def worst(program: programs.Program, stepper: Callable[[Leaves], Stepper], dtype: str, steps: int) -> Worst:
    """Compare a module with its program, at every step from the same weights."""
    error = excess = 0.0
    count, step = 0, None
    for weights, gradients, rate, update, rounding in walk(program, dtype, steps):
        step = step or stepper(weights)
        after = step(weights, gradients, rate)
        count += 1
        for w, x, moved, slack in zip(weights, update, after, rounding, strict=True):
            assert (moved.shape, moved.dtype) == (w.shape, np.dtype(dtype))
            if not w.size:
                continue
            size = np.abs(x, dtype=np.float64)
            hidden = np.finfo(dtype).eps * (np.abs(w, dtype=np.float64) + size) + np.finfo(dtype).tiny
            off = np.abs(np.float64(w) - np.float64(moved) - np.float64(x))
            off = np.where(np.isfinite(off), off, math.inf)
            error = max(error, float(np.max(np.maximum(off - hidden, 0.0) / (size + hidden))))
            excess = max(excess, float(np.max(off / (TOLERANCES[dtype] * size + hidden + ROUNDING * slack))))
    return Worst(error, excess, count)
