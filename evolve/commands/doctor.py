"""The command ``pride doctor``: what a search needs from this machine, or from a cluster, checked one by one."""

import importlib.metadata
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from packaging.requirements import Requirement

from evolve.commands.folder_checks import Finding, check_cache, check_disk, check_runs
from evolve.commands.options import json_option
from evolve.commands.printing import print_json
from evolve.commands.streams import reader_may_leave
from workers.cores import default_workers
from workers.errors import describe
from workers.own_code import ROOT, environment, python_module
from workers.ray_address import LOOPBACK
from workers.ray_connection import OBJECT_STORE_BYTES

ANSWER_SECONDS = 60.0
"""How long Ray or JAX may take to start."""

FAILED = 2
"""The exit code if a check failed: that of wrong usage, since a search here would end with it."""

_GIB = 2**30
_WORKER_BYTES = 0.9 * _GIB  # of a worker that compiles the tasks of `first` and trains; 0.6 once they are compiled
_RAY_BYTES = 0.7 * _GIB  # of Ray's own processes and the driver
_OLDEST_SQLITE = (3, 37)  # which has strict tables
_ACCELERATORS = {"/dev/nvidia0": "cuda", "/dev/accel0": "tpu"}  # device files, and the extra with which JAX uses each


def examine(address: str | None) -> dict[str, Finding]:
    """Run every check, all at once; each ends after `ANSWER_SECONDS` at the latest.

    Args:
        address: The Ray cluster that a search would join; None for that in RAY_ADDRESS, or else Ray on this machine.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    checks: dict[str, Callable[[], Finding]] = {
        "packages": check_packages,
        "devices": check_devices,
        "cores": check_cores,
        "memory": check_memory,
        "ray": (lambda: check_cluster(address)) if address else check_ray,
        "runs": check_runs,
        "disk": check_disk,
        "cache": check_cache,
        "sqlite": check_sqlite,
        "shared memory": check_shared_memory,
    }
    with ThreadPoolExecutor(len(checks)) as threads:
        return dict(zip(checks, threads.map(_guarded, checks.values()), strict=True))


def check_packages() -> Finding:
    """Check Python and the packages that Pride requires, and whether their versions are the tested ones."""
    python = f"Python {sys.version.partition(' ')[0]}"
    try:
        required = [Requirement(line) for line in importlib.metadata.requires("pride") or ()]
    except importlib.metadata.PackageNotFoundError:
        return Finding("failed", f"{python}; Pride is not installed", "install it: make setup")
    required = [each for each in required if each.marker is None or each.marker.evaluate({"extra": ""})]
    versions = {each.name: _version(each.name) for each in required}
    wrong = [f"{each} (here: {versions[each.name]})" for each in required if not _suits(each, versions[each.name])]
    if wrong:
        return Finding("failed", f"{python}; missing: {', '.join(wrong)}", "install them: make setup")
    tested = dict(_tested_versions())
    other = [f"{name} {here}, not {tested[name]}" for name, here in versions.items() if tested.get(name, here) != here]
    found = f"{python}, {len(required)} packages as required"
    if other:
        advice = "expected to work, though the tests ran with the other versions; make setup installs those"
        return Finding("warning", f"{found}; {', '.join(other)}", advice)
    return Finding("ok", found)


def check_devices() -> Finding:
    """Check that JAX starts, and uses the accelerators of this machine."""
    answer = _ask("devices")
    if "error" in answer:
        return Finding("failed", f"JAX does not start: {answer['error']}", "reinstall jax and jaxlib: make setup")
    kinds = answer["devices"]
    counts = ", ".join(f"{kinds.count(kind)} × {kind}" for kind in sorted(set(kinds)))
    found = f"JAX computes on the {answer['backend']}: {counts}"
    for path, extra in _ACCELERATORS.items():
        if answer["backend"] == "cpu" and os.path.exists(path):
            return Finding("warning", f"{found}, though there is {path}", f"to use it: pip install pride[{extra}]")
    return Finding("ok", found)


def check_cores() -> Finding:
    """Report how many workers a search starts here."""
    return Finding("ok", f"{default_workers()} of {os.cpu_count()}, one worker each")


def check_memory() -> Finding:
    """Check that Ray and one worker per core fit into the free memory."""
    free = _free_memory()
    if free is None:
        return Finding("ok", "the free memory is not known on this system")
    wanted = _RAY_BYTES + default_workers() * _WORKER_BYTES
    found = f"{free / _GIB:.1f} GiB free; Ray and {default_workers()} worker(s) take about {wanted / _GIB:.1f}"
    if free >= wanted:
        return Finding("ok", found)
    fitting = int((free - _RAY_BYTES) // _WORKER_BYTES)
    advice = f"use --workers {fitting}" if fitting >= 1 else "close other programs, or use --pool serial"
    return Finding("warning", found, advice)


def check_ray() -> Finding:
    """Check that Ray starts on this machine, and that no other machine can reach it."""
    answer = _ask("cluster")
    if "error" in answer:
        return Finding("failed", answer["error"], "until it does, searches work with --pool serial")
    found = f"starts on {answer['host']}, asks for a token: {'yes' if answer['token'] else 'no'}"
    if answer["host"] != LOOPBACK or not answer["token"]:
        return Finding("failed", found, "others can reach it: use --pool serial, and report this")
    return Finding("ok", found)


def check_cluster(address: str) -> Finding:
    """Check that a cluster can be joined, and that it asks for a token."""
    joined = _ask("cluster", address)
    if "error" in joined:
        return Finding("failed", joined["error"], "workers/CLUSTERS.md says how clusters are started and joined")
    counts = ", ".join(f"{count} {name}" for name, count in joined["resources"].items() if count)
    found = f"joined {address}: {joined['nodes']} node(s) with {counts or 'no cores'}"
    if not counts:
        return Finding("failed", found, "start Ray on more nodes, or with --num-cpus")
    is_open = _ask("admission", address).get("open")
    if is_open:
        advice = "start it with RAY_AUTH_MODE=token; otherwise anyone who reaches it can run code on it"
        return Finding("warning", f"{found}; it asks for no token", advice)
    return Finding("ok", f"{found}; it asks for a token" if is_open is False else found)


def check_sqlite() -> Finding:
    """Check that SQLite is new enough."""
    modes = {0: "for one thread", 1: "for several threads", 3: "serialized"}
    found = f"{sqlite3.sqlite_version}, {modes.get(sqlite3.threadsafety, 'of unknown safety')}"
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        wanted = ".".join(map(str, _OLDEST_SQLITE))
        return Finding("failed", found, f"use a Python with SQLite {wanted} or newer")
    return Finding("ok", found)


def check_shared_memory(folder: Path = Path("/dev/shm")) -> Finding:
    """Check that Ray's object store fits into shared memory."""
    if not folder.is_dir():
        return Finding("ok", f"no {folder} on this system; Ray uses files")
    free = shutil.disk_usage(folder).free
    found = f"{free / _GIB:.2f} GiB free in {folder}"
    if free >= OBJECT_STORE_BYTES:
        return Finding("ok", found)
    return Finding("warning", found, "Ray will use files in /tmp; in a container, give it --shm-size=256m")


