"""Starting Ray on this machine, closed to everyone else, or joining a running cluster."""

import logging
import os
import secrets
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from workers import ray_private, reaper
from workers.backlog import OnEvent
from workers.devices import jax_uses_gpus, jax_uses_tpus
from workers.errors import PoolError, describe
from workers.own_code import ROOT, import_paths, imports_from
from workers.ray_address import LOOPBACK, check_reachable, is_on_loopback_alone, show_token

PACKAGES = ("programs", "tasks", "workers", "evolve")
"""The folders that are sent to the workers of a cluster that is joined, side by side."""

EXCLUDES = ["__pycache__/", "*.pyc"]
"""What is left out of PACKAGES, as patterns of a .gitignore file."""

OBJECT_STORE_BYTES = 100 * 2**20
"""Jobs and results are small and travel with the calls, so Ray's object store stays empty."""


@contextmanager
def ray_connection(address: str | None, cores: int, on_event: OnEvent) -> Iterator[None]:
    """Connect this process to Ray, and disconnect at the end of the context.

    If the process is already connected, that connection is used and not closed.

    Args:
        address: Of a running cluster; None for the address in RAY_ADDRESS or, if that is not set,
          to start a cluster here and end it with the context.
        cores: CPUs of a cluster started here.
        on_event: Called with a note if the cluster is less private than it should be.

    Raises:
        PoolError: If Ray does not start, or cannot be joined.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    if address is not None:
        check_reachable(address)
    with ExitStack() as stack:
        on_loopback = address is None or is_on_loopback_alone(address)
        variables: dict[str, str | None] = {"RAY_USAGE_STATS_ENABLED": "0"}
        if on_loopback:
            variables |= ray_private.ON_LOOPBACK_ALONE
        stack.enter_context(_environment(variables))
        import ray

        if not ray.is_initialized():
            stack.enter_context(
                ray_private.constants_set(ENABLE_RAY_CLUSTER=not on_loopback, RAY_ENABLE_UV_RUN_RUNTIME_ENV=False)
            )
            stack.enter_context(_start_here(cores) if address is None else _join(address, on_event))
            if address is None and (host := ray.util.get_node_ip_address()) != LOOPBACK:
                on_event(f"Ray listens on {host}, guarded by a token")
        yield


@contextmanager
def _start_here(cores: int) -> Iterator[None]:
    with _private_directory() as directory:
        token = directory / "token"
        with open(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        # By default Ray then requires the token for a cluster that it starts; the user's settings for other clusters
        # must not change that.
        with (
            _environment({"RAY_AUTH_TOKEN_PATH": str(token), "RAY_AUTH_MODE": None, "RAY_AUTH_TOKEN": None}),
            _initialised(
                "Ray does not start",
                address="local",
                job_config=ray_private.job_config([*import_paths(), *filter(imports_from, [os.getcwd()])]),
                num_cpus=cores,
                **_accelerators_without_jax(),
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                **ray_private.place(LOOPBACK, directory / "ray"),
            ),
        ):
            yield


def _accelerators_without_jax() -> dict[str, Any]:
    """Return the settings that make Ray ignore accelerators that the JAX installed here cannot use."""
    settings: dict[str, Any] = {}
    if not jax_uses_gpus():
        settings["num_gpus"] = 0
    if not jax_uses_tpus():
        settings["resources"] = {"TPU": 0}
    return settings


@contextmanager
def _join(address: str, on_event: OnEvent) -> Iterator[None]:
    """Join a cluster, and have its workers import Pride as it is here, whatever version they have installed.

    Only the four packages are sent, and nothing else in the folder that holds them.
    """
    show_token(address)
    with _initialised(
        f"cannot join Ray at {address}",
        address=address,
        job_config=ray_private.job_config([]),
        runtime_env={"py_modules": [str(ROOT / package) for package in PACKAGES], "excludes": EXCLUDES},
    ):
        if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
            on_event(f"Ray at {address} asks for no token: whoever can reach it can run code on it")
        yield


@contextmanager
def _initialised(failure: str, **settings: Any) -> Iterator[None]:
    import ray

    with ray_private.death_notices_off():
        try:
            ray_private.forget_token()
            try:
                with _process_kept():
                    ray.init(log_to_driver=False, logging_level=logging.ERROR, **settings)
            except Exception as error:
                raise PoolError(f"{failure}: {describe(error)}") from error
            yield
        finally:
            ray.shutdown()


@contextmanager
def _process_kept() -> Iterator[None]:
    """Prevent or undo what `ray.init` does to this process, and silence a needless warning.

    Ray makes this process the leader of a new group, after which Ctrl-C in a terminal no longer reaches the process if
    another one, such as make, leads the job. Once it is back in its group, this process gets Ctrl-C, and Ray's
    processes, which remain in the new group, do not. JAX, once in use, warns of any fork; Ray's forks call exec.
    """
    group = os.getpgrp()
    try:
        with warnings.catch_warnings(), ray_private.sigterm_handler_kept():
            warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
            yield
    finally:
        if os.getpgrp() != group:
            with suppress(OSError):  # the group has ended
                os.setpgid(0, group)


@contextmanager
def _private_directory() -> Iterator[Path]:
    """Make a directory for this user alone, and start a process that removes it.

    That process ends whatever this one leaves running below the directory, even if this one is killed.
    """
    # Not in TMPDIR: the path of a socket may have at most 107 characters, of which Ray uses 70.
    directory = Path(tempfile.mkdtemp(prefix="pride-ray-", dir="/tmp"))
    with subprocess.Popen(
        [sys.executable, "-I", "-S", reaper.__file__, str(directory)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    ):
        # At the end of the context, Popen closes the pipe, the signal to clean up, and waits.
        yield directory


@contextmanager
def _environment(variables: dict[str, str | None]) -> Iterator[None]:
    """Set environment variables, or remove those given as None; at the end restore them, and the one that Ray sets."""
    before = {name: os.environ.get(name) for name in (*variables, "RAY_AUTH_MODE")}
    _set_environment(variables)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
