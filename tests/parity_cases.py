"""What a parity case is: a program of the language, and a reference that it must agree with over a whole training."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import optax

RTOL = 1e-5  # of float32 against float32, or against float64; a case with another tolerance gives its reason
FROM_THE_SOURCE = "NumPy float64, from the equations of the source"

Arrays = list[np.ndarray]
Reference = Callable[[Arrays, Arrays, Any, int], tuple[Arrays, Any]]


@dataclass(frozen=True)
class ParityCase:
    """A program compared with an Optax transformation.

    Attributes:
        program: The name of a seed program.
        against: The transformation as shown to people, e.g. ``optax.lion(0.0001, weight_decay=0.1)``.
        make: Makes the transformation; called under JAX's standard dtype promotion.
        rtol: The largest relative error of a weight, at any step, that still counts as agreement.
        reason: Why rtol is not RTOL; empty if it is.
    """

    program: str
    against: str
    make: Callable[[], optax.GradientTransformation]
    rtol: float = RTOL
    reason: str = ""


@dataclass(frozen=True)
class NumpyCase:
    """A program compared with a step written in NumPy in float64.

    Attributes:
        program: The name of a seed program.
        against: The reference as shown to people; mostly FROM_THE_SOURCE.
        reference: ``reference(w, g, state, t)`` returns ``(update, state)``. ``w``, ``g`` and ``update`` are lists of
            one float64 array per weight array; the training computes ``w - update``. ``t`` counts from 1. ``state``
            is None at the first step, and later what the reference returned. It changes no array in place.
        rtol: As in ParityCase.
        reason: As in ParityCase.
    """

    program: str
    against: str
    reference: Reference
    rtol: float = RTOL
    reason: str = ""
