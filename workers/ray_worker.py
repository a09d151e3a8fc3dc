"""What runs in a worker process of Ray, and what its death means."""

import importlib.metadata
import os
import platform
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workers.arithmetic import Arithmetic, Measure
from workers.backlog import Evaluate, Failure, evaluate_together
from workers.errors import describe
from workers.job import Job, Result, Status

PACKAGES = ("jax", "jaxlib", "optax", "numpy")
"""Whose versions scores depend on."""


class WorkerMismatchError(RuntimeError):
    """A worker computes on something else than the driver was told, or with other packages."""


@dataclass(frozen=True)
class Identity:
    """Who a worker is that has started."""

    node: str  # the name of its machine
    arithmetic: Arithmetic


@dataclass(frozen=True)
class Expected:
    """What a worker must be like, so that its scores are those of every other."""

    device: str  # as JAX names its platforms
    versions: Mapping[str, str]  # of packages, by their names


UNSTARTED_S = 20.0
"""Seconds after which a worker ends that nobody starts.

Where an actor is killed while Ray makes it, its process may stay, and keep its processor from others for ever.
"""


class Evaluator:
    """What runs in a worker process."""

    def __init__(self, environment: Mapping[str, str], unstarted_s: float = UNSTARTED_S) -> None:
        """Set environment variables, before anything that reads them is imported.

        `evaluate` arrives with `start`. A runtime_env would do the same, but then no process that
        Ray holds ready could be used.
        """
        os.environ.update(environment)
        self._unstarted = threading.Timer(unstarted_s, os._exit, (1,))
        self._unstarted.daemon = True
        self._unstarted.start()

    def start(self, evaluate: Evaluate, warm: Job | None, expected: Expected, measure: Measure) -> Identity:
        """Take what later calls evaluate with, and try it.

        Returns:
            What this process is; whether its arithmetic is the right one, the driver judges.

        Raises:
            WorkerMismatchError: This process is not as expected.
        """
        self._unstarted.cancel()
        check_worker(expected)
        self._evaluate = evaluate
        arithmetic = measure()
        if warm is not None:
            evaluate([warm])
        return Identity(platform.node(), arithmetic)

    def run(self, jobs: Sequence[Job]) -> list[Result] | Failure:
        """Evaluate jobs once."""
        return evaluate_together(self._evaluate, jobs)


def versions_here() -> dict[str, str]:
    """Return the versions in this process of the packages that scores depend on."""
    return {name: _version(name) for name in PACKAGES}


def check_worker(expected: Expected) -> None:
    """Make sure that this process is as the driver expects it.

    Imports JAX where an accelerator is expected: without what it needs for that one, JAX would quietly use the CPU.

    Raises:
        WorkerMismatchError: It is not.
    """
    here = versions_here()
    other = [
        f"{name} {here.get(name)} instead of {version}"
        for name, version in expected.versions.items()
        if here.get(name) != version
    ]
    if other:
        raise WorkerMismatchError(
            f"node {platform.node()} has {'; '.join(other)}, which the driver has: install the same versions everywhere"
        )
    if expected.device == "cpu":  # what the environment of such a worker leaves
        return
    import jax

    if (found := jax.default_backend()) != expected.device:
        extra = {"gpu": "cuda"}.get(expected.device, expected.device)
        raise WorkerMismatchError(
            f"node {platform.node()} has a {expected.device.upper()} by Ray's count, but its JAX computes on the "
            f"{found}: install pride[{extra}] on every such node, or start Ray there without it"
        )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


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
