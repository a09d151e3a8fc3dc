"""The same config gives the same bytes: on either pool, with any number of workers, however often it is killed."""

import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_cases import SMALL, Commands
from fault_cases import KILLED, Server, check_whole, found

import workers
from evolve.config.files import load_config, to_yaml
from evolve.search.driver import Watcher, search
from evolve.store.folders import create
from evolve.store.records import dump_lines
from workers import faults
from workers.ray_connection import ray_connection

KILLS = 20
EVERY_SESSION = sorted(hook for hook in faults.HOOKS if not hook.startswith("file."))
"""The hooks that every session hits: those of files are only hit when a run is made."""


@pytest.fixture(scope="module")
def server(compile_cache: Path) -> Iterator[Server]:
    with Server(PRIDE_CACHE=str(compile_cache)) as server:
        yield server


def kill_and_resume(server: Server, root: Path, rng: random.Random, last_hit: int, **asked: object) -> None:
    """Kill a search at drawn hits of drawn hooks, resume it each time, and compare it with an unbroken one."""
    assert server.run(root, "unbroken", **asked) == 0
    unbroken = found(root, "unbroken")
    for _ in range(KILLS):
        plan = str(faults.draw(rng, EVERY_SESSION, ["kill"], last_hit))
        assert server.run(root / "broken", "run", plan=plan, **asked) == KILLED
        check_whole(root / "broken", "run", unbroken)
    assert len(found(root / "broken", "run")[0]) > KILLS  # the kills were spread over the whole search
    assert server.run(root / "broken", "run", **asked) == 0
    assert found(root / "broken", "run") == unbroken


@pytest.mark.chaos
@pytest.mark.parametrize("rng_seed", range(10))
def test_a_search_killed_twenty_times_equals_the_unbroken_one(tmp_path: Path, server: Server, rng_seed: int):
    kill_and_resume(server, tmp_path, random.Random(rng_seed), last_hit=5, candidates=300)


@pytest.mark.chaos
def test_a_search_that_trains_killed_twenty_times_equals_the_unbroken_one(tmp_path: Path, server: Server):
    kill_and_resume(server, tmp_path, random.Random(0), last_hit=3, candidates=150, trains=True)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, compile_cache: Path) -> str:
    dump = Commands(tmp_path_factory.mktemp("runs"), compile_cache).search("unbroken", "--pool", "serial")
    assert len(dump.splitlines()) == 30
    return dump


@pytest.mark.chaos
@pytest.mark.parametrize(("pool", "kills"), [("serial", 4), ("ray", 2)])
def test_a_killed_command_goes_on_as_the_unbroken_one(commands: Commands, unbroken: str, pool: str, kills: int):
    """The commands themselves, with all processes that they start, of which none is left."""
    draw = random.Random(pool)
    for number in range(kills):
        command = ["resume", "broken"] if number else ["search", "smoke", "--name", "broken", *SMALL]
        plan = f"store.commit:{draw.randint(2, 6)}:kill"
        assert commands.ended(*command, "--pool", pool, PRIDE_FAULTS=plan) == -signal.SIGKILL
        assert unbroken.startswith(commands.dump("broken"))
    assert commands.ended("resume", "broken", "--pool", pool) == 0
    assert commands.dump("broken") == unbroken


@pytest.mark.slow
def test_the_machines_cores_change_nothing(commands: Commands, unbroken: str):
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cores)})
        assert commands.search("one", "--pool", "serial") == unbroken
    finally:
        os.sched_setaffinity(0, cores)


@pytest.fixture(scope="module")
def ray_here(compile_cache: Path) -> Iterator[None]:
    """Start Ray with workers that cache what they compile, unlike this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRIDE_CACHE", str(compile_cache))
        with ray_connection(None, 4, print):
            patch.undo()
            yield


def searched(root: Path, pool: workers.Pool) -> str:
    """Search in this process, with enough proposals in flight to fill several batches; return the dump."""
    config = load_config("smoke", [*SMALL[1::2], "tasks=[digits_tiny, iris]", "window=16"])
    with pool, create(root, "run", "", to_yaml(config), {}) as store:
        search(store, config, pool, Watcher())
        return "\n".join(dump_lines(store.outcomes()))


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory: pytest.TempPathFactory) -> str:
    dump = searched(tmp_path_factory.mktemp("runs"), workers.SerialPool(batch=1))
    assert len(dump.splitlines()) == 30
    return dump


@pytest.mark.slow
@pytest.mark.parametrize("batch", [3, 64])
def test_the_batch_changes_nothing_in_one_process(tmp_path: Path, one_by_one: str, batch: int):
    assert searched(tmp_path, workers.SerialPool(batch=batch)) == one_by_one


@pytest.mark.slow
@pytest.mark.parametrize(("count", "batch"), [(1, 64), (2, 1), (2, 64), (4, 3)])
def test_neither_workers_nor_batch_change_anything_on_ray(
    tmp_path: Path, one_by_one: str, ray_here: Callable[[], None], count: int, batch: int
):
    assert searched(tmp_path, workers.RayPool(count, batch=batch)) == one_by_one


@pytest.mark.slow
def test_a_search_on_ray_started_by_the_command_finds_the_same(commands: Commands, unbroken: str):
    assert commands.search("ray", "--pool", "ray", "--workers", "2") == unbroken
