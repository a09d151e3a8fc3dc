"""What runs in a worker process of Ray, and what the death of such a process means."""

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
"""The packages whose versions scores depend on."""


class WorkerMismatchError(RuntimeError):
    """Raised if a worker computes on another device than the driver expects, or with other package versions."""


@dataclass(frozen=True)
class Identity:
    """Who a worker is that has started."""

    node: str  # the name of its machine
    arithmetic: Arithmetic


@dataclass(frozen=True)
class Expected:
    """The device and versions that a worker must have, so that all workers compute the same scores."""

    device: str  # as JAX names its platforms
    versions: Mapping[str, str]  # package versions, by package name


UNSTARTED_S = 20.0
"""Seconds after which a worker ends if its `start` is not called.

If an actor is killed while Ray makes it, its process may remain, and keep its CPU from other workers for ever.
"""


class Evaluator:
    """Ray's actor, which evaluates jobs in a worker process."""

    def __init__(self, environment: Mapping[str, str], unstarted_s: float = UNSTARTED_S) -> None:
        """Set environment variables before anything that reads them is imported.

        That is why `evaluate` comes with `start`. A runtime_env would set the variables too, but then
        none of the processes that Ray keeps ready could be used.
        """
        os.environ.update(environment)
        self._unstarted = threading.Timer(unstarted_s, os._exit, (1,))
        self._unstarted.daemon = True
        self._unstarted.start()

    def start(self, evaluate: Evaluate, warm: Job | None, expected: Expected, measure: Measure) -> Identity:
        """Store the function that later calls evaluate with, and warm it up.

        Returns:
            What this process is; whether its arithmetic is the right one, the driver judges.

        Raises:
            WorkerMismatchError: If this process is not as expected.
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
    """Return this process's versions of the packages that scores depend on."""
    return {name: _version(name) for name in PACKAGES}


def check_worker(expected: Expected) -> None:
    """Check that this process has the device and versions that the driver expects.

    Imports JAX if an accelerator is expected: without its plugin for it, JAX would silently use the CPU.

    Raises:
        WorkerMismatchError: If the device or a version differs.
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
    if expected.device == "cpu":  # the environment of such a worker allows nothing else
        return
    import jax

    if (found := jax.default_backend()) != expected.device:
        extra = {"gpu": "cuda"}.get(expected.device, expected.device)
        raise WorkerMismatchError(
            f"node {platform.node()} has a {expected.device.upper()} according to Ray, but its JAX computes on the "
            f"{found}: install pride[{extra}] on every such node, or start Ray there without it"
        )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def cause_of_death(error: Exception) -> tuple[Status, str]:
    """Return the status that a Ray error means for a job, and the reason: what was raised, or how the worker died."""
    from ray.exceptions import ActorDiedError, OutOfMemoryError, RayTaskError, TaskCancelledError

    if isinstance(error, OutOfMemoryError):
        return Status.OOM, "Ray ended the worker because its machine ran out of memory"
    if isinstance(error, TaskCancelledError):  # Ray's name for a KeyboardInterrupt in a worker
        return Status.CRASHED, "KeyboardInterrupt in the worker"
    if isinstance(error, RayTaskError):
        return Status.CRASHED, describe(error.cause)
    if isinstance(error, ActorDiedError):
        code = re.search(r"exit code (\d+)", str(error))  # often unknown to Ray
        return Status.CRASHED, f"the worker died with exit code {code[1]}" if code else "the worker died"
    return Status.CRASHED, f"the worker is lost: {type(error).__name__}"
