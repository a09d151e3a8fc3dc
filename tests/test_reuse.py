"""Scores of earlier runs: reused if a training would give the same, refused if it may not."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from instant import evaluate
from search_cases import CONFIG, run

import workers
from evolve.config.files import to_yaml
from evolve.config.settings import Config, ProgramLimits
from evolve.errors import UsageError
from evolve.search.driver import Watcher, search, trained_by
from evolve.search.reuse import ReusingPool
from evolve.store.folders import create, environment, open_to_write

OTHER = CONFIG.model_copy(update={"limits": ProgramLimits(statements=18)})


class Counting(workers.SerialPool):
    """A pool that counts its trainings."""

    def __init__(self) -> None:
        super().__init__(self._evaluate_some)
        self.trained = 0

    def _evaluate_some(self, jobs: Sequence[workers.Job]) -> list[workers.Result]:
        self.trained += len(jobs)
        return evaluate(jobs)


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    with create(tmp_path, "earlier", "", to_yaml(CONFIG), environment()) as store:
        search(store, CONFIG, workers.SerialPool(evaluate), Watcher())
    return tmp_path


def reusing(root: Path, config: Config, pool: workers.Pool) -> ReusingPool:
    return ReusingPool(pool, root, ["earlier"], config, trained_by(config, pool))


def test_a_run_that_reuses_scores_finds_what_it_would_find_without(earlier: Path):
    alone, helped = Counting(), Counting()
    _, wanted = run(earlier, "alone", OTHER, pool=alone)
    with reusing(earlier, OTHER, helped) as pool:
        assert run(earlier, "helped", OTHER, pool=pool)[1] == wanted
        assert wanted != run(earlier, "plain")[1]
        assert pool.reused > 10
    assert helped.trained == alone.trained - pool.reused


def test_second_scores_are_trained(earlier: Path):
    helped = Counting()
    with reusing(earlier, CONFIG, helped) as pool:
        run(earlier, "again", CONFIG, pool=pool)
    finals = CONFIG.finalists + 1 + len(CONFIG.compare)
    assert helped.trained == finals


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"rng_seeds": 2}, "rng seeds"),
        ({"rng_seed": 1}, "rng seeds"),
        ({"hurdle": 0.5}, "hurdle"),
        ({"tasks": ("iris",)}, "engines"),
    ],
)
def test_other_conditions_are_refused(earlier: Path, changes: dict[str, object], what: str):
    pool = Counting()
    with pytest.raises(UsageError, match="scores of run earlier cannot be reused") as caught:
        reusing(earlier, CONFIG.model_copy(update=changes), pool)
    assert any(problem.startswith(what) for problem in caught.value.problems)


def test_another_device_or_version_is_refused(earlier: Path):
    pool = Counting()
    with pytest.raises(UsageError) as caught:
        ReusingPool(pool, earlier, ["earlier"], CONFIG, trained_by(CONFIG, pool) | {"device": "gpu"})
    assert caught.value.problems == ("device: cpu, now gpu",)
    (earlier / "earlier" / "env.json").write_text('{"jax": "0.1"}')
    with pytest.raises(UsageError) as caught:
        reusing(earlier, CONFIG, pool)
    assert any(problem.startswith("jax: 0.1, now") for problem in caught.value.problems)


def test_a_run_with_several_settings_is_refused(tmp_path: Path):
    several = CONFIG.model_copy(update={"settings": 2})
    with create(tmp_path, "earlier", "", to_yaml(several), environment()) as store:
        search(store, several, workers.SerialPool(evaluate), Watcher())
    with pytest.raises(UsageError, match="only the best of several"):
        reusing(tmp_path, CONFIG, Counting())


def test_failures_are_tried_again(tmp_path: Path):
    def broken(jobs: Sequence[workers.Job]) -> list[workers.Result]:
        if any(job.index > 5 for job in jobs):
            raise RuntimeError("out of luck")
        return evaluate(jobs)

    with create(tmp_path, "earlier", "", to_yaml(CONFIG), environment()) as store:
        search(store, CONFIG, workers.SerialPool(broken), Watcher())
    _, wanted = run(tmp_path, "alone")
    with reusing(tmp_path, CONFIG, Counting()) as pool:
        assert run(tmp_path, "helped", pool=pool)[1] == wanted
        assert 0 < pool.reused <= 6


def test_the_earlier_run_can_be_gone_on_with_meanwhile(earlier: Path):
    with reusing(earlier, CONFIG, Counting()), open_to_write(earlier, "earlier") as store:
        more = CONFIG.model_copy(update={"budget": CONFIG.budget.model_copy(update={"candidates": 70})})
        search(store, more, workers.SerialPool(evaluate), Watcher())
        assert store.counts().generated == 70
