"""What tests of clusters share: the commands of Slurm, acted by processes on loopback."""

import os
import socket
import stat
import sys
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
