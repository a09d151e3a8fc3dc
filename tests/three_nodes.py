"""A search on a Ray cluster of three nodes, all on this machine, of which one is lost on the way. A script.

    three_nodes.py ROOT LOST COMMITTED

As soon as so many candidates are committed, the node LOST (`worker` or `head`) is gone, with all of its processes.
Prints what the pool noted, one line each.
"""

import os
import secrets
import sys
import tempfile
from pathlib import Path

import fault_cases
import instant

import workers
from evolve.search import Progress, Watcher
from workers.ray_connection import LOOPBACK, OBJECT_STORE_BYTES

CANDIDATES = 60
NODE = {"num_cpus": 1, "node_ip_address": LOOPBACK, "object_store_memory": OBJECT_STORE_BYTES}


def main(root: Path, lost: str, committed: int) -> None:
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
            "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
        }
        from ray import cloudpickle
        from ray.cluster_utils import Cluster

        cloudpickle.register_pickle_by_value(instant)
        cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
        nodes = {"head": cluster.head_node, "worker": [cluster.add_node(**NODE) for _ in range(2)][0]}
        cluster.wait_for_nodes()

        def lose(progress: Progress) -> None:
            if progress.counts.generated >= committed and lost in nodes:
                print("lost", flush=True)
                nodes.pop(lost).kill_all_processes(check_alive=False, allow_graceful=False, wait=True)

        def note(event: str) -> None:
            print(event, flush=True)


        with workers.RayPool(3, cluster.address, evaluate=instant.evaluate, batch=1, on_event=note) as pool:
            fault_cases.session(root, "run", fault_cases.config(CANDIDATES), pool, Watcher(on_progress=lose))
        cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