@click.command("doctor")
@click.option("--address", help="A running Ray cluster that searches would join.")
@json_option
def doctor_command(address: str | None, as_json: bool) -> int:
    """Check what a search needs of this machine.

    Packages, devices, memory, Ray, folders, disk and SQLite are checked.
    Ends with exit code 2 if a check failed, and with 0 if there are only warnings or none.
    """
    findings = examine(address)
    failed = any(finding.state == "failed" for finding in findings.values())
    with reader_may_leave():
        if as_json:
            print_json({"ok": not failed, "checks": [{"name": name} | asdict(each) for name, each in findings.items()]})
        else:
            for name, each in findings.items():
                click.echo(f"{each.state:<8} {name:<14} {each.found}{f'; {each.advice}' if each.advice else ''}")
        sys.stdout.flush()
    return FAILED if failed else 0


def _guarded(check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as error:
        return Finding("failed", f"the check itself failed: {describe(error)}", "please report this")


def _ask(question: str, *arguments: str) -> dict[str, Any]:
    """Return the answer of `workers.answers`, from a process that is ended if it takes too long; or an `error`."""
    # Output goes to files: processes that outlive the probe for a moment would keep a pipe open.
    with tempfile.TemporaryFile("w+") as answer, tempfile.TemporaryFile("w+") as complaint:
        with subprocess.Popen(
            python_module("workers.answers", question, *arguments),
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=complaint,
        ) as process:
            try:
                code = process.wait(ANSWER_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                return {"error": f"no answer within {ANSWER_SECONDS:g} s"}
        answer.seek(0)
        complaint.seek(0)
        if code != 0:
            return {"error": (complaint.read().strip().splitlines() or [f"exit code {code}"])[-1]}
        return json.loads(answer.read().strip().splitlines()[-1])


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _suits(requirement: Requirement, version: str) -> bool:
    return version != "none" and requirement.specifier.contains(version, prereleases=True)


def _tested_versions() -> Iterator[tuple[str, str]]:
    """Yield the packages that the tests run with, and their versions, if Pride runs from a clone."""
    try:
        lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        name, equal, version = line.partition("==")
        if equal:
            yield name, version


def _free_memory() -> int | None:
    """Return the bytes that processes here may still take, by the system and the container; None if not known."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
    try:
        limit, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text().strip() for name in ("max", "current"))
    except OSError:
        return free
    return min(free, int(limit) - int(used)) if limit.isdigit() else free
