"""How a process computes: what its scores depend on beside the versions of its packages."""

import functools
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from workers.compile_cache import open_compile_cache
from workers.devices import device_here


@dataclass(frozen=True)
class Arithmetic:
    """The arithmetic of a process; two that are equal give the same bits for the same training."""

    fingerprint: str  # of short probe trainings, as `tasks.probe_arithmetic` returns it
    processor: str = field(compare=False)  # the name of what computed them, for people

    def __str__(self) -> str:
        return f"{self.fingerprint} ({self.processor})"


UNKNOWN = Arithmetic("unknown", "nobody measured it")
"""The arithmetic of an evaluation that is not Pride's own, and of runs made before Pride measured it."""

Measure: TypeAlias = Callable[[], Arithmetic]
"""Returns the arithmetic of the process that calls it. For a RayPool it must be picklable."""


@functools.cache
def arithmetic_here() -> Arithmetic:
    """Measure the arithmetic of this process; imports JAX.

    Raises:
        DeviceError: If JAX cannot start its device.
    """
    open_compile_cache()
    device = device_here()
    import jax

    import tasks

    name = _processor() if device == "cpu" else jax.local_devices()[0].device_kind
    return Arithmetic(tasks.probe_arithmetic(), name)


def unmeasured() -> Arithmetic:
    """Return UNKNOWN, and import nothing."""
    return UNKNOWN


def _processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (names or [platform.processor() or platform.machine()])[0]
