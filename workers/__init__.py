"""Evaluation of candidates: a Job in, a Result out; in this process or on Ray.

Importing this package imports neither JAX nor Ray: the first evaluation imports JAX, the first
RayPool imports Ray.
"""

from workers.arithmetic import UNKNOWN, Arithmetic, arithmetic_here
from workers.cores import default_workers
from workers.devices import device_here
from workers.errors import DeviceError, PoolError
from workers.in_process import evaluate
from workers.job import FAILURES, TOO_LARGE, Job, Result, Status
from workers.pool import Pool, SerialPool
from workers.ray_pool import RayPool
from workers.ray_worker import cause_of_death

__all__ = [
    "FAILURES",
    "TOO_LARGE",
    "UNKNOWN",
    "Arithmetic",
    "DeviceError",
    "Job",
    "Pool",
    "PoolError",
    "RayPool",
    "Result",
    "SerialPool",
    "Status",
    "arithmetic_here",
    "cause_of_death",
    "default_workers",
    "device_here",
    "evaluate",
]
