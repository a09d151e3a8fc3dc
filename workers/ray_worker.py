"""What runs in a worker process of Ray, and what its death means."""

import os
import re
from collections.abc import Sequence

from workers.backlog import Evaluate, Failure, evaluate_together
from workers.evaluate import describe
from workers.job import Job, Result, Status

CPU_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "JAX_PLATFORMS": "cpu",
}

GPU_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_gpu_deterministic_ops=true",
    "JAX_PLATFORMS": "",
}


class Evaluator:
    """What runs in a worker process."""

    def __init__(self, environment: dict[str, str]) -> None:
        """Set environment variables, before anything that reads them is imported.

        `evaluate` arrives with `start`. A runtime_env would do the same, but then no process that
        Ray holds ready could be used.
        """
        os.environ.update(environment)

    def start(self, evaluate: Evaluate, warm: Job | None) -> None:
        """Take what later calls evaluate with, and try it."""
        self._evaluate = evaluate
        if warm is not None:
            evaluate([warm])

    def run(self, jobs: Sequence[Job]) -> list[Result] | Failure:
        """Evaluate jobs once."""
        return evaluate_together(self._evaluate, jobs)


def cause_of_death(error: Exception) -> tuple[Status, str]:
    """Return what a Ray error means for a job, and why: what was raised, or how the worker died."""
    from ray.exceptions import ActorDiedError, OutOfMemoryError, RayTaskError, TaskCancelledError

    if isinstance(error, OutOfMemoryError):
        return Status.OOM, "Ray ended the worker because its machine ran out of memory"
    if isinstance(error, TaskCancelledError):  # what Ray makes of it
        return Status.CRASHED, "KeyboardInterrupt in the worker"
    if isinstance(error, RayTaskError):
        return Status.CRASHED, describe(error.cause)
    if isinstance(error, ActorDiedError):
        code = re.search(r"exit code (\d+)", str(error))  # often unknown to Ray
        return Status.CRASHED, f"the worker died with exit code {code[1]}" if code else "the worker died"
    return Status.CRASHED, f"the worker is lost: {type(error).__name__}"
