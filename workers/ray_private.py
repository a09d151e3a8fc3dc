"""Every use of Ray's private parts: modules, names and variables that Ray does not document and may change at any time.

They were read in Ray 2.60. pyproject.toml keeps other versions out, and tests/test_ray_private.py says what to do about
a new one. No other module imports a private module of Ray. This one imports Ray only when a function is called.
"""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

ON_LOOPBACK_ALONE: Mapping[str, str] = MappingProxyType({"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"})
"""The environment of a process that imports Ray, and of Ray's own processes, for a cluster on 127.0.0.1.

Without it Ray replaces 127.0.0.1 by the machine's address and listens on all interfaces.
"""


def constants_set(**constants: bool) -> AbstractContextManager[None]:
    """Change constants that Ray made from the environment when this process imported it; restore them at the end.

    Args:
        **constants: ENABLE_RAY_CLUSTER: Whether Ray looks for clusters beyond loopback. RAY_ENABLE_UV_RUN_RUNTIME_ENV:
            Whether, below `uv run`, Ray sends the current folder to the workers, for them to import from.
    """
    from ray._private import ray_constants

    return _replaced(ray_constants, **constants)


def death_notices_off() -> AbstractContextManager[None]:
    """Keep Ray from printing to standard output that a worker died."""
    from ray._private import worker

    return _replaced(worker, _worker_logs_enabled=False)


def sigterm_handler_kept() -> AbstractContextManager[None]:
    """Keep `ray.init` from replacing this process's handler of SIGTERM, which may come at any time."""
    from ray._private import utils

    return _replaced(utils, set_sigterm_handler=lambda handler: None)


@contextmanager
def _replaced(owner: Any, **values: Any) -> Iterator[None]:
    before = {name: getattr(owner, name) for name in values}  # fails if Ray no longer has one of them
    try:
        for name, value in values.items():
            setattr(owner, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


def place(host: str, folder: Path) -> dict[str, str]:
    """Return the arguments of `ray.init` that choose the address and the folder of a cluster that it starts.

    Args:
        host: The address on which Ray listens.
        folder: Where Ray keeps its sockets and logs; Ray opens it to everyone.
    """
    return {"_node_ip_address": host, "_temp_dir": str(folder)}


def job_config(paths: Sequence[str]) -> Any:
    """Return settings of Ray by which workers import from these folders, before those of their Python.

    By default Ray adds the folder of the driver's script, and the current folder even if the driver itself does not
    import from it: a file there named like a module would run. It adds neither if the workers get a working directory.
    """
    from ray.job_config import JobConfig

    class Closed(JobConfig):
        def _runtime_env_has_working_dir(self) -> bool:
            return True

    return Closed(_py_driver_sys_path=list(paths))


def forget_token() -> None:
    """Make Ray read the token again; it keeps the one that it read for an earlier connection."""
    _tokens().reset_cache()


def has_token() -> bool:
    """Return whether Ray finds a token in the environment or in the user's folder, whether or not it would send it."""
    return _tokens().has_token(ignore_auth_mode=True)


def send_token() -> None:
    """Make Ray send the token to the cluster that it joins."""
    from ray._private.authentication import authentication_token_setup

    authentication_token_setup._enable_token_auth()


def connect(address: str) -> None:
    """Connect to a cluster's head, and say nothing to it.

    Args:
        address: host:port.

    Raises:
        ray.exceptions.AuthenticationError: If the cluster does not admit this process.
        Exception: Another one of Ray's, if nothing answers or what answers is not Ray.
    """
    _raylet().GcsClient(address=address)


def _tokens() -> Any:
    return _raylet().AuthenticationTokenLoader.instance()


def _raylet() -> Any:
    return importlib.import_module("ray._raylet")  # compiled, and declares no types
