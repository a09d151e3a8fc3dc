"""The command ``pride doctor``: each check finds the fault, advises what to do, and never waits for ever."""

import importlib.metadata
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections import namedtuple
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from cluster_cases import ROOT, ray_node

from evolve.commands import doctor, folder_checks
from evolve.commands.doctor import Finding
from workers import compile_cache

Usage = namedtuple("Usage", "total used free")
NAMES = ["packages", "devices", "cores", "memory", "ray", "runs", "disk", "cache", "sqlite", "shared memory"]


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("PRIDE_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return tmp_path / "runs"


@pytest.fixture
def answers(monkeypatch):
    """Return the answers of the processes that start JAX and Ray, which a test may change."""
    given = {
        "devices": {"backend": "cpu", "devices": ["cpu"]},
        "cluster": {"host": "127.0.0.1", "token": True, "nodes": 1, "resources": {"CPU": 2, "GPU": 0}, "notes": []},
        "admission": {"open": False},
    }
    monkeypatch.setattr(doctor, "_ask", lambda question, *arguments: given[question])
    return given


def run(*arguments):
    """Run the command; return its exit code and what it printed."""
    result = CliRunner().invoke(doctor.doctor_command, arguments, standalone_mode=False, catch_exceptions=False)
    return result.return_value, result.stdout


def test_one_line_a_check_with_its_state(answers):
    code, out = run()
    lines = out.splitlines()
    assert code == 0
    assert [line[9:23].strip() for line in lines] == NAMES
    assert {line.split()[0] for line in lines} <= {"ok", "warning"}


def test_json_is_one_document(answers):
    code, out = run("--json")
    document = json.loads(out)
    assert (code, document["ok"]) == (0, True)
    assert [check["name"] for check in document["checks"]] == NAMES
    assert {frozenset(check) for check in document["checks"]} == {frozenset(["name", "state", "found", "advice"])}


def test_a_failed_check_ends_with_code_2_and_says_what_to_do(answers):
    answers["cluster"] = {"error": "Ray does not start: no room"}
    code, out = run()
    assert code == 2
    assert "failed   ray            Ray does not start: no room; until it does, searches work with --pool serial" in out
    code, out = run("--json")
    assert (code, json.loads(out)["ok"]) == (2, False)


def test_what_is_not_ok_has_advice(answers, monkeypatch):
    answers["devices"] = answers["cluster"] = {"error": "gone"}
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(2**30, 2**30, 0))
    findings = doctor.examine(None).values()
    assert {each.state for each in findings} >= {"ok", "warning", "failed"}
    assert all(bool(each.advice) == (each.state != "ok") for each in findings)


def test_a_check_that_raises_is_a_failed_check(answers, monkeypatch):
    monkeypatch.setattr(doctor, "check_sqlite", lambda: 1 / 0)
    finding = doctor.examine(None)["sqlite"]
    assert finding == Finding("failed", "the check itself failed: ZeroDivisionError: division by zero", finding.advice)


def test_what_takes_too_long_is_ended(monkeypatch):
    monkeypatch.setattr(doctor, "ANSWER_SECONDS", 0.0)
    assert doctor._ask("devices") == {"error": "no answer within 0 s"}


def test_a_process_that_fails_is_told():
    assert doctor._ask("nonsense") == {"error": "KeyError: 'nonsense'"}


def test_missing_and_other_packages(monkeypatch):
    real = importlib.metadata.version
    assert doctor.check_packages().state in ("ok", "warning")
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.1" if name == "optax" else real(name))
    finding = doctor.check_packages()
    assert finding.state == "failed"
    assert "missing: optax>=0.2.8 (here: 0.1)" in finding.found
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "99.0" if name == "click" else real(name))
    finding = doctor.check_packages()
    assert finding.state == "warning"
    assert "; click 99.0, not " in finding.found


