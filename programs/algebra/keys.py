"""Two notions of sameness beside ``==``: the key (same dataflow) and the fingerprint (same behaviour)."""

import hashlib
import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from programs.algebra.simplification import normal_form
from programs.checking import check
from programs.execution import numpy_step, zero_state
from programs.program import Program

_PROBE_SHAPES = ((3, 4), (5,), ())
_PROBE_STEPS = 5
_PROBE_RATE = 0.7
_PROBE_DIGITS = 6  # significant ones


def key(program: Program) -> str:
    """Hash what a program computes: the key by which a search knows it again.

    Names, order, dead code (across steps), the order of state variables, commutativity, folding of constants and exact
    identities make no difference.

    Returns:
        64 hexadecimal digits (SHA-256).

    Raises:
        ProgramError: where the program is not well formed.
    """
    live = check(program).live
    lines = str(program).split("\n")[1 : len(live) + 1]
    text = tuple([line for line, alive in zip(lines, live, strict=True) if alive])
    return _key(_LiveText(text, program.update, program))


@dataclass(frozen=True)
class _LiveText:
    """What alone decides a program's key; most edits of a search touch dead statements and leave it as it was."""

    statements: tuple[str, ...]
    update: str
    program: Program = field(compare=False)


@lru_cache(maxsize=2048)  # a population of 1,000 and its children
def _key(live: _LiveText) -> str:
    graph = normal_form(live.program)
    labels = graph.state_labels
    digests = graph.digests(labels, range(len(graph.nodes)))
    # The update's digest looks a few steps ahead only; each label beside its next one says how the loop goes on.
    loop = sorted([labels[name] + digests[place] for name, place in graph.state.items()])
    return hashlib.sha256(b"".join([digests[graph.update], *loop])).hexdigest()


def fingerprint(program: Program) -> str:
    """Hash how a program behaves: its updates on fixed arrays over several steps, to six significant digits.

    Returns:
        64 hexadecimal digits (SHA-256). Equal for programs that behave alike on the probes, however they are written.

    Raises:
        ProgramError: where the program is not well formed.
    """
    digest = hashlib.sha256()
    for update in probe(program):
        for array in update:
            digest.update(",".join(f"{x:.{_PROBE_DIGITS - 1}e}" for x in array.ravel() + 0.0).encode())
    return digest.hexdigest()


def probe(program: Program, steps: int = _PROBE_STEPS) -> list[tuple[np.ndarray, ...]]:
    """Run a program in NumPy (float64) on fixed weights and gradients.

    Returns:
        The update of each step, a tuple of arrays of the shapes (3, 4), (5,) and ().

    Raises:
        ProgramError: where the program is not well formed.
    """
    weights = tuple(_probe_array(shape, 0, place) for place, shape in enumerate(_PROBE_SHAPES))
    state = zero_state(check(program), weights)
    updates = []
    with np.errstate(all="ignore"):
        for step in range(1, steps + 1):
            gradient = tuple(_probe_array(shape, step, place) for place, shape in enumerate(_PROBE_SHAPES))
            update, state = numpy_step(program, weights, gradient, state, _PROBE_RATE, step)
            weights = tuple(np.asarray(w - u) for w, u in zip(weights, update, strict=True))
            updates.append(update)
    return updates


def largest_difference(first: Program, second: Program, steps: int = 20) -> float:
    """Compare two programs' updates on the probes.

    Args:
        first: one program.
        second: the other.
        steps: how many to take.

    Returns:
        The largest difference of two elements, relative to the largest element of the array that both belong to;
        infinite where only one of them is no finite number.

    Raises:
        ProgramError: where a program is not well formed.
    """
    largest = 0.0
    for ours, theirs in zip(probe(first, steps), probe(second, steps), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            if not np.array_equal(np.isfinite(a), np.isfinite(b)):
                return math.inf
            finite = np.isfinite(a)
            if finite.any() and (gap := np.abs(a[finite] - b[finite]).max()) > 0.0:
                largest = max(largest, float(gap / max(np.abs(a[finite]).max(), np.abs(b[finite]).max())))
    return largest


def _probe_array(shape: tuple[int, ...], step: int, place: int) -> np.ndarray:
    """Make numbers in (-1, 1) from integers alone, so that every machine has the same ones."""
    size = int(np.prod(shape, dtype=np.int64))
    numbers = (np.arange(1, size + 1, dtype=np.int64) * 7919 + step * 104729 + place * 1299709) % 2003
    return (numbers / 1001.0 - 1.0).reshape(shape)
