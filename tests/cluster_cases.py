"""What tests of clusters share: a Ray node of its own, and the commands of Slurm, acted by processes on loopback."""

import os
import secrets
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

SRUN = """#!/bin/bash
# The node is what comes last in its name: node2 has the address 127.0.0.2.
while [[ $1 == --* ]]; do
    if [[ $1 == --nodelist=* ]]; then export ACTED_NODE=${1##*=}; fi
    shift
done
exec "$@"
"""

SCONTROL = """#!/bin/bash
[[ "$1 $2" == "show hostnames" ]] && tr , '\\n' <<<"$3"
"""

HOSTNAME = """#!/bin/bash
[[ $1 == -I ]] && echo "127.0.0.${ACTED_NODE#node} 10.0.0.1"
"""


def act_slurm(folder: Path, nodes: int) -> dict[str, str]:
    """Write the commands that the script needs of Slurm; give the environment of a job with them.

    Args:
        folder: Where; also the home of the job.
        nodes: How many nodes the job has, each with one CPU.
    """
    commands = folder / "bin"
    commands.mkdir()
    for name, text in {"srun": SRUN, "scontrol": SCONTROL, "hostname": HOSTNAME}.items():
        (commands / name).write_text(text)
        (commands / name).chmod(stat.S_IRWXU)
    names = [f"node{number}" for number in range(2, nodes + 2)]  # of 127.0.0.1, Ray makes the machine's own address
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL") if name in os.environ}
    return kept | {
        "PATH": f"{commands}:{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "PRIDE_RUNS": str(folder / "runs"),
        "PRIDE_CACHE": "off",
        "ACTED_NODE": names[0],
        "SLURM_JOB_ID": str(free_port(20_000, 30_000) - 20_000),
        "SLURM_JOB_NODELIST": ",".join(names),
        "SLURM_CPUS_PER_TASK": "1",
    }


def free_port(first: int, end: int) -> int:
    """Give a port in a range on which nothing listens."""
    for port in range(first + os.getpid() % 1000, end):
        with socket.socket() as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


@dataclass(frozen=True)
class Node:
    """The head of a Ray cluster that asks for a token, with two CPUs."""

    address: str
    folder: Path  # of Ray's files; those of what travelled, too
    token: Path

    def driver(self, script: Path, **environment: str) -> subprocess.CompletedProcess:
        """Run a script beside the cluster, in the folder it lies in, and give what it printed."""
        settings = {"PYTHONPATH": str(ROOT), "RAY_AUTH_TOKEN_PATH": str(self.token), **environment}
        dropped = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ADDRESS")
        kept = {name: value for name, value in os.environ.items() if name not in dropped}
        return subprocess.run(
            [sys.executable, script, self.address],
            env=kept | settings,
            cwd=script.parent,
            capture_output=True,
            text=True,
        )


@contextmanager
def ray_node(*options: str, python_path: str = "") -> Iterator[Node]:
    """Start Ray on loopback, and end it.

    Args:
        options: More options of `ray start`.
        python_path: Where its workers find modules first.
    """
    # Not in TMPDIR: the path of a socket may have 107 characters, and Ray adds 70 to this.
    with tempfile.TemporaryDirectory(prefix="pride-node-", dir="/tmp", ignore_cleanup_errors=True) as name:
        node = Node(f"127.0.0.2:{free_port(20_000, 30_000)}", Path(name, "ray"), Path(name, "token"))
        node.token.touch(0o600)
        node.token.write_text(secrets.token_hex(32))
        settings = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(node.token), "PYTHONPATH": python_path}
        host, _, port = node.address.partition(":")
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
        command += ["--include-dashboard=false", f"--node-ip-address={host}", f"--port={port}", "--num-cpus=2"]
        command += [f"--temp-dir={node.folder}", "--object-store-memory=104857600", *options]
        kept = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_TOKEN"}
        with subprocess.Popen(command, env=kept | settings, stdout=subprocess.PIPE, text=True) as process:
            try:
                said = next((line for line in process.stdout if "Ray runtime started" in line), "")
                assert said, "Ray did not start"
                yield node
            finally:
                process.terminate()
                process.communicate()
