"""A search on a Ray cluster of a head and three nodes, all on this machine, one of which is lost during the search.

A script: three_nodes.py ROOT LOST. The first worker that gets a candidate from HELD on holds it; then its node
(LOST is `node`) or the head (`head`) is killed, with all of its processes. Prints the pool's notes, one per line.
"""

import functools
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import fault_cases
import instant

import workers
from evolve.search.driver import Progress, Watcher
from workers.ray_connection import LOOPBACK, OBJECT_STORE_BYTES

CANDIDATES = 60
HELD = 20
NODE = {"num_cpus": 1, "node_ip_address": LOOPBACK, "object_store_memory": OBJECT_STORE_BYTES}


def hold_one(claim: Path, jobs: Sequence[workers.Job]) -> list[workers.Result]:
    """Evaluate jobs; the first worker that gets a candidate from HELD on says which node it is on, and waits."""
    if any(job.index >= HELD for job in jobs) and not claim.exists():
        fresh = claim.with_suffix(".new")
        fresh.write_text(str(os.getppid()))
        fresh.rename(claim)
        while True:
            signal.pause()
    return instant.evaluate(jobs)


def main(root: Path, lost: str) -> None:
    with tempfile.TemporaryDirectory(prefix="pride-nodes-", dir="/tmp") as directory:
        token = Path(directory) / "token"
        with open(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        # Read when Ray is first imported.
        os.environ |= {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_TMPDIR": directory,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_gcs_rpc_server_reconnect_timeout_s": "5",  # s until a driver without a head ends; else 60
        }
        from ray import cloudpickle
        from ray.cluster_utils import Cluster

        cloudpickle.register_pickle_by_value(instant)
        cluster = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0, "include_dashboard": False})
        nodes = [cluster.add_node(**NODE) for _ in range(3)]
        of_raylet = {node.all_processes["raylet"][0].process.pid: node for node in nodes}
        claim = Path(directory) / "claim"

        def lose(progress: Progress) -> None:
            if claim.exists() and of_raylet:
                node = of_raylet[int(claim.read_text())] if lost == "node" else cluster.head_node
                of_raylet.clear()
                assert node
                node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)

        def note(event: str) -> None:
            print(event, flush=True)

        evaluate = functools.partial(hold_one, claim)
        with workers.RayPool(3, cluster.address, evaluate=evaluate, batch=1, on_event=note) as pool:
            fault_cases.session(root, "run", fault_cases.config(CANDIDATES), pool, Watcher(on_progress=lose))
        cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