def test_pride_that_is_not_installed(monkeypatch):
    def requires(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    assert doctor.check_packages().found.endswith("; Pride is not installed")


def test_an_accelerator_that_jax_leaves_alone(answers, monkeypatch, tmp_path):
    assert doctor.check_devices() == Finding("ok", "JAX computes on the cpu: 1 × cpu")
    monkeypatch.setattr(doctor, "_ACCELERATORS", {str(tmp_path): "cuda"})
    finding = doctor.check_devices()
    assert (finding.state, finding.advice) == ("warning", "to use it: pip install pride[cuda]")
    answers["devices"] = {"backend": "gpu", "devices": ["H100", "H100"]}
    assert doctor.check_devices() == Finding("ok", "JAX computes on the gpu: 2 × H100")


@pytest.mark.parametrize(
    ("gib", "state", "advice"),
    [
        (64.0, "ok", ""),
        (2.4, "warning", "use --workers 1"),
        (1.4, "warning", "close other programs, or use --pool serial"),
        (0.1, "warning", "close other programs, or use --pool serial"),
    ],
)
def test_memory(monkeypatch, gib, state, advice):
    monkeypatch.setattr(doctor, "default_workers", lambda: 4)
    monkeypatch.setattr(doctor, "_free_memory", lambda: int(gib * 2**30))
    finding = doctor.check_memory()
    assert (finding.state, finding.advice) == (state, advice)


@pytest.mark.parametrize(("host", "token"), [("10.0.0.1", True), ("127.0.0.1", False)])
def test_ray_that_is_open_to_others_is_a_failure(answers, host, token):
    answers["cluster"] |= {"host": host, "token": token}
    assert doctor.check_ray().state == "failed"


def test_a_cluster_is_joined_instead_where_it_is_named(answers, monkeypatch):
    answers["cluster"] |= {"nodes": 3, "resources": {"GPU": 4, "TPU": 0, "CPU": 8}}
    wanted = Finding("ok", "joined there:6379: 3 node(s) with 4 GPU, 8 CPU; it asks for a token")
    assert doctor.examine("there:6379")["ray"] == wanted
    monkeypatch.setenv("RAY_ADDRESS", "there:6379")
    assert doctor.examine(None)["ray"] == wanted


@pytest.mark.parametrize(
    ("change", "state", "said"),
    [
        ({"admission": {"open": True}}, "warning", "it asks for no token"),
        ({"cluster": {"nodes": 1, "resources": {"CPU": 0}}}, "failed", "1 node(s) with no cores"),
        ({"cluster": {"error": "cannot join Ray at there:6379"}}, "failed", "cannot join Ray at there:6379"),
    ],
)
def test_a_cluster_that_should_be_otherwise(answers, change, state, said):
    answers.update(change)
    finding = doctor.check_cluster("there:6379")
    assert finding.state == state
    assert said in finding.found


def test_runs_are_tried_without_being_made(runs):
    assert folder_checks.check_runs().state == "ok"
    assert list(runs.parent.iterdir()) == []


def test_a_folder_for_runs_that_cannot_be_written(monkeypatch):
    def refuse(*arguments, **settings):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(folder_checks.tempfile, "TemporaryDirectory", refuse)
    finding = folder_checks.check_runs()
    assert finding.state == "failed"
    assert finding.found.endswith(": Permission denied")
    assert "PRIDE_RUNS" in finding.advice


def test_a_file_system_without_wal_or_locks(monkeypatch):
    without_wal = SimpleNamespace(execute=lambda statement: SimpleNamespace(fetchone=lambda: ("delete",)), close=int)
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda path: without_wal)
        finding = folder_checks.check_runs()
        assert (finding.state, finding.found.endswith("but SQLite has no WAL there")) == ("failed", True)
    with monkeypatch.context() as patch:
        patch.setattr(folder_checks.fcntl, "flock", lambda file, how: None)
        finding = folder_checks.check_runs()
        assert finding.state == "failed"
        assert finding.found.endswith("but its locks do not hold: two searches could write one run")


@pytest.mark.parametrize(("kind", "state"), [("nfs4", "warning"), ("fuse.sshfs", "warning"), ("ext4", "ok")])
def test_a_folder_on_a_network(monkeypatch, kind, state):
    monkeypatch.setattr(folder_checks, "_file_system", lambda folder: kind)
    assert folder_checks.check_runs().state == state


@pytest.mark.parametrize(("free", "state"), [(2**34, "ok"), (2**29, "warning"), (2**20, "failed")])
def test_disk(monkeypatch, free, state):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(2**40, 0, free))
    assert folder_checks.check_disk().state == state


def test_the_cache_is_private_and_its_writer_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PRIDE_CACHE", "off")
    assert folder_checks.check_cache() == Finding("ok", "off, as PRIDE_CACHE says: each worker compiles for itself")
    monkeypatch.setenv("PRIDE_CACHE", str(tmp_path / "cache"))
    assert folder_checks.check_cache().found.endswith(" is private, 0.0 MiB, free")
    entries = tmp_path / "cache" / compile_cache.kind_of_machine()
    with open(entries / compile_cache.LOCK, "w") as lock:
        folder_checks.fcntl.flock(lock, folder_checks.fcntl.LOCK_EX)
        assert folder_checks.check_cache().found.endswith(f", written by process {os.getpid()}")
    (tmp_path / "cache").chmod(0o777)
    finding = folder_checks.check_cache()
    assert (finding.state, finding.found) == ("warning", f"{tmp_path}/cache: other users may write in it")


def test_an_old_sqlite(monkeypatch):
    assert doctor.check_sqlite().state == "ok"
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    assert doctor.check_sqlite().advice == "use a Python with SQLite 3.37 or newer"


@pytest.mark.parametrize(("free", "state"), [(2**30, "ok"), (64 * 2**20, "warning")])
def test_shared_memory(monkeypatch, tmp_path, free, state):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(2**40, 0, free))
    assert doctor.check_shared_memory(tmp_path).state == state
    assert doctor.check_shared_memory(tmp_path / "none").state == "ok"


def doctor_process(*arguments, **environment):
    command = [sys.executable, "-m", "evolve.commands.cli", "doctor", "--json", *arguments]
    settings = {"PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, env=os.environ | settings, capture_output=True, text=True)


@pytest.mark.slow
def test_the_command_starts_jax_and_ray(tmp_path):
    done = doctor_process()
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert (checks["devices"]["found"], checks["devices"]["state"]) == ("JAX computes on the cpu: 1 × cpu", "ok")
    assert checks["ray"]["found"] == "starts on 127.0.0.1, asks for a token: yes"
    assert done.returncode == 0, done


@pytest.mark.slow
def test_the_command_joins_a_cluster():
    with ray_node("--num-gpus=0") as node:
        done = doctor_process("--address", node.address, RAY_AUTH_TOKEN_PATH=str(node.token))
        refused = doctor_process("--address", node.address, RAY_AUTH_TOKEN="0" * 64)
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["ray"]["found"] == f"joined {node.address}: 1 node(s) with 2 CPU; it asks for a token", done
    assert done.returncode == 0
    checks = {check["name"]: check for check in json.loads(refused.stdout)["checks"]}
    assert checks["ray"]["found"].startswith(f"cannot join Ray at {node.address}: it requires a token other")
    assert refused.returncode == 2
