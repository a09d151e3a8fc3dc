"""The driver of a search, with an evaluation that trains nothing: strict order, budgets, resume, finals."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from instant import evaluate
from search_cases import CONFIG, ShuffledPool, interrupt_after, run

import workers
from evolve.config.settings import Budget, Config, Mutations, ProgramLimits
from evolve.errors import StoppedEarly
from evolve.search.driver import Progress
from evolve.store.finals import find_champion, fresh_rng_seeds, search_rng_seeds
from evolve.store.folders import open_to_write


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> str:
    return run(tmp_path_factory.mktemp("runs"), "unbroken")[1]


def test_the_budget_of_candidates_is_kept_to(tmp_path: Path, unbroken: str):
    reason, dump = run(tmp_path, "one")
    assert reason == "60 candidates were put forward"
    assert dump == unbroken
    assert len(dump.splitlines()) == 60


@pytest.mark.parametrize("rng_seed", range(6))
def test_the_order_of_arrival_changes_nothing(tmp_path: Path, unbroken: str, rng_seed: int):
    assert run(tmp_path, "one", pool=ShuffledPool(rng_seed))[1] == unbroken


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_the_batch_changes_nothing(tmp_path: Path, unbroken: str, batch: int):
    assert run(tmp_path, "one", pool=workers.SerialPool(evaluate, batch=batch))[1] == unbroken


@pytest.mark.parametrize("calls", [0, 1, 2, 5, 9, 20, 33])
def test_an_interrupted_run_goes_on_to_what_the_unbroken_one_found(tmp_path: Path, unbroken: str, calls: int):
    one_by_one = workers.SerialPool(evaluate, batch=1)
    reason, dump = run(tmp_path, "one", pool=one_by_one, interrupted=interrupt_after(calls))
    assert reason == "someone wants an end"
    assert unbroken.startswith(dump)
    reason, dump = run(tmp_path, "one", interrupted=interrupt_after(calls + 3), pool=ShuffledPool(calls))
    assert unbroken.startswith(dump)
    assert run(tmp_path, "one")[1] == unbroken


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_an_interrupt_waits_for_what_is_under_way_and_no_more(tmp_path: Path, batch: int):
    seen: list[Progress] = []
    pool = workers.SerialPool(evaluate, batch=batch)
    _, dump = run(tmp_path, "one", pool=pool, interrupted=interrupt_after(5), on_progress=seen.append)
    assert len(dump.splitlines()) <= seen[5].counts.generated + CONFIG.window + 1
    assert pool.in_flight == 0


def test_a_larger_budget_goes_on_as_if_it_had_been_there_at_once(tmp_path: Path, unbroken: str):
    for candidates in (1, 7, 25):
        run(tmp_path, "one", replaced_budget(candidates=candidates))
    assert run(tmp_path, "one")[1] == unbroken


def test_a_budget_of_trainings_counts_no_known_ones(tmp_path: Path, unbroken: str):
    reason, dump = run(tmp_path, "one", replaced_budget(trained=20))
    assert reason == "20 candidates were trained"
    assert dump.count('"known_from":null') == 20
    assert unbroken.startswith(dump)


def test_a_budget_of_seconds_ends_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clock = iter(range(10_000))
    monkeypatch.setattr("evolve.search.driver.time.monotonic", lambda: float(next(clock)))
    reason, dump = run(tmp_path, "one", replaced_budget(seconds=50.0))
    assert reason == "50 seconds were used"
    assert 0 < len(dump.splitlines()) < 60


def replaced_budget(**budget: float) -> Config:
    return CONFIG.model_copy(update={"budget": Budget.model_validate(budget)})


def test_the_best_are_scored_again_and_the_champion_is_chosen_by_that(tmp_path: Path):
    run(tmp_path, "one")
    with open_to_write(tmp_path, "one") as store:
        confirmed = [final for final in store.finals() if final.purpose == "confirm"]
        assert [final.candidate for final in confirmed] == [outcome.index for outcome in store.best(3)]
        champion = find_champion(store, CONFIG)
        assert champion is not None
        assert champion.index == max(confirmed, key=lambda final: final.score).candidate
        reported = [final for final in store.finals() if final.purpose == "report"]
        assert [final.candidate for final in reported] == [champion.index, None, None, None, None]
        assert [final.label for final in reported[1:]] == list(CONFIG.compare)


def test_a_champion_that_diverges_on_fresh_rng_seeds_is_none(tmp_path: Path):
    def lucky(jobs: Sequence[workers.Job]) -> list[workers.Result]:
        return [
            replace(result, status=workers.Status.DIVERGED, score=0.0, losses=())
            if job.rng_seeds == fresh_rng_seeds(CONFIG, "confirm") and job.index == 0
            else result
            for job, result in zip(jobs, evaluate(jobs), strict=True)
        ]

    run(tmp_path, "one", pool=workers.SerialPool(lucky))
    with open_to_write(tmp_path, "one") as store:
        champion, first = find_champion(store, CONFIG), store.best(1)[0]
        assert champion is not None
        assert champion.index != first.index


def test_a_done_run_does_nothing_more(tmp_path: Path):
    run(tmp_path, "one")

    def never(jobs: Sequence[workers.Job]) -> list[workers.Result]:
        raise AssertionError("nothing is left to train")

    assert run(tmp_path, "one", pool=workers.SerialPool(never))[0] == "60 candidates were put forward"


def test_rng_seeds_are_never_shared():
    drawn = [
        seed
        for number in range(3)
        for config in [CONFIG.model_copy(update={"rng_seed": number, "rng_seeds": 1000, "fresh_rng_seeds": 1000})]
        for seeds in (
            search_rng_seeds(config),
            fresh_rng_seeds(config, "confirm"),
            fresh_rng_seeds(config, "report"),
        )
        for seed in seeds
    ]
    assert len(drawn) == len(set(drawn))


def test_progress_counts_up_to_the_budget(tmp_path: Path):
    seen: list[Progress] = []
    run(tmp_path, "one", on_progress=seen.append)
    generated = [progress.counts.generated for progress in seen]
    assert generated == sorted(generated)
    assert seen[-1].counts.generated == 60
    assert seen[-1].counts.known + seen[-1].counts.trained == 60
    assert seen[-1].share == 1.0
    assert list(dict.fromkeys(progress.stage for progress in seen)) == ["search", "confirm", "report"]


def test_failures_of_workers_are_outcomes(tmp_path: Path):
    def fragile(jobs: Sequence[workers.Job]) -> list[workers.Result]:
        if any(job.index % 5 == 3 for job in jobs):
            raise RuntimeError("out of luck")
        return evaluate(jobs)

    reason, dump = run(tmp_path, "one", pool=workers.SerialPool(fragile))
    assert reason == "60 candidates were put forward"
    assert '"status":"crashed"' in dump
    assert run(tmp_path, "two", pool=workers.SerialPool(fragile, batch=1))[1] == dump


def test_a_start_program_that_cannot_be_trained_stops_the_search(tmp_path: Path):
    def broken(jobs: Sequence[workers.Job]) -> list[workers.Result]:
        raise RuntimeError("no such device")

    with pytest.raises(StoppedEarly, match="adamw, which the search starts from, cannot be trained: RuntimeError"):
        run(tmp_path, "one", pool=workers.SerialPool(broken))
    with open_to_write(tmp_path, "one") as store:
        assert store.counts().generated == 0


def test_a_search_in_which_nothing_can_be_changed_ends(tmp_path: Path):
    full = CONFIG.model_copy(
        update={
            "mutations": Mutations(insert=1.0, delete=0.0, modify=0.0, constants=0.0),
            "limits": ProgramLimits(statements=17),
            "budget": Budget(trained=50),
        }
    )
    assert run(tmp_path, "one", full)[0] == "no mutation applies to any program that is alive"
    before = run(tmp_path, "two", full.model_copy(update={"budget": Budget(candidates=9)}))[1]
    reason, dump = run(tmp_path, "two", full)
    assert dump.startswith(before)
    assert reason == "no mutation applies to any program that is alive"


def test_an_interrupted_resume_of_a_done_run_is_not_done(tmp_path: Path):
    run(tmp_path, "one")
    more = CONFIG.model_copy(update={"fresh_rng_seeds": 3})
    assert run(tmp_path, "one", more, interrupted=lambda: "someone wants an end")[0] == "someone wants an end"


def test_what_ends_at_the_hurdle_is_recorded_as_hopeless_and_never_wins(tmp_path: Path):
    """The better half is reported as hopeless, so a winner among them would show."""
    hurdles = set()

    def with_hurdle(jobs: Sequence[workers.Job]) -> list[workers.Result]:
        hurdles.update(job.hurdle for job in jobs)
        results = evaluate(jobs)
        return [
            replace(result, status=workers.Status.HOPELESS, message="0.2 on digits_tiny, below the hurdle of 0.5")
            if result.score > 1.5 and job.hurdle is not None and job.index
            else result
            for job, result in zip(jobs, results, strict=True)
        ]

    config = CONFIG.model_copy(update={"hurdle": 0.5})
    _, dump = run(tmp_path, "one", config, workers.SerialPool(with_hurdle))
    assert hurdles == {0.5, None}  # second scores cover all tasks
    assert run(tmp_path, "again", config, ShuffledPool(1))[1] != dump  # in which nothing is hopeless
    with open_to_write(tmp_path, "one") as store:
        counts, champion = store.counts(), find_champion(store, config)
        outcomes = list(store.outcomes())
    ended = [outcome for outcome in outcomes if outcome.status == "hopeless"]
    assert counts.hopeless == sum(outcome.known_from is None for outcome in ended) > 5
    assert all("below the hurdle of 0.5" in outcome.message for outcome in ended if outcome.known_from is None)
    assert dump.count('"status":"hopeless"') == len(ended) > counts.hopeless
    assert champion is not None
    assert champion.status == "ok"
    assert champion.score < max(outcome.score for outcome in ended)
