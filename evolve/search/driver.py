"""The driver of a search: the one place where proposals, a pool of workers and the run store meet."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import programs
import workers
from evolve.config.settings import Config
from evolve.errors import StoppedEarly, UsageError
from evolve.search.budget import found_nothing, share_used, used_up
from evolve.search.island import Founder
from evolve.search.local_islands import IslandsHere, OpenIslands
from evolve.search.rounds import Leg, legs
from evolve.store.finals import Purpose, fresh_rng_seeds, missing_finals
from evolve.store.reader import RunReader
from evolve.store.records import Counts, Final, Outcome
from evolve.store.writer import RunStore
from workers import faults

faults.declare(
    {
        "search.results": "results have come and are not committed",
    }
)

_POLL_SECONDS = 0.2  # the longest that a wait for results delays a signal or the end of the budget


@dataclass(frozen=True)
class Progress:
    """What a search has done so far, for a watcher.

    Attributes:
        counts: Counts of the outcomes committed or about to be, of earlier sessions too.
        best: The best score of the search; None before there is one.
        seconds: Seconds since this session began.
        share: How much of the budget is used, from 0 to 1.
        stage: ``search``, ``confirm`` or ``report``.
    """

    counts: Counts
    best: float | None
    seconds: float
    share: float
    stage: str


@dataclass(frozen=True)
class Watcher:
    """Callbacks by which a search reports its progress and can be interrupted.

    Attributes:
        on_progress: Called whenever outcomes arrived, and regularly while waiting.
        interrupted: Called regularly; if it returns a reason, the search ends and can be resumed.
        on_note: Called with a sentence for people.
    """

    on_progress: Callable[[Progress], None] = lambda progress: None
    interrupted: Callable[[], str | None] = lambda: None
    on_note: Callable[[str], None] = lambda note: None


@dataclass(frozen=True)
class Stop:
    """Why a session of a search ended; if it was interrupted, the search is not done."""

    reason: str
    interrupted: bool


def search(
    store: RunStore,
    config: Config,
    pool: workers.Pool,
    watcher: Watcher,
    open_islands: OpenIslands = IslandsHere,
    *,
    borrowed: Sequence[workers.Arithmetic] = (),
    other_arithmetic: bool = False,
    resolved: str | None = None,
) -> Stop:
    """Run a search, or resume one, until its budget is used up.

    Args:
        store: The run, open for writing; outcomes that it holds already are not computed again.
        config: The search's settings; its tasks are names of tasks, not of suites.
        pool: Where jobs run; its size changes nothing but the time.
        watcher: Callbacks, called regularly.
        open_islands: Opens the islands; where they run changes nothing but the time, too.
        borrowed: The arithmetics of runs whose scores the pool reuses; the run notes them.
        other_arithmetic: Whether the pool may have another arithmetic than the run's earlier sessions.
        resolved: The config as text, to replace the run's once nothing is refused; None to keep that.

    Raises:
        RunConflict: If an earlier session was trained with something else.
        StoppedEarly: If the program that the search starts from cannot be trained, or the disk fails.
        UsageError: If that program does not pass the hurdle.
    """
    arithmetic = _wait_for_arithmetic(pool, watcher)
    if isinstance(arithmetic, Stop):
        return arithmetic
    store.begin_session(
        **trained_by(config, pool), arithmetic=arithmetic, borrowed=borrowed, other_arithmetic=other_arithmetic
    )
    if resolved is not None:
        store.change_config(resolved)
    session = _Session(store, config, pool, watcher, open_islands)
    session.evolve()
    seconds, reason = session.seconds, session.spent or session.ending or "every round is complete"
    if session.interruption is None:
        session.score_again()
    if session.interruption is not None:
        return Stop(session.interruption, interrupted=True)
    store.finish(reason, seconds)
    return Stop(reason, interrupted=False)


def nothing_to_search(store: RunReader, config: Config) -> str | None:
    """Return why a search has nothing more to do with this config; None if it may find more."""
    counts, best = store.counts(), next((outcome.score for outcome in store.best(1)), None)
    *_, last = legs(config)
    complete = last.end is not None and counts.generated >= last.end
    return used_up(config, counts, best, store.seconds) or ("every round is complete" if complete else None)


def _wait_for_arithmetic(pool: workers.Pool, watcher: Watcher) -> workers.Arithmetic | Stop:
    """Wait until a pool knows its workers' arithmetic, or until somebody interrupts.

    Raises:
        PoolError: If no worker can be started.
    """
    while (arithmetic := pool.arithmetic(_POLL_SECONDS)) is None:
        if reason := watcher.interrupted():
            return Stop(reason, interrupted=True)
    return arithmetic


def trained_by(config: Config, pool: workers.Pool) -> dict[str, str]:
    """Return what a pool trains with, as in `RunStore.trained_by`: the device, and the engine of each task."""
    import tasks  # imports JAX

    engines = [f"{name} by {tasks.choose_engine(tasks.get(name), pool.device)}" for name in config.tasks]
    return {"device": pool.device, "engines": ", ".join(engines)}


class _Session:
    """One process's part in a search: the only writer of its run."""

    def __init__(
        self, store: RunStore, config: Config, pool: workers.Pool, watcher: Watcher, open_islands: OpenIslands
    ):
        self.store, self.config, self.pool, self.watcher = store, config, pool, watcher
        self.open_islands = open_islands
        self.stage = "search"
        self.counts = store.counts()  # of the outcomes committed or lined up
        self.best = next((outcome.score for outcome in store.best(1)), None)
        self.earlier_seconds = store.seconds
        self.began = time.monotonic()
        self.arrived: dict[int, Outcome] = {}  # by index, those whose turn has not come
        self.lined_up: list[Outcome] = []  # the next to be committed, in order
        self.compiled = False  # whether it was said that programs are too large for the interpreter
        self.known = 0  # how many of the last outcomes of the round took known scores, without one between that did not
        self.spent: str | None = None  # why nothing more is committed
        self.ending: str | None = None  # why nothing more is proposed, while proposals under way are finished
        self.interruption: str | None = None  # why the session ends before the search does

    @property
    def seconds(self) -> float:
        """Seconds that the search has taken so far, summed over all sessions."""
        return self.earlier_seconds + time.monotonic() - self.began

    def evolve(self) -> None:
        """Run the rounds, or what is left of them."""
        for leg in legs(self.config):
            self.look_around()
            if self.spent or self.ending:
                return
            if leg.end is None or self.counts.generated < leg.end:
                self.go_through(leg)

    def go_through(self, leg: Leg) -> None:
        """Run the islands of a round and commit their outcomes, until the round or the budget ends."""
        self.known = min(self.store.known_at_the_end(), self.counts.generated - leg.first)
        self.spent = found_nothing(self.config, leg.islands, self.known)
        if self.spent:
            return
        before = self.counts  # as long as nothing has come, there is nothing whose end an interruption should wait for
        islands = self.open_islands(self.config, leg, self.founder(leg), self.pool, self.history)
        try:
            while not islands.idle and not self.spent and not (self.interruption and before == self.counts):
                if self.ending:
                    islands.end()
                for outcome in islands.advance(_POLL_SECONDS):
                    self.arrived[outcome.index] = outcome
                faults.hit("search.results")
                self.line_up(leg)
                self.commit()
                self.look_around()
            if not self.spent and not self.ending and (leg.end is None or self.counts.generated < leg.end):
                self.spent = "no mutation applies to any program that is alive"
        finally:
            self.arrived.clear()
            islands.close()

    def founder(self, leg: Leg) -> Founder:
        """Return the program that a round begins with."""
        if leg.starts_with_best:
            for best in self.store.best(1, before=leg.first):
                return Founder(best.program, (best.index,))
        return Founder(str(programs.load(self.config.start)))

    def history(self) -> Iterator[Outcome]:
        """Yield all outcomes so far, by index; those that arrived before their turn come last."""
        yield from self.store.outcomes()
        yield from self.lined_up
        yield from (outcome for _, outcome in sorted(self.arrived.items()))

    def line_up(self, leg: Leg) -> None:
        """Line up every outcome whose turn has come, as far as the budget allows."""
        while self.spent is None:
            outcome = self.arrived.pop(self.counts.generated, None)
            if outcome is None:
                return
            if outcome.index == 0:
                self.check_start(outcome)
            self.say_if_compiled(outcome)
            self.lined_up.append(self.with_losses(outcome))
            self.counts = self.counts.with_outcome(outcome)
            if outcome.status == workers.Status.OK:
                self.best = outcome.score if self.best is None else max(self.best, outcome.score)
            self.known = 0 if outcome.known_from is None else self.known + 1
            self.spent = used_up(self.config, self.counts, self.best, 0.0)
            self.spent = self.spent or found_nothing(self.config, leg.islands, self.known)

    def check_start(self, outcome: Outcome) -> None:
        """Refuse to search from a program that cannot be trained, or is hopeless."""
        start = f"{self.config.start}, which the search starts from,"
        if outcome.status in workers.FAILURES:
            raise StoppedEarly(f"{start} cannot be trained: {outcome.message}")
        if outcome.status == workers.Status.HOPELESS:
            raise UsageError(
                f"hurdle: {start} scores {outcome.message}; right would be a hurdle that it passes, or null for none"
            )

    def say_if_compiled(self, outcome: Outcome) -> None:
        """Say, once in a session, that a program is too large for the engine that trains the others."""
        if not self.compiled and workers.TOO_LARGE in outcome.message:
            self.compiled = True
            self.watcher.on_note(
                f"candidate {outcome.index} is {workers.TOO_LARGE}; `pride status` counts such programs"
            )

    def with_losses(self, outcome: Outcome) -> Outcome:
        """Return an outcome; if it took a known score, with the losses and message of the outcome that was known."""
        if outcome.known_from is None:
            return outcome
        place = outcome.known_from - self.store.counts().generated
        known = self.lined_up[place] if place >= 0 else self.store.outcome(outcome.known_from)
        return replace(outcome, losses=known.losses, message=known.message)

    def commit(self) -> None:
        """Write the outcomes that are lined up; many outcomes in one transaction take little longer than one."""
        if self.lined_up:
            self.store.commit(*self.lined_up, seconds=self.seconds)
            self.lined_up.clear()

    def look_around(self) -> None:
        """Report the progress, and check whether the budget is used up or the watcher interrupts."""
        share = share_used(self.config, self.counts, self.best, self.seconds)
        seconds = time.monotonic() - self.began
        self.watcher.on_progress(Progress(self.counts, self.best, seconds, share, self.stage))
        if self.interruption is None:
            self.interruption = self.watcher.interrupted()
        self.spent = self.spent or used_up(self.config, self.counts, self.best, 0.0)
        self.ending = self.ending or self.interruption or used_up(self.config, self.counts, self.best, self.seconds)

    def score_again(self) -> None:
        """Choose the champion by scores on fresh rng seeds, then score it and the compared programs on other ones."""
        self.train_finals("confirm")
        if self.interruption is None:
            self.train_finals("report")

    def train_finals(self, purpose: Purpose) -> None:
        """Train the programs that have no score for the purpose yet."""
        seeds, wanted = fresh_rng_seeds(self.config, purpose), missing_finals(self.store, self.config, purpose)
        self.stage = purpose
        for index, entry in enumerate(wanted):
            self.pool.submit(workers.Job(index, entry.program, self.config.tasks, seeds))
        results: dict[int, workers.Result] = {}
        while len(results) < len(wanted) and self.interruption is None:
            self.look_around()
            results |= {result.index: result for result in self.pool.wait(_POLL_SECONDS)}
        for index, result in sorted(results.items()):
            self.store.add_final(
                Final(
                    **vars(wanted[index]),
                    purpose=purpose,
                    rng_seeds=seeds,
                    status=result.status.value,
                    score=result.score,
                    losses=result.losses,
                )
            )
