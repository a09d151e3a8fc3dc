"""The search in virtual time: closed forms, conservation, and the same times as the real search."""

import dataclasses
import heapq
from pathlib import Path

import instant
import numpy as np
import pytest
import search_cases
from scaling import forecast
from scaling.simulation import Costs, Draw, Report, Setting, simulate

import workers
from evolve.config.settings import Budget, Mutations
from evolve.search.driver import Progress

FREE, COSTS = Costs(), Costs(0.003, 0.002, 0.05, 0.011, 0.0013, 0.0007, 0.017)
SKEWED = sorted(forecast.SKEWED)


def run(setting: Setting, costs: Costs = FREE, draw: Draw = lambda island, place: 1.0, outcomes: int = 400) -> Report:
    return simulate(setting, costs, draw, outcomes)


def skewed(name: str, rng_seed: int = 0) -> forecast.Lengths:
    return forecast.SKEWED[name](1.0, np.random.default_rng(rng_seed))


def test_one_worker_with_a_window_of_one_goes_through_every_cost_once():
    report = run(Setting(workers=1, window=1), COSTS)
    beside = sum(dataclasses.asdict(COSTS).values())
    assert report.utilisation == pytest.approx(1.0 / (1.0 + beside))
    assert report.outcomes_per_s == pytest.approx(1.0 / (1.0 + beside))
    assert report.idle["way"] == pytest.approx(COSTS.way_s / (1.0 + beside))
    assert report.driver == pytest.approx((COSTS.outcome_s + COSTS.commit_s) / (1.0 + beside))


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(("window", "utilisation"), [(2, 0.25), (8, 1.0), (16, 1.0)])
def test_evaluations_of_one_length_wait_for_nothing_but_a_small_window(strict: bool, window: int, utilisation: float):
    assert run(Setting(8, 1, window, strict)).utilisation == pytest.approx(utilisation)


def test_a_window_of_one_in_strict_order_is_a_queue():
    draw = skewed("lognormal, sigma 1")
    lengths = [draw(0, place) for place in range(201)]
    report = run(Setting(8, 1, 1), draw=lambda island, place: lengths[place], outcomes=200)
    assert report.seconds == pytest.approx(sum(lengths[100:200]))


def test_what_takes_no_time_is_limited_by_who_proposes_and_with_many_islands_by_the_driver():
    def at_once(island: int, place: int) -> float:
        return 0.0

    alone = run(Setting(4, 1, 64), Costs(propose_s=0.01), at_once)
    assert alone.outcomes_per_s == pytest.approx(100.0)
    assert alone.island == pytest.approx(1.0)
    many = run(Setting(64, 16, 64), Costs(propose_s=0.01, outcome_s=0.001), at_once, 20_000)
    assert many.outcomes_per_s == pytest.approx(1_000.0, rel=0.01)
    assert many.driver == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("islands", [1, 3])
@pytest.mark.parametrize("batch", [1, 64])
@pytest.mark.parametrize("strict", [True, False])
def test_all_time_is_accounted_for_and_every_proposal_is_made_once_and_in_order(islands: int, batch: int, strict: bool):
    asked: dict[int, list[int]] = {island: [] for island in range(islands)}
    rng = np.random.default_rng(0)
    length = forecast.lognormal(1.0)(0.1, rng)

    def draw(island: int, place: int) -> float | None:
        asked[island].append(place)
        return None if rng.random() < 0.5 else length(island, place)

    report = run(Setting(10, islands, 20, strict, batch), COSTS, draw, 3_000)
    assert report.utilisation + sum(report.idle.values()) == pytest.approx(1.0)
    assert all(places == list(range(len(places))) for places in asked.values())
    made = sum(map(len, asked.values()))
    assert 3_000 <= made <= 3_000 + islands * 61  # a window in flight, one on its way to the driver, one too many


@pytest.mark.parametrize("islands", [1, 3])
def test_the_same_draws_give_the_same_report(islands: int):
    setting = Setting(10, islands, 20)
    one, again = (run(setting, COSTS, skewed("Pareto, tail 1.5"), 1_000) for _ in range(2))
    assert one == again
    assert run(setting, COSTS, skewed("Pareto, tail 1.5", 1), 1_000) != one


@pytest.mark.parametrize("name", SKEWED)
@pytest.mark.parametrize("window", [8, 16, 32])
def test_strict_order_is_never_better_than_order_of_arrival(name: str, window: int):
    strict, arrival = (run(Setting(8, 1, window, order, 1), FREE, skewed(name), 4_000) for order in (True, False))
    assert strict.utilisation <= arrival.utilisation + 1e-3
    assert arrival.utilisation == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("name", SKEWED)
