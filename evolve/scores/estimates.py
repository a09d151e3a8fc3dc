"""Means over rng seeds with their confidence intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit


@dataclass(frozen=True)
class Estimate:
    """A mean over rng seeds, with the half-width of its 95 % confidence interval (Student's t); infinite for one."""

    mean: float
    half_width: float

    def __str__(self) -> str:
        if not math.isfinite(self.mean):
            return "diverged"
        return f"{self.mean:.4f}" + (f" ± {self.half_width:.4f}" if math.isfinite(self.half_width) else "")


def estimate(values: Sequence[float]) -> Estimate:
    """Return an estimate of the mean of independent values."""
    count = len(values)
    if not count or not np.all(np.isfinite(values)):
        return Estimate(math.inf, math.inf)
    if count == 1:
        return Estimate(float(values[0]), math.inf)
    error = float(np.std(values, ddof=1)) / math.sqrt(count)
    return Estimate(float(np.mean(values)), float(stdtrit(count - 1, 0.975)) * error)
