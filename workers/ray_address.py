"""Checks of the address of a Ray cluster: whether it can be reached, and whether it admits this process."""

import os
import socket
from pathlib import Path

from workers import ray_private
from workers.errors import PoolError, describe

LOOPBACK = "127.0.0.1"

_REACH_SECONDS = 10.0  # limit for opening a connection to a cluster


def check_reachable(address: str) -> None:
    """Raise PoolError at once if nothing listens at an address; Ray itself would try for minutes."""
    host, port = _host_and_port(address)
    if not port.isdigit():
        return  # a word that Ray understands, such as auto
    try:
        socket.create_connection((host, int(port)), _REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise PoolError(f"cannot join Ray at {address}: {describe(error)}") from error


def is_on_loopback_alone(address: str) -> bool:
    """Return whether a cluster here listens on loopback only, and not at this machine's address, which Ray prefers."""
    host, port = _host_and_port(address)
    if host not in (LOOPBACK, "localhost"):
        return False
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # reserved for documentation; connecting sends nothing
            own = probe.getsockname()[0]
        socket.create_connection((own, int(port)), _REACH_SECONDS).close()
    except OSError:
        return True
    return False


def _host_and_port(address: str) -> tuple[str, str]:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    return host, port


def show_token(address: str) -> None:
    """Make Ray send the cluster the user's token, if there is one, and check that the cluster accepts it.

    By itself Ray sends no token to a cluster given by address, unless RAY_AUTH_MODE says so, and it would retry a
    cluster that rejects the token for 20 s.

    Raises:
        PoolError: If the cluster rejects the token, or nothing answers.
    """
    path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    if path and not os.environ.get("RAY_AUTH_TOKEN") and not _is_token(path):  # Ray would abort
        raise PoolError(f"cannot join Ray at {address}: RAY_AUTH_TOKEN_PATH names {path}, which holds no token")
    ray_private.forget_token()
    if "RAY_AUTH_MODE" not in os.environ and ray_private.has_token():
        ray_private.send_token()
    if not _host_and_port(address)[1].isdigit() or address.startswith("ray://"):
        return
    try:
        admitted = admits(address)
    except Exception as error:
        raise PoolError(f"cannot join Ray at {address}: {describe(error)}") from error
    if not admitted:
        raise PoolError(
            f"cannot join Ray at {address}: it requires a token other than the one in RAY_AUTH_TOKEN, in the file "
            "that RAY_AUTH_TOKEN_PATH names, or in ~/.ray/auth_token; copy the cluster's token there"
        )


def admits(address: str) -> bool:
    """Return whether a cluster (host:port) admits this process, with the token that Ray sends, if any.

    Raises:
        Exception: One of Ray's, if nothing answers or what answers is not Ray.
    """
    from ray.exceptions import AuthenticationError

    try:
        ray_private.connect(address)
    except AuthenticationError:
        return False
    return True


def _is_token(path: str) -> bool:
    try:
        return bool(Path(path).read_text().strip())
    except (OSError, UnicodeDecodeError):
        return False
