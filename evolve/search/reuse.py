"""Scores of earlier runs: a program that was trained there under the same conditions is not trained again.

Equal keys mean equal numbers if the arithmetic is the same, so a run that reuses scores finds what it would have
found without them.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import programs
import workers
from evolve.config.settings import Config
from evolve.errors import UsageError
from evolve.store.finals import search_rng_seeds
from evolve.store.folders import environment, open_to_read
from evolve.store.reader import RunReader
from evolve.store.records import Outcome
from evolve.store.run_configs import run_config
from workers import Arithmetic, Job, Result


class ReusingPool:
    """A pool that answers jobs with scores of earlier runs, and leaves the rest to another pool.

    Attributes:
        reused: The number of scores that came from earlier runs so far.
        borrowed: The arithmetics of the earlier runs.
    """

    def __init__(
        self,
        pool: workers.Pool,
        root: Path,
        names: Sequence[str],
        config: Config,
        trained_by: dict[str, str],
        arithmetic: Arithmetic | None = None,
    ):
        """Open the earlier runs.

        Args:
            pool: The pool that trains the rest; closed with this one.
            root: The folder of the runs.
            names: The names of the earlier runs.
            config: The config of the run that reuses their scores.
            trained_by: The device and engines of the new run, as in `RunReader.trained_by`.
            arithmetic: The arithmetic of the pool, which the earlier runs must have; None to accept any.

        Raises:
            UsageError: If a score of an earlier run could differ from that of a training now.
        """
        self._pool = pool
        self._ready: list[Result] = []
        self._known: dict[str, tuple[RunReader, int]] = {}
        self._conditions = _conditions(config)
        self.reused = 0
        self.borrowed: tuple[Arithmetic, ...] = ()
        with ExitStack() as stack:
            stack.enter_context(pool)
            for name in names:
                store = stack.enter_context(open_to_read(root, name))
                _check(store, config, trained_by, arithmetic)
                self.borrowed += store.arithmetics
                for outcome in store.outcomes():
                    if outcome.known_from is None and outcome.status not in workers.FAILURES:
                        self._known.setdefault(outcome.key, (store, outcome.index))
            self._stack = stack.pop_all()

    @property
    def workers(self) -> int:
        """How many jobs can be evaluated at once."""
        return self._pool.workers

    @property
    def device(self) -> str:
        """The device that trains; see Pool."""
        return self._pool.device

    @property
    def in_flight(self) -> int:
        """How many jobs were submitted and not returned yet."""
        return self._pool.in_flight + len(self._ready)

    def arithmetic(self, timeout_s: float | None = None) -> Arithmetic | None:
        """Return the arithmetic of the workers; see Pool."""
        return self._pool.arithmetic(timeout_s)

    def submit(self, job: Job) -> None:
        """Accept a job; see Pool."""
        found = None
        if (job.tasks, job.rng_seeds, job.hurdle) == self._conditions and not job.settings:
            found = self._known.get(programs.key(programs.parse(job.program)))
        if found is None:
            self._pool.submit(job)
            return
        store, index = found
        self.reused += 1
        self._ready.append(_result(job.index, store.outcome(index)))

    def hand_out(self) -> None:
        """Start idle workers; see Pool."""
        self._pool.hand_out()

    def wait(self, timeout_s: float | None = None) -> list[Result]:
        """Return the known results, or else wait for the pool; see Pool."""
        ready, self._ready = self._ready, []
        return ready or self._pool.wait(timeout_s)

    def forget(self) -> None:
        """Drop what is in flight; see Pool."""
        self._ready.clear()
        self._pool.forget()

    def close(self) -> None:
        """Close the pool and the earlier runs."""
        self._ready.clear()
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _conditions(config: Config) -> tuple[tuple[str, ...], tuple[int, ...], float | None]:
    return config.tasks, search_rng_seeds(config), config.hurdle


def _check(store: RunReader, config: Config, trained_by: dict[str, str], arithmetic: Arithmetic | None) -> None:
    """Raise if a run's scores were made under other conditions."""
    theirs = run_config(store)
    conditions = zip(("tasks", "rng seeds", "hurdle"), _conditions(theirs), _conditions(config), strict=True)
    differing = [f"{name}: {then}, now {now}" for name, then, now in conditions if then != now]
    if theirs.settings != 1:
        differing.append(f"settings: {theirs.settings}; right would be 1, since only the best of several was recorded")
    for then, now in ((store.environment, environment()), (store.trained_by, trained_by)):
        differing += [f"{name}: {then.get(name)}, now {now[name]}" for name in now if then.get(name) != now[name]]
    if arithmetic is not None:
        differing += [
            f"arithmetic: {then}, now {arithmetic} (--other-arithmetic takes the scores all the same, and notes it)"
            for then in store.arithmetics
            if then != arithmetic
        ]
    if differing:
        raise UsageError(f"scores of run {store.name} cannot be reused, since they may differ here:", differing)


def _result(index: int, outcome: Outcome) -> Result:
    return Result(
        index,
        workers.Status(outcome.status),
        outcome.score,
        outcome.losses,
        outcome.seconds,
        outcome.attempts,
        message=outcome.message,
    )
