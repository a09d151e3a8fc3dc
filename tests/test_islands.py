"""Islands, rounds and migration: the result depends on the config alone, wherever the islands run."""

import itertools
from dataclasses import replace
from pathlib import Path

import instant
import pytest
from command_cases import SMALL, Commands
from instant import evaluate
from search_cases import CONFIG, ShuffledPool, interrupt_after, run

import workers
from evolve.config.settings import Budget, Config, Round
from evolve.search.driver import Watcher, search
from evolve.search.evolution import Evolution
from evolve.search.ray_islands import open_islands
from evolve.search.rounds import legs
from evolve.store.folders import open_to_read

ISLANDS = CONFIG.model_copy(
    update={
        "rounds": (Round(islands=3, candidates=30, migrate_every=7), Round(start="best", candidates=20)),
        "budget": Budget(candidates=1000),
    }
)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> str:
    reason, dump = run(tmp_path_factory.mktemp("runs"), "unbroken", ISLANDS)
    assert reason == "every round is complete"
    assert len(dump.splitlines()) == 3 * 30 + 20
    return dump


def test_every_index_belongs_to_one_place():
    first, second = legs(ISLANDS)
    assert (first.first, first.end, second.first, second.end) == (0, 90, 90, 110)
    places = itertools.product(range(30), range(3))
    assert [first.index(island, place) for place, island in places] == list(range(90))
    assert [(first.island(index), first.place(index)) for index in (0, 2, 3, 89)] == [(0, 0), (2, 0), (0, 1), (2, 29)]
    assert [second.holds(index) for index in (89, 90, 109, 110)] == [False, True, True, False]


def test_islands_evolve_apart_but_for_migrants(tmp_path: Path):
    apart = ISLANDS.model_copy(update={"rounds": (Round(islands=3, candidates=30),)})
    run(tmp_path, "apart", apart)
    run(tmp_path, "one", ISLANDS)
    for name, foreign in (("apart", False), ("one", True)):
        with open_to_read(tmp_path, name) as store:
            first = [outcome for outcome in store.outcomes() if outcome.index < 90]
        crossed = [o for o in first for parent in o.parents if parent % 3 != o.index % 3]
        assert bool(crossed) == foreign
        assert all(
            (o.index % 3 - parent % 3) % 3 == 1 for o in crossed for parent in o.parents if parent % 3 != o.index % 3
        )
        assert len({outcome.program for outcome in first[3:]}) > 45  # the islands are not copies of each other


def test_a_round_begins_with_the_best_so_far(tmp_path: Path):
    run(tmp_path, "one", ISLANDS)
    with open_to_read(tmp_path, "one") as store:
        (best,) = store.best(1, before=90)
        begun = store.outcome(90)
    assert (begun.program, begun.parents, begun.mutation) == (best.program, (best.index,), "start")
    assert (begun.known_from, begun.score) == (best.index, best.score)


@pytest.mark.parametrize("rng_seed", range(4))
def test_the_order_of_arrival_changes_nothing(tmp_path: Path, unbroken: str, rng_seed: int):
    assert run(tmp_path, "one", ISLANDS, pool=ShuffledPool(rng_seed))[1] == unbroken


@pytest.mark.parametrize("calls", [0, 1, 3, 10, 25, 40, 60, 75])
def test_an_interrupted_run_goes_on_to_what_the_unbroken_one_found(tmp_path: Path, unbroken: str, calls: int):
    for more in (0, 2, 7):
        pool = workers.SerialPool(evaluate, batch=1)
        _, dump = run(tmp_path, "one", ISLANDS, pool=pool, interrupted=interrupt_after(calls + more))
        assert unbroken.startswith(dump)
    assert run(tmp_path, "one", ISLANDS, pool=ShuffledPool(calls))[1] == unbroken


@pytest.mark.parametrize("every", [1, 2, 5])
def test_islands_that_wait_for_migrants_can_be_interrupted(tmp_path: Path, every: int):
    """Islands out of step, each of which needs another's best program to continue."""
    config = ISLANDS.model_copy(update={"rounds": (Round(islands=4, candidates=15, migrate_every=every),), "window": 3})
    unbroken = run(tmp_path, "unbroken", config)[1]
    for calls in range(0, 40, 3):
        _, dump = run(tmp_path, "one", config, pool=ShuffledPool(calls), interrupted=interrupt_after(calls))
        assert unbroken.startswith(dump)
    assert run(tmp_path, "one", config, pool=ShuffledPool(every))[1] == unbroken


