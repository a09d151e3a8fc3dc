"""What tests of searches share: a config, a pool that returns results in any order, and a run."""

import random
from collections.abc import Callable
from pathlib import Path

from instant import evaluate

import workers
from evolve.config.files import to_yaml
from evolve.config.settings import Budget, Config
from evolve.search.driver import Progress, Stop, Watcher, search
from evolve.store.folders import create, open_to_write
from evolve.store.records import dump_lines

CONFIG = Config(
    tasks=("digits_tiny",),
    budget=Budget(candidates=60),
    population=8,
    tournament=3,
    window=6,
    finalists=3,
    fresh_rng_seeds=2,
)


class ShuffledPool(workers.SerialPool):
    """Returns results in any order, several at a time, as many workers would."""

    def __init__(self, rng_seed: int):
        super().__init__(evaluate)
        self._random = random.Random(rng_seed)
        self._held: list[workers.Result] = []

    def forget(self) -> None:
        super().forget()
        self._held.clear()

    @property
    def in_flight(self) -> int:
        return super().in_flight + len(self._held)

    def wait(self, timeout_s: float | None = None) -> list[workers.Result]:
        while super().in_flight and self._random.random() < 0.7:
            self._held += super().wait()
        self._random.shuffle(self._held)
        count = self._random.randint(0, len(self._held))
        given, self._held = self._held[:count], self._held[count:]
        return given


def run(
    root: Path,
    name: str,
    config: Config = CONFIG,
    pool: workers.Pool | None = None,
    interrupted: Callable[[], str | None] = lambda: None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    watcher: Watcher | None = None,
    searched: Callable[..., Stop] = search,
) -> tuple[str, str]:
    """Start or resume a run; return its reason for stopping and its dump."""
    again = (root / name).exists()
    with open_to_write(root, name) if again else create(root, name, "", to_yaml(config), {}) as store:
        watcher = watcher or Watcher(on_progress, interrupted)
        stop = searched(store, config, pool or workers.SerialPool(evaluate), watcher)
        assert (store.stop_reason is None) == stop.interrupted
        return stop.reason, "\n".join(dump_lines(store.outcomes()))


def interrupt_after(calls: int) -> Callable[[], str | None]:
    left = iter(range(calls))
    return lambda: None if next(left, None) is not None else "someone wants an end"