def test_a_wider_window_leaves_less_idle(name: str):
    busy = [run(Setting(8, 1, window, True, 1), FREE, skewed(name), 4_000).utilisation for window in (4, 8, 16, 64)]
    assert busy == pytest.approx(sorted(busy), abs=1e-9)
    assert busy[0] <= 0.5 < busy[-1]


class VirtualPool(workers.SerialPool):
    """Workers whose evaluations take virtual time."""

    def __init__(self, count: int, lengths: list[float]):
        super().__init__(instant.evaluate)
        self.now_s = 0.0
        self._free, self._lengths = count, lengths
        self._waiting: list[workers.Job] = []
        self._under_way: list[tuple[float, int, workers.Job]] = []

    @property
    def in_flight(self) -> int:
        return len(self._waiting) + len(self._under_way)

    def submit(self, job: workers.Job) -> None:
        self._waiting.append(job)

    def wait(self, timeout_s: float | None = None) -> list[workers.Result]:
        while self._waiting and self._free:
            job = self._waiting.pop(0)
            self._free -= 1
            heapq.heappush(self._under_way, (self.now_s + self._lengths[job.index], job.index, job))
        self.now_s, _, job = heapq.heappop(self._under_way)
        self._free += 1
        return [instant.evaluate_one(job)]


@pytest.mark.parametrize("order", ["strict", "arrival"])
@pytest.mark.parametrize(("count", "window"), [(1, 1), (3, 3), (3, 9), (8, 5)])
def test_the_real_search_takes_the_same_time(tmp_path: Path, order: str, count: int, window: int):
    """Only constants are changed, so that no key is known: in order of arrival, a known key may have to wait."""
    draw = skewed("lognormal, sigma 1")
    lengths = [draw(0, place) for place in range(200)]
    pool = VirtualPool(count, lengths)
    times: dict[int, float] = {}
    edits = dict.fromkeys(Mutations.model_fields, 0.0) | {"constants": 1.0}
    changes = {"order": order, "window": window, "mutations": Mutations(**edits), "budget": Budget(candidates=160)}
    config = search_cases.CONFIG.model_copy(update=changes)

    def note(progress: Progress) -> None:
        times.setdefault(progress.counts.generated, pool.now_s)

    _, dump = search_cases.run(tmp_path, "one", config, pool, on_progress=note)
    assert dump.count('"known_from":null') == 160
    setting = Setting(count, 1, window, order == "strict", batch=1)
    report = run(setting, FREE, lambda island, place: lengths[place], 120)
    half, end = (min(number for number in times if number >= least) for least in (60, 120))
    assert report.seconds == pytest.approx(times[end] - times[half])


def test_the_most_workers_are_busy_enough_and_more_are_not():
    most = forecast.most_workers(1, 0.02, forecast.MEASURED)
    assert forecast.utilisation(most, 1, 0.02, forecast.MEASURED) >= forecast.BUSY
    assert forecast.utilisation(2 * most, 1, 0.02, forecast.MEASURED) < forecast.BUSY


@pytest.mark.parametrize("name", SKEWED)
def test_lengths_have_the_mean_that_was_asked_for(name: str):
    draw = forecast.SKEWED[name](3.0, np.random.default_rng(0))
    drawn = [draw(0, place) for place in range(20_000)]
    assert np.mean(drawn) == pytest.approx(3.0, rel=0.1)


@pytest.mark.parametrize("changes", [{"workers": 0}, {"islands": 0}, {"window": 0}, {"batch": 0}, {"islands": 5}])
def test_settings_without_sense_are_refused(changes: dict[str, int]):
    with pytest.raises(ValueError, match="right would be"):
        dataclasses.replace(Setting(4), **changes)


@pytest.mark.slow
def test_both_tables_are_drawn(tmp_path: Path):
    pytest.importorskip("matplotlib")
    fed = {1: [0] + [7] * (len(forecast.SECONDS) - 1)}
    shares = [0.5] * len(forecast.WINDOWS)
    idle = {(*pool, name, strict): shares for pool in forecast.POOLS for name in SKEWED for strict in (True, False)}
    forecast.plot(fed, idle, tmp_path / "forecast.svg")
    assert (tmp_path / "forecast.svg").read_text(encoding="utf-8").startswith("<?xml")
