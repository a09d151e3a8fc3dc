"""How children are made: modes, settings of constants, adaptive mutation weights, order of arrival."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from instant import evaluate
from search_cases import CONFIG, ShuffledPool, interrupt_after, run

import programs
import workers
from evolve.config.settings import Budget, Config, Mutations
from evolve.search.adaptation import Successes
from evolve.search.evolution import MODES
from evolve.store.folders import open_to_read
from evolve.store.records import Outcome

ADAMW = programs.load("adamw")


def config_of(**changes: object) -> Config:
    return CONFIG.model_copy(update=changes)


def outcomes(root: Path, name: str) -> list[Outcome]:
    with open_to_read(root, name) as store:
        return list(store.outcomes())


def structure(program: programs.Program) -> list[tuple[str, str, tuple[object, ...]]]:
    """Return a program's structure, without its numbers."""
    return [
        (target, function, tuple(x if isinstance(x, str) else "number" for x in arguments))
        for target, function, arguments in program.statements
    ]


VARIED = {
    "random": {"mode": "random"},
    "constants": {"mode": "constants"},
    "settings": {"settings": 5},
    "adaptive": {"adaptive": True},
    "all": {"mode": "constants", "settings": 3, "adaptive": True},
}


@pytest.mark.parametrize("changes", VARIED.values(), ids=VARIED)
def test_every_way_is_repeatable_and_goes_on_after_interrupts(tmp_path: Path, changes: dict[str, object]):
    config = config_of(**changes)
    unbroken = run(tmp_path, "unbroken", config)[1]
    assert len(unbroken.splitlines()) == 60
    assert run(tmp_path, "shuffled", config, pool=ShuffledPool(3))[1] == unbroken
    for calls in (1, 4, 9):
        pool = workers.SerialPool(evaluate, batch=1)
        assert unbroken.startswith(run(tmp_path, "broken", config, pool=pool, interrupted=interrupt_after(calls))[1])
    assert run(tmp_path, "broken", config)[1] == unbroken
    assert unbroken != run(tmp_path, "plain")[1]


def test_the_modes_of_the_config_are_those_of_the_table():
    annotation = Config.model_fields["mode"].annotation
    assert set(MODES) == set(get_args(annotation))


def test_random_search_looks_at_no_score(tmp_path: Path):
    run(tmp_path, "one", config_of(mode="random"))
    found = outcomes(tmp_path, "one")[1:]
    assert {parent for outcome in found for parent in outcome.parents} == {0}
    edits = [outcome.mutation.count("+") + 1 for outcome in found]
    assert min(edits) == 1
    assert 2.5 < np.mean(edits) < 6


def test_constants_alone_keep_the_structure(tmp_path: Path):
    run(tmp_path, "one", config_of(mode="constants"))
    found = outcomes(tmp_path, "one")
    assert {outcome.mutation for outcome in found[1:]} == {"constants"}
    assert all(structure(programs.parse(outcome.program)) == structure(ADAMW) for outcome in found)
    assert len({outcome.program for outcome in found}) > 50


def best_of_five(jobs: Sequence[workers.Job]) -> list[workers.Result]:
    """Return results in which the last setting of each job is the best, if the job has settings."""
    results = []
    for job, result in zip(jobs, evaluate(jobs), strict=True):
        results.append(replace(result, setting=len(job.settings)))
    return results


def test_the_best_setting_is_inherited(tmp_path: Path):
    seen: dict[int, workers.Job] = {}

    def evaluate_some(jobs: Sequence[workers.Job]) -> list[workers.Result]:
        seen.update({job.index: job for job in jobs if len(job.rng_seeds) == CONFIG.rng_seeds})
        return best_of_five(jobs)

    run(tmp_path, "one", config_of(settings=5), pool=workers.SerialPool(evaluate_some))
    found = outcomes(tmp_path, "one")
    trained = [outcome for outcome in found if outcome.known_from is None]
    assert {outcome.index for outcome in trained} == set(seen)
    for outcome in trained:
        job = seen[outcome.index]
        assert len(job.settings) == 4
        assert outcome.program == job.settings[-1]
        assert outcome.key == programs.key(programs.parse(job.program))
        assert structure(programs.parse(outcome.program)) == structure(programs.parse(job.program))
    known = [outcome for outcome in found if outcome.known_from is not None]
    assert known
    assert all(outcome.program == found[outcome.known_from or 0].program for outcome in known)


def test_a_budget_of_trainings_counts_every_setting(tmp_path: Path):
    reason, dump = run(tmp_path, "one", config_of(settings=5, budget=Budget(trained=100)))
    assert reason == "100 settings were trained"
    assert dump.count('"known_from":null') == 20


def test_a_program_without_numbers_has_one_setting(tmp_path: Path):
    def evaluate_some(jobs: Sequence[workers.Job]) -> list[workers.Result]:
        assert all(job.settings for job in jobs if any(c.isdigit() for c in job.program.replace("v1", "")))
        return evaluate(jobs)

    run(tmp_path, "one", config_of(settings=2, start="sgd", budget=Budget(candidates=10)))


