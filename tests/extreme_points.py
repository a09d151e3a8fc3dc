"""Both sides of a rule at extreme points in 32-bit floats, and how they differ there."""

import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from programs.algebra.derivation import Gap
from programs.algebra.folding import fold
from programs.algebra.probes import gaps_between
from programs.algebra.rewriting import side_of
from programs.algebra.rules import Given, Rule
from programs.dataflow import Graph, Input, Number
from programs.functions import FUNCTIONS

_SIZES = [0.0, 1e-45, 1e-39, 2e-38, 1e-30, 1e-20, 1e-8, 0.1, 0.5, 1.0, 1.5, 3.0, 40.0, 1e4, 1e10, 1e20, 1e30, 2e38]
_TOP = float(np.finfo(np.float32).max)
POINTS = np.array([*_SIZES, *(-x for x in _SIZES), _TOP, -_TOP, np.inf, -np.inf, np.nan], np.float32)
_COUNT = 6000  # of drawn points, for rules of three values or more
_ARRAYS = 400  # of drawn arrays, for functions of whole arrays
_NUMBERS = (0.375, 0.625, 1.7, -1.7, 2.5, 1e-3, 1e25, 1e-25, 1e12)
_OTHERS = {"k": (2.5, 1e25, 1e-25), "e": (1.109, 1e25), "p": (0.3, 0.9, 1e-25)}


def numbers_of(rule: Rule) -> Iterator[dict[str, float]]:
    """Yield numbers for the letters b, c, d, e, k and p of a rule."""
    letters = [letter for letter in "bcdekp" if _reads(rule, letter)]
    for values in itertools.product(*(_OTHERS.get(letter, _NUMBERS) for letter in letters)):
        found = dict(zip(letters, values, strict=True))
        if rule.given is Given.RECIPROCALS:
            found["d"] = 1.0 / found["c"]
        elif rule.given in (Given.COMPLEMENTS, Given.NEAR_COMPLEMENTS):
            found |= {"c": 0.375, "d": 0.625 if rule.given is Given.COMPLEMENTS else 0.62500003}
        if rule.given is not Given.ASCENDING or found["c"] <= found["d"]:
            yield found


def _reads(rule: Rule, letter: str) -> bool:
    return any(node == Input(letter) for node in side_of(rule.pattern).nodes)


def gaps_of(rule: Rule) -> set[Gap]:
    """Return the ways in which the two sides of a rule differ."""
    found: set[Gap] = set()
    sides = [side_of(rule.pattern), side_of(rule.replacement)]
    whole = any(node.function and not FUNCTIONS[node.function].elementwise for side in sides for node in side.nodes)
    names = sorted({node.name for side in sides for node in side.nodes if isinstance(node, Input)} - set("bcdkep"))
    with np.errstate(all="ignore"):
        for numbers in numbers_of(rule):
            for values in _arrays(names) if whole else [_points(names)]:
                one, other = (_evaluated(side, values, numbers) for side in sides)
                if one is not None and other is not None:
                    found |= set(gaps_between(one, other))
    return found


def _points(names: list[str]) -> dict[str, np.ndarray]:
    if len(names) < 3:
        grid = np.meshgrid(*[POINTS] * len(names), indexing="ij")
        values = {name: axis.ravel() for name, axis in zip(names, grid, strict=True)}
    else:
        rng = np.random.default_rng(len(names))
        values = {name: rng.choice(POINTS, _COUNT) for name in names}
    return {name: np.abs(x) if name == "n" else x for name, x in values.items()}


def _arrays(names: list[str]) -> Iterator[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    for _ in range(_ARRAYS):
        near = POINTS if rng.random() < 0.5 else POINTS[np.isfinite(POINTS)]
        yield {name: rng.choice(near, ()) if name == "a" else rng.choice(near, 2) for name in names}


def _evaluated(side: Graph, values: Mapping[str, np.ndarray], numbers: Mapping[str, float]) -> np.ndarray | None:
    """Compute a side; None if a call on numbers has no value in 32-bit floats, so that the rule does not apply."""
    known: list[np.ndarray | Number] = []
    for node in side.nodes:
        if isinstance(node, Number):
            known.append(node)
        elif isinstance(node, Input):
            known.append(values[node.name] if node.name in values else Number(numbers[node.name]))
        else:
            arguments = [known[place] for place in node.arguments]
            numbers_alone = [x for x in arguments if isinstance(x, Number)]
            if len(numbers_alone) == len(arguments):
                number = fold(node.function, numbers_alone)
                if number is None:
                    return None
                known.append(number)
                continue
            row = FUNCTIONS[node.function]
            given = [np.float32(x.value) if isinstance(x, Number) else x for x in arguments]
            result = row.body(np, *given) if row.leafwise else row.body(np, *((x,) for x in given))
            known.append(np.asarray(result[0] if isinstance(result, tuple) else result, np.float32))
    last = known[side.update]
    return np.asarray(last.value if isinstance(last, Number) else last, np.float32)
