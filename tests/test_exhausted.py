"""Searches whose mutations make nothing new: time and signals are looked at, and all end with the same sentence."""

import itertools
from pathlib import Path

import pytest
from instant import evaluate
from search_cases import CONFIG, ShuffledPool, interrupt_after, run

import workers
from evolve.config.settings import Budget, Mutations, Round
from evolve.search.evolution import Evolution

NO_EDITS = dict.fromkeys(("insert", "delete", "modify", "constants"), 0.0)
BOUND = 100 * (4 + 3)
REASON = f"the last {BOUND} candidates were known programs: the mutations make nothing new"
CROSSOVER_OF_SGD = CONFIG.model_copy(
    update={
        "start": "sgd",
        "mutations": Mutations(**NO_EDITS | {"crossover": 1.0}),
        "budget": Budget(candidates=4 * BOUND),
        "population": 4,
        "window": 3,
    }
)
"""A search in which few programs are new."""


def check_end(dump: str) -> None:
    """Check that the last candidates were known, and no more than the bound says."""
    *_, new = (place for place, line in enumerate(dump.splitlines()) if '"known_from":null' in line)
    assert len(dump.splitlines()) == new + 1 + BOUND


def test_a_search_that_finds_nothing_new_ends_with_a_reason(tmp_path: Path):
    reason, dump = run(tmp_path, "one", CROSSOVER_OF_SGD)
    assert reason == REASON
    check_end(dump)


def test_what_is_left_of_lion_comes_to_an_end(tmp_path: Path):
    """Deletions make all programs small until there is nothing left to change."""
    weights = NO_EDITS | {"delete": 1.0, "modify": 0.01, "crossover": 1.0}
    config = CROSSOVER_OF_SGD.model_copy(update={"start": "lion", "mutations": Mutations(**weights)})
    config = config.model_copy(update={"budget": Budget(candidates=20 * BOUND)})
    reason, dump = run(tmp_path, "one", config)
    assert reason == REASON
    check_end(dump)
    assert dump.count('"known_from":null') > 5


@pytest.mark.parametrize("calls", [1, 3])
def test_it_ends_the_same_however_it_was_interrupted(tmp_path: Path, calls: int):
    unbroken = run(tmp_path, "unbroken", CROSSOVER_OF_SGD)[1]
    assert run(tmp_path, "one", CROSSOVER_OF_SGD, ShuffledPool(calls), interrupt_after(calls))[0] != REASON
    assert run(tmp_path, "one", CROSSOVER_OF_SGD, workers.SerialPool(evaluate, batch=1)) == (REASON, unbroken)
    assert run(tmp_path, "one", CROSSOVER_OF_SGD) == (REASON, unbroken)


def test_a_new_round_is_no_part_of_the_one_before(tmp_path: Path):
    rounds = (Round(islands=2, candidates=BOUND // 2 + 10), Round(start="best"))
    reason, dump = run(tmp_path, "one", CROSSOVER_OF_SGD.model_copy(update={"rounds": rounds}))
    assert reason == REASON
    assert len(dump.splitlines()) == 2 * (BOUND // 2 + 10) + BOUND


def test_time_and_signals_are_looked_at_every_few_hundred_candidates(tmp_path: Path):
    """Though all that is proposed is known, and so ready at once."""
    config = CROSSOVER_OF_SGD.model_copy(update={"population": 1000, "budget": Budget(candidates=2000)})
    seen = [0]
    run(tmp_path, "one", config, on_progress=lambda progress: seen.append(progress.counts.generated))
    assert seen[-1] == 2000
    assert max(after - before for before, after in itertools.pairwise(seen)) <= 300


@pytest.mark.parametrize("rng_seed", range(1, 4))
def test_an_island_that_can_change_nothing_ends_the_others_at_the_same_candidate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng_seed: int
):
    """However far those were when it ended."""
    config = CONFIG.model_copy(update={"rounds": (Round(islands=3, candidates=500),), "budget": Budget(candidates=900)})
    stalls: list[Evolution] = []

    def stalled(evolution: Evolution) -> bool:
        stalls.append(evolution)
        return evolution is stalls[0] and len(evolution.keys) > 20

    monkeypatch.setattr(Evolution, "stalled", property(stalled))
    one = run(tmp_path, "one", config)[1]
    stalls.clear()
    assert run(tmp_path, "two", config, ShuffledPool(rng_seed))[1] == one
