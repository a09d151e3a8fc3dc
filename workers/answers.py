"""Finds out what JAX computes on, how Ray starts or how to join a cluster, in a separate process that may be ended.

Run as `python -P -m workers.answers QUESTION [ADDRESS]`; the answer is one JSON document on standard output.
"""

import json
import os
import sys
from typing import Any

from workers.devices import DEVICES
from workers.errors import PoolError
from workers.ray_address import admits
from workers.ray_connection import ray_connection


def devices() -> dict[str, Any]:
    """Return what JAX computes on, as `backend`, and the kinds of its devices, as `devices`."""
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # else it takes most of a GPU's memory
    import jax

    return {"backend": jax.default_backend(), "devices": [device.device_kind for device in jax.devices()]}


def cluster(address: str | None = None) -> dict[str, Any]:
    """Start Ray as searches do, or join a cluster, and describe it.

    Returns:
        The `host` of this node, whether a `token` is required, how many `nodes` are alive, the `resources` that
        workers use, by name, and the `notes` for users. If Ray cannot be reached, only the reason, as `error`.
    """
    notes: list[str] = []
    try:
        with ray_connection(address, 1, notes.append):
            import ray

            resources = ray.cluster_resources()
            return {
                "host": ray.util.get_node_ip_address(),
                "token": os.environ.get("RAY_AUTH_MODE", "").lower() == "token",
                "nodes": sum(node["Alive"] for node in ray.nodes()),
                "resources": {each.resource: int(resources.get(each.resource, 0)) for each in DEVICES},
                "notes": notes,
            }
    except PoolError as error:
        return {"error": str(error)}


def admission(address: str) -> dict[str, bool]:
    """Return whether a cluster admits clients without a token, as `open`."""
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        os.environ.pop(name, None)
    os.environ["RAY_AUTH_MODE"] = "disabled"
    return {"open": admits(address)}


QUESTIONS = {"devices": devices, "cluster": cluster, "admission": admission}


def main() -> None:
    """Answer the question that the command line asks."""
    question, *arguments = sys.argv[1:]
    print(json.dumps(QUESTIONS[question](*arguments)))


if __name__ == "__main__":
    main()