def test_an_island_that_can_change_nothing_more_ends_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Even if other islands wait for its best program."""
    stalls: list[Evolution] = []

    def stalled(evolution: Evolution) -> bool:
        stalls.append(evolution)
        return evolution is stalls[0] and len(evolution.keys) > 5

    monkeypatch.setattr(Evolution, "stalled", property(stalled))
    config = ISLANDS.model_copy(update={"rounds": (Round(islands=3, candidates=500, migrate_every=2),)})
    reason, dump = run(tmp_path, "one", config)
    assert reason == "no mutation applies to any program that is alive"
    assert 10 < len(dump.splitlines()) < 200


def test_a_budget_of_trainings_ends_all_islands_at_once(tmp_path: Path, unbroken: str):
    reason, dump = run(tmp_path, "one", ISLANDS.model_copy(update={"budget": Budget(trained=40)}))
    assert reason == "40 candidates were trained"
    assert dump.count('"known_from":null') == 40
    assert unbroken.startswith(dump)


def test_a_target_ends_the_search_with_the_outcome_that_reaches_it(tmp_path: Path, unbroken: str):
    run(tmp_path, "all", ISLANDS)
    with open_to_read(tmp_path, "all") as store:
        ok = [outcome for outcome in store.outcomes() if outcome.status == "ok"]
    target = sorted({outcome.score for outcome in ok})[-4]
    reached = next(outcome for outcome in ok if outcome.score >= target)
    config = ISLANDS.model_copy(update={"budget": Budget(target_score=target)})
    for name, pool in (("one", None), ("two", ShuffledPool(1))):
        reason, dump = run(tmp_path, name, config, pool=pool)
        assert reason == f"a score of {target:g} was reached"
        assert len(dump.splitlines()) == reached.index + 1
        assert unbroken.startswith(dump)


def slow_for_one(jobs):
    return [replace(result, seconds=2.0) for result in evaluate(jobs)]


def test_seconds_of_training_are_counted_by_what_was_committed(tmp_path: Path):
    config = ISLANDS.model_copy(update={"budget": Budget(accelerator_seconds=60.0)})
    reason, dump = run(tmp_path, "one", config, pool=workers.SerialPool(slow_for_one))
    assert reason == "60 seconds were spent on training"
    assert dump.count('"known_from":null') == 30


@pytest.mark.slow
def test_on_ray_as_here(tmp_path: Path, unbroken: str):
    """With three actors, each with an evaluator; then with one island that shares the pool."""
    dump = run_on_ray(tmp_path, "ray", ISLANDS)
    assert dump == unbroken


@pytest.mark.slow
@pytest.mark.parametrize("calls", [2, 6])
def test_an_interrupted_run_on_ray_goes_on(tmp_path: Path, unbroken: str, calls: int):
    assert unbroken.startswith(run_on_ray(tmp_path, "ray", ISLANDS, Watcher(interrupted=interrupt_after(calls))))
    assert run_on_ray(tmp_path, "ray", ISLANDS) == unbroken


def run_on_ray(root: Path, name: str, config: Config, watcher: Watcher | None = None) -> str:
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(instant)  # the islands' processes cannot import tests

    def search_on_ray(store, config, pool, watcher):
        return search(store, config, pool, watcher, open_islands)

    with workers.RayPool(3, lazy=True, evaluate=evaluate) as pool:  # as for a search with islands
        return run(root, name, config, pool=pool, watcher=watcher, searched=search_on_ray)[1]


@pytest.mark.chaos
def test_an_islands_process_that_dies_costs_nothing_but_time(commands: Commands):
    """Each process of an island is killed whenever it has made eighteen proposals."""
    settings = [*SMALL, "--set", "tasks=iris", "--set", "rounds=[{islands: 2, candidates: 40, migrate_every: 9}]"]
    settings += ["--set", "budget.candidates=80"]
    quiet = commands.run("search", "smoke", "--name", "quiet", "--pool", "serial", *settings)
    assert quiet.returncode == 0, quiet.stderr
    killed = commands.run(
        "search", "smoke", "--name", "killed", "--workers", "2", *settings, PRIDE_FAULTS="search.propose:18:kill"
    )
    assert killed.returncode == 0, killed.stderr
    assert killed.stderr.count("is restarted: the worker died") >= 2
    assert commands.dump("killed") == commands.dump("quiet")
