"""Starting Ray on this machine, closed to everyone else, or joining a running cluster."""

import logging
import os
import secrets
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from workers import reaper
from workers.backlog import OnEvent
from workers.devices import jax_uses_gpus, jax_uses_tpus
from workers.errors import PoolError, describe
from workers.own_code import ROOT, import_paths, imports_from
from workers.ray_address import LOOPBACK, check_reachable, is_on_loopback_alone, raylet, show_token

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
            # For Ray's processes, and for this one if it has not imported Ray yet. Without it Ray
            # replaces 127.0.0.1 by the machine's address and listens on all interfaces.
            variables["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        stack.enter_context(_environment(variables))
        import ray

        if not ray.is_initialized():
            stack.enter_context(_ray_set(ENABLE_RAY_CLUSTER=not on_loopback, RAY_ENABLE_UV_RUN_RUNTIME_ENV=False))
            stack.enter_context(_start_here(cores) if address is None else _join(address, on_event))
            if address is None and (host := ray.util.get_node_ip_address()) != LOOPBACK:
                on_event(f"Ray listens on {host}, guarded by a token")
        yield


@contextmanager
def _ray_set(**constants: bool) -> Iterator[None]:
    """Change constants that Ray made from the environment when this process imported it, and put them back.

    ENABLE_RAY_CLUSTER: Whether Ray looks for clusters beyond loopback. RAY_ENABLE_UV_RUN_RUNTIME_ENV: Whether, below
    `uv run`, Ray sends the current folder to the workers, for them to import from.
    """
    from ray._private import ray_constants

    before = {name: getattr(ray_constants, name) for name in constants}
    try:
        for name, value in constants.items():
            setattr(ray_constants, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(ray_constants, name, value)


def _job_config(paths: Sequence[str]) -> Any:
    """Return settings of Ray by which workers import from these folders, before those of their Python.

    By default Ray adds the folder of the driver's script, and the current folder even if the driver itself does not
    import from it: a file there named like a module would run. It adds neither if the workers get a working directory.
    """
    from ray.job_config import JobConfig

    class Closed(JobConfig):
        def _runtime_env_has_working_dir(self) -> bool:
            return True

    return Closed(_py_driver_sys_path=list(paths))


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
                job_config=_job_config([*import_paths(), *filter(imports_from, [os.getcwd()])]),
                num_cpus=cores,
                **_accelerators_without_jax(),
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                _node_ip_address=LOOPBACK,
                _temp_dir=str(directory / "ray"),  # a folder that Ray opens to everyone
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
        job_config=_job_config([]),
        runtime_env={"py_modules": [str(ROOT / package) for package in PACKAGES], "excludes": EXCLUDES},
    ):
        if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
            on_event(f"Ray at {address} asks for no token: whoever can reach it can run code on it")
        yield


@contextmanager
def _initialised(failure: str, **settings: Any) -> Iterator[None]:
    import ray
    from ray._private import worker as ray_worker

    try:
        # Ray reads the token once; a connection before this one may have had another.
        raylet().AuthenticationTokenLoader.instance().reset_cache()
        # Otherwise Ray prints to standard output that a worker died; it has no public switch for that.
        ray_worker._worker_logs_enabled = False
        try:
            with _process_kept():
                ray.init(log_to_driver=False, logging_level=logging.ERROR, **settings)
        except Exception as error:
            raise PoolError(f"{failure}: {describe(error)}") from error
        yield
    finally:
        ray.shutdown()
        ray_worker._worker_logs_enabled = True


@contextmanager
def _process_kept() -> Iterator[None]:
    """Prevent or undo what `ray.init` does to this process, and silence a needless warning.

    Ray would replace the handler of SIGTERM, which may come at any time. And it makes this process the leader of a new
    group, after which Ctrl-C in a terminal no longer reaches the process if another one, such as make, leads the job.
    Once it is back in its group, this process gets Ctrl-C, and Ray's processes, which remain in the new group, do not.
    JAX, once in use, warns of any fork; Ray's forks call exec at once.
    """
    from ray._private import utils as ray_utils

    group = os.getpgrp()
    replace_handler = ray_utils.set_sigterm_handler
    ray_utils.set_sigterm_handler = lambda handler: None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
            yield
    finally:
        if os.getpgrp() != group:
            with suppress(OSError):  # the group has ended
                os.setpgid(0, group)
        ray_utils.set_sigterm_handler = replace_handler


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
