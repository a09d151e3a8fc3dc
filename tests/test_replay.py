"""The same config gives the same bytes: on either pool, with any number of workers, however often it is killed."""

import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import workers
from evolve.config import load_config, to_yaml
from evolve.records import dump_lines
from evolve.runs import create, open_to_read
from evolve.search import Watcher, search

SETTINGS = ["--set", "budget.candidates=30", "--set", "rng_seeds=1", "--set", "finalists=1", "--set", "compare=[sgd]"]


def pride(*arguments: str) -> list[str]:
    """Give the command line of a command in a process of its own."""
    return [sys.executable, "-c", "from evolve.cli import main; main()", *arguments]


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(pride(*arguments), env=os.environ | {"PRIDE_RUNS": str(root)}, capture_output=True, text=True)


def searched(root: Path, name: str, *placement: str) -> str:
    """Search, and give the dump."""
    done = run(root, "search", "smoke", "--name", name, *SETTINGS, *placement)
    assert done.returncode == 0, done.stderr
    return run(root, "dump", name).stdout


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> str:
    dump = searched(tmp_path_factory.mktemp("runs"), "unbroken", "--pool", "serial")
    assert len(dump.splitlines()) == 30
    return dump


@pytest.mark.slow
@pytest.mark.parametrize("count", ["1", "2"])
def test_ray_finds_what_one_process_finds(tmp_path: Path, unbroken: str, count: str):
    assert searched(tmp_path, "ray", "--pool", "ray", "--workers", count) == unbroken


def searched_in_batches(root: Path, pool: workers.Pool) -> str:
    """Search in this process, with as many proposals under way as fill several batches, and give the dump."""
    config = load_config("smoke", [*SETTINGS[1::2], "tasks=[digits_tiny]", "window=16"])
    with pool, create(root, "batched", "", to_yaml(config), {}) as store:
        search(store, config, pool, Watcher())
        return "\n".join(dump_lines(store.outcomes()))


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory: pytest.TempPathFactory) -> str:
    dump = searched_in_batches(tmp_path_factory.mktemp("runs"), workers.SerialPool(batch=1))
    assert len(dump.splitlines()) == 30
    return dump


@pytest.mark.slow
@pytest.mark.parametrize("batch", [3, 64])
def test_the_batch_changes_nothing_in_one_process(tmp_path: Path, one_by_one: str, batch: int):
    assert searched_in_batches(tmp_path, workers.SerialPool(batch=batch)) == one_by_one


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 3, 64])
def test_the_batch_changes_nothing_on_ray(tmp_path: Path, one_by_one: str, batch: int):
    assert searched_in_batches(tmp_path, workers.RayPool(2, batch=batch)) == one_by_one


@pytest.mark.slow
def test_the_machines_cores_change_nothing(tmp_path: Path, unbroken: str):
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cores)})
        assert searched(tmp_path, "one", "--pool", "serial") == unbroken
    finally:
        os.sched_setaffinity(0, cores)


@pytest.mark.chaos
@pytest.mark.parametrize("pool", ["serial", "ray"])
def test_a_killed_search_ends_as_the_unbroken_one(tmp_path: Path, unbroken: str, pool: str):
    """Kill the process group with SIGKILL at drawn places, resume, and compare."""
    draw = random.Random(pool)
    kills = sorted(draw.sample(range(1, 29), 4))
    for number, candidates in enumerate(kills):
        command = ["resume", "broken"] if number else ["search", "smoke", "--name", "broken", *SETTINGS]
        kill_after(tmp_path, candidates, *command, "--pool", pool)
        assert unbroken.startswith(run(tmp_path, "dump", "broken").stdout)
    done = run(tmp_path, "resume", "broken", "--pool", pool)
    assert done.returncode == 0, done.stderr
    assert run(tmp_path, "dump", "broken").stdout == unbroken


def kill_after(root: Path, candidates: int, *arguments: str) -> None:
    """Start a command, and end it with SIGKILL as soon as the run holds so many candidates."""
    process = subprocess.Popen(
        pride(*arguments),
        env=os.environ | {"PRIDE_RUNS": str(root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(process, lambda: committed(root) >= candidates)
    process.send_signal(signal.SIGKILL)
    process.wait()


def wait_until(process: subprocess.Popen, happened: Callable[[], bool]) -> None:
    """Look again and again whether something has happened, which must be before the process ends."""
    while not happened():
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
            raise AssertionError("the process ended too early")


def committed(root: Path) -> int:
    """Count a run's candidates, as another process may at any time."""
    if not (root / "broken").exists():
        return 0
    with open_to_read(root, "broken") as store:
        return store.counts().generated


@pytest.mark.chaos
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_state(tmp_path: Path, unbroken: str, number: signal.Signals, code: int):
    process = subprocess.Popen(
        pride("search", "smoke", "--name", "broken", *SETTINGS, "--pool", "serial"),
        env=os.environ | {"PRIDE_RUNS": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(process, lambda: committed(tmp_path) >= 5)
    process.send_signal(number)
    _, error = process.communicate()
    assert process.returncode == code
    assert "pride resume broken" in error
    assert 5 <= committed(tmp_path) < 30
    assert run(tmp_path, "resume", "broken", "--pool", "serial").returncode == 0
    assert run(tmp_path, "dump", "broken").stdout == unbroken
