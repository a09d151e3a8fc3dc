"""What tests of clusters share: a Ray node; Slurm, and machines reached by ssh, both simulated on loopback."""

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

SSH = """#!/bin/bash
# ssh OPTIONS USER@127.0.0.2 COMMAND
while [[ $1 == -* ]]; do
    if [[ $1 == -[io] ]]; then shift; fi
    shift
done
cd "$ACTED_MACHINES/${1##*.}" || exit 255
shift
exec setsid --wait env -i HOME="$PWD" LANG=C.UTF-8 bash -c "$*" </dev/null
"""

RSYNC = """#!/bin/bash
# rsync OPTIONS SOURCE USER@127.0.0.2:~/TARGET
source=${*: -2:1}
if [[ $source == */ ]]; then source+=.; fi
target=${*: -1}
machine=${target%%:*}
exec cp -r --preserve=mode "$source" "$ACTED_MACHINES/${machine##*.}/${target#*:~/}"
"""

RAY = """#!/bin/bash
# ray start OPTIONS, ray stop: for the node of this machine alone, which runs as long as ray.pid is there.
case $1 in
start)
    shift
    (
        setsid "$ACTED_PYTHON" -m ray.scripts.scripts start "${@//6379/$ACTED_PORT}" --block --num-cpus=1 \\
            --node-ip-address="127.0.0.${HOME##*/}" --temp-dir="$HOME/ray" &
        echo $! >"$HOME/ray.pid"
        wait $!
        rm "$HOME/ray.pid"
    ) </dev/null >"$HOME/ray.log" 2>&1 &
    until grep -q "Ray runtime started" "$HOME/ray.log"; do
        kill -0 $! || { cat "$HOME/ray.log"; exit 1; }
        sleep 0.1
    done
    ;;
stop)
    if [[ -e $HOME/ray.pid ]]; then
        kill "$(<"$HOME/ray.pid")"
        while [[ -e $HOME/ray.pid ]]; do sleep 0.1; done
    fi
    ;;
esac
"""

PIP = """#!/bin/bash
echo "$@" >>"$HOME/pip.log"
"""


def act_slurm(folder: Path, nodes: int) -> dict[str, str]:
    """Write the Slurm commands that the script needs; return the environment of a job that has them.

    Args:
        folder: Where the commands are written; also the home of the job.
        nodes: How many nodes the job has, each with one CPU.
    """
    commands = folder / "bin"
    commands.mkdir()
    for name, text in {"srun": SRUN, "scontrol": SCONTROL, "hostname": HOSTNAME}.items():
        (commands / name).write_text(text)
        (commands / name).chmod(stat.S_IRWXU)
    names = [f"node{number}" for number in range(2, nodes + 2)]  # Ray replaces 127.0.0.1 by the machine's address
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


@dataclass(frozen=True)
class Machines:
    """Machines that ssh and rsync reach, and the machine that commands them."""

    homes: dict[str, Path]  # by address; the head's comes first
    port: int  # of the head, instead of 6379
    clone: Path  # on the commanding machine
    environment: dict[str, str]  # of the commanding machine

    def command(self, *command: str | Path) -> str:
        """Run a command in the clone and return what it printed."""
        done = subprocess.run(
            command,
            env=self.environment,
            cwd=self.clone,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def stop(self, address: str) -> None:
        """End Ray on a machine, if it runs there."""
        self.command("ssh", f"USER@{address}", "~/pride-venv/bin/ray stop")

    def with_ray(self) -> list[str]:
        """Return the addresses of the machines on which Ray runs."""
        return [address for address, home in self.homes.items() if _runs_ray(home)]


def _runs_ray(home: Path) -> bool:
    return (home / "ray.pid").exists() and "Ray runtime started" in (home / "ray.log").read_text()


@contextmanager
def acted_machines(count: int) -> Iterator[Machines]:
    """Make machines with a venv in which `ray` and `pip` are simulated, and end Ray on them afterwards."""
    # Not in TMPDIR: the path of a socket may have at most 107 characters, of which Ray uses 70.
    with tempfile.TemporaryDirectory(prefix="pride-up-", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder, own = Path(name), Path(name, "own")
        homes = {f"127.0.0.{number}": folder / str(number) for number in range(2, count + 2)}
        port = free_port(20_000, 30_000)
        settings = {"ACTED_MACHINES": name, "ACTED_PORT": str(port), "ACTED_PYTHON": sys.executable}
        settings["PYTHONPATH"] = str(ROOT)
        programs = {folder / "bin" / "ssh": SSH, folder / "bin" / "rsync": RSYNC}
        for home in homes.values():
            venv = home / "pride-venv" / "bin"
            programs |= {venv / "ray": RAY, venv / "pip": PIP, venv / "python": ""}
        for program, text in programs.items():
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text(text)
            program.chmod(stat.S_IRWXU)
        for home in homes.values():
            exports = "".join(f"export {key}='{value}'\n" for key, value in settings.items())
            (home / ".profile").write_text(f"{exports}export RAY_TMPDIR=~ PATH=~/.local/bin:{folder}/bin:$PATH\n")
            (home / ".bashrc").touch()
        for private, text in {".ssh/id_ed25519": "a key", ".ray/auth_token": secrets.token_hex(32)}.items():
            (own / private).parent.mkdir(parents=True)
            (own / private).touch(0o600)
            (own / private).write_text(text)
        (own / "clone").mkdir()
        settings |= {"HOME": str(own), "RAY_TMPDIR": str(own), "TMPDIR": str(own), "LANG": "C.UTF-8"}
        settings["PATH"] = f"{folder}/bin:{Path(sys.executable).parent}:/usr/bin:/bin"
        machines = Machines(homes, port, own / "clone", settings)
        try:
            yield machines
        finally:
            for address in homes:  # the head first: it would restart the others
                machines.stop(address)


def free_port(first: int, end: int) -> int:
    """Return a port in a range on which nothing listens."""
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
    """The head of a Ray cluster that requires a token, with two CPUs."""

    address: str
    folder: Path  # of Ray's files, including the code that drivers sent
    token: Path

    def driver(self, script: Path, **environment: str) -> subprocess.CompletedProcess:
        """Run a script in its own folder, on the cluster's machine, and return the completed process."""
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
        options: Further options of `ray start`.
        python_path: The folder in which its workers look for modules first.
    """
    # Not in TMPDIR: the path of a socket may have at most 107 characters, of which Ray uses 70.
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
                assert process.stdout
                said = next((line for line in process.stdout if "Ray runtime started" in line), "")
                assert said, "Ray did not start"
                yield node
            finally:
                process.terminate()
                process.communicate()