def test_workers_give_the_best_of_a_jobs_programs():
    texts = [
        str(programs.parse(f"def train(g):\n    update = g * {rate}\n    return update\n"))
        for rate in (0.01, 0.5, 1e30)
    ]
    alone = workers.evaluate([workers.Job(i, text, ("iris",), (0,)) for i, text in enumerate(texts)])
    assert [result.status for result in alone] == ["ok", "ok", "diverged"]
    assert alone[1].score > alone[0].score
    job = workers.Job(7, texts[0], ("iris",), (0,), settings=(texts[1], texts[2]))
    other = workers.Job(8, texts[2], ("iris",), (0,), settings=(texts[0], texts[0]))
    bad = workers.Job(9, texts[2], ("iris",), (0,))
    results = workers.evaluate([job, bad, other])
    assert [(r.index, r.setting, r.status) for r in results] == [(7, 1, "ok"), (9, 0, "diverged"), (8, 1, "ok")]
    assert (results[0].score, results[0].losses) == (alone[1].score, alone[1].losses)
    assert results[2].losses == alone[0].losses


def test_weights_follow_success_and_none_is_given_up():
    successes = Successes()
    weights = {"insert": 2.0, "delete": 1.0, "modify": 1.0, "crossover": 0.0}
    before = successes.adapt(weights)
    assert before == {"insert": 2.0, "delete": 1.0, "modify": 1.0, "crossover": 0.0}
    for _ in range(300):
        successes.note("insert", False)
        successes.note("modify", True)
    after = successes.adapt(weights)
    assert after["modify"] == 1.0
    assert 0.1 <= after["insert"] / 2.0 < 0.11
    assert after["insert"] / 2.0 < after["delete"] < 1.0  # delete was never tried
    assert after["crossover"] == 0.0
    for _ in range(300):
        successes.note("insert", True)
        successes.note("modify", False)
    assert successes.adapt(weights)["modify"] < 0.2  # old successes are forgotten


def test_what_works_is_tried_more_often(tmp_path: Path):
    """Only programs with AdamW's structure score, and by their numbers alone, so that no other mutation helps."""

    def numbers_count(jobs: Sequence[workers.Job]) -> list[workers.Result]:
        results = []
        for job in jobs:
            program = programs.parse(job.program)
            score = sum(x for s in program.statements for x in s.arguments if isinstance(x, float))
            kept = structure(program) == structure(ADAMW)
            results.append(workers.Result(job.index, workers.Status.OK, score=score if kept else -1e9))
        return results

    counts = {}
    for name, adaptive in (("adaptive", True), ("plain", False)):
        config = config_of(adaptive=adaptive, budget=Budget(candidates=300))
        run(tmp_path, name, config, pool=workers.SerialPool(numbers_count))
        counts[name] = sum(outcome.mutation == "constants" for outcome in outcomes(tmp_path, name)[100:])
    assert counts["adaptive"] > 1.5 * counts["plain"]


ARRIVAL = config_of(order="arrival")


def test_in_order_of_arrival_nobody_waits_for_the_slow_one(tmp_path: Path):
    class LastFirst(workers.SerialPool):
        """Returns the newest job's result first, and the first proposal's only when no other job is left."""

        def __init__(self) -> None:
            super().__init__(evaluate)
            self.jobs: list[workers.Job] = []

        @property
        def in_flight(self) -> int:
            return len(self.jobs)

        def submit(self, job: workers.Job) -> None:
            self.jobs.append(job)

        def forget(self) -> None:
            self.jobs.clear()

        def wait(self, timeout_s: float | None = None) -> list[workers.Result]:
            return evaluate([self.jobs.pop()])

    run(tmp_path, "strict", config_of(), pool=LastFirst())
    run(tmp_path, "one", ARRIVAL, pool=LastFirst())
    found = outcomes(tmp_path, "one")
    assert [outcome.index for outcome in found] == list(range(60))
    assert all(parent < outcome.index for outcome in found for parent in outcome.parents)
    assert [o.program for o in found] != [o.program for o in outcomes(tmp_path, "strict")]
    for outcome in found:
        if outcome.known_from is not None:
            assert found[outcome.known_from].key == outcome.key


@pytest.mark.parametrize("rng_seed", range(3))
def test_in_order_of_arrival_a_run_goes_on_too(tmp_path: Path, rng_seed: int):
    dumps = []
    for calls in (3, 8):
        pool = ShuffledPool(rng_seed)
        dumps.append(run(tmp_path, "one", ARRIVAL, pool=pool, interrupted=interrupt_after(calls))[1])
    reason, dump = run(tmp_path, "one", ARRIVAL, pool=ShuffledPool(rng_seed + 1))
    assert reason == "60 candidates were put forward"
    assert len(dump.splitlines()) == 60
    assert all(dump.startswith(part) for part in dumps)


def test_in_order_of_arrival_as_in_strict_order_where_results_come_in_order(tmp_path: Path):
    in_turn = config_of(mutations=Mutations(insert=0.0, delete=0.0, modify=0.0), window=1)  # without known keys
    dumps = [run(tmp_path, order, in_turn.model_copy(update={"order": order}))[1] for order in ("strict", "arrival")]
    assert dumps[0] == dumps[1]
