"""Constant folding: a call on numbers becomes its value if 32-bit floats, in which programs mostly run, agree."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from programs.dataflow import COMMUTATIVE, Number
from programs.functions import FUNCTIONS

_ROUNDING = 1e-6  # relative: a few roundings of a 32-bit float
_SPREAD, _STEADY = 4e-6, 1e-4  # relative: the error of a computed number, and the most it may change a result
_SMALLEST = float(np.finfo(np.float32).smallest_normal)  # below it XLA may return zero


def fold(function: str, numbers: Sequence[Number]) -> Number | None:
    """Compute a call whose arguments are all numbers.

    Programs mostly run in 32-bit floats, so the call is computed in both precisions, and the results must agree. A
    computed number is known only up to a few roundings, which must not matter either.

    Returns:
        The number; None if it is not finite, or differs in 32-bit floats.
    """
    values = [tuple(value.hex() for value in number if value is not None) for number in numbers]
    return _fold(function, tuple(sorted(values) if function in COMMUTATIVE else values))


@lru_cache(maxsize=4096)
def _fold(function: str, numbers: tuple[tuple[str, ...], ...]) -> Number | None:  # as text, to distinguish -0.0
    values = [[float.fromhex(value) for value in number] for number in numbers]
    wide = _call(function, np.float64, [value[0] for value in values])
    narrow = _call(function, np.float32, [value[-1] for value in values])
    if not math.isfinite(wide) or any(0.0 < abs(x) < _SMALLEST for x in (narrow, *(value[-1] for value in values))):
        return None
    if not abs(wide - narrow) <= _ROUNDING * abs(wide):
        return None
    for factor in (1.0 - _SPREAD, 1.0 + _SPREAD) if max(map(len, values), default=1) > 1 else ():
        near = _call(function, np.float64, [value[0] * factor if len(value) > 1 else value[0] for value in values])
        if not abs(wide - near) <= _STEADY * abs(wide):
            return None
    same_everywhere = not FUNCTIONS[function].transcendentals and narrow == np.float32(wide)
    return Number(wide) if same_everywhere else Number(wide, narrow)


def _call(function: str, dtype: type, values: list[float]) -> float:
    row = FUNCTIONS[function]
    with np.errstate(all="ignore"):
        arguments = [dtype(value) for value in values]
        result = row.body(np, *(arguments if row.leafwise else ((argument,) for argument in arguments)))
    return float(result[0] if isinstance(result, tuple) else result)
