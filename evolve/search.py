"""The driver of a search: the one place where proposals, a pool of workers and the run store meet."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import programs
import workers
from evolve.champion import Purpose, current_finals, find_champion, fresh_rng_seeds, search_rng_seeds
from evolve.config import Config
from evolve.errors import StoppedEarly
from evolve.evolution import Evolution, Proposal
from evolve.records import Counts, Final, Outcome
from evolve.store import RunStore
from workers import faults

_POLL_SECONDS = 0.2  # how long a wait for results may keep a signal or a budget waiting


@dataclass(frozen=True)
class Progress:
    """What a search has done so far, for whoever watches it.

    Attributes:
        counts: of the outcomes that were committed, earlier sessions' too.
        best: the best score of the search.
        seconds: since this session began.
        share: how much of the budget is used, from 0 to 1.
        stage: ``search``, ``confirm`` or ``report``.
    """

    counts: Counts
    best: float
    seconds: float
    share: float
    stage: str


@dataclass(frozen=True)
class Watcher:
    """How a search talks to the outside.

    Attributes:
        on_progress: called after every commit, and now and then while waiting.
        interrupted: asked now and then; where it gives a reason, the search ends and can be resumed.
    """

    on_progress: Callable[[Progress], None] = lambda progress: None
    interrupted: Callable[[], str | None] = lambda: None


@dataclass(frozen=True)
class Stop:
    """Why a session of a search ended; where it was interrupted, the search is not done."""

    reason: str
    interrupted: bool


def search(store: RunStore, config: Config, pool: workers.Pool, watcher: Watcher) -> Stop:
    """Run a search, or go on with one, until its budget is used up.

    Args:
        store: open to write; what it holds already is taken up, not done again.
        config: the search's settings; its tasks are names of tasks, no suites.
        pool: where jobs run; it may be of any size, which changes nothing but the time.
        watcher: who is told of the progress, and may interrupt.

    Raises:
        StoppedEarly: where the program that the search starts from cannot be trained, or the disk fails.
    """
    import tasks  # brings JAX

    engines = [f"{name} by {tasks.choose_engine(tasks.get(name), pool.device)}" for name in config.tasks]
    store.begin_session(pool.device, ", ".join(engines))
    session = _Session(store, config, pool, watcher)
    session.evolve()
    if session.interruption is None:
        session.score_again()
    if session.interruption is not None:
        return Stop(session.interruption, interrupted=True)
    reason = session.stopped or "every budget was used up"
    store.finish(reason)
    return Stop(reason, interrupted=False)


class _Session:
    """One process's part in a search."""

    def __init__(self, store: RunStore, config: Config, pool: workers.Pool, watcher: Watcher):
        self.store, self.config, self.pool, self.watcher = store, config, pool, watcher
        self.evolution = Evolution(config)
        self.best = 0.0
        self.stage = "search"
        self.proposals: dict[int, Proposal] = {}  # made and not committed
        self.results: dict[int, workers.Result] = {}  # arrived and not committed
        self.began = time.monotonic()
        self.done = 0  # outcomes that earlier sessions committed
        self.stopped: str | None = None  # why nothing more is proposed
        self.interruption: str | None = None  # why the session ends before the search does

    def evolve(self) -> None:
        """Propose, train and commit until nothing more is to be proposed."""
        self.done = self.store.counts().generated
        for outcome in self.store.outcomes():
            self.evolution.recall(outcome)
            self.best = max(self.best, _winning_score(outcome))
        if self.done == 0:
            self.take(self.evolution.start())
        for outcome in self.store.outcomes():
            self.follow(outcome)
        while self.proposals:
            self.commit_ready()
            self.look_around()
            if self.proposals:
                for result in self.pool.wait(_POLL_SECONDS):
                    self.results[result.index] = result
                faults.hit("search.results")

    def follow(self, outcome: Outcome) -> None:
        """Let the evolution see an outcome, and make the proposals that were waiting for just that."""
        self.evolution.commit(outcome)
        window = self.config.window
        ready = range(1, window + 1) if outcome.index == 0 else (outcome.index + window,)
        for index in ready:
            if index >= self.done and self.may_propose(index):
                self.take(self.evolution.propose(index))

    def may_propose(self, index: int) -> bool:
        """Tell whether the budget allows the proposal; once it does not, it allows no later one."""
        budget = self.config.budget
        if self.stopped is None:
            if budget.candidates is not None and index >= budget.candidates:
                self.stopped = f"{budget.candidates} candidates were put forward"
            elif budget.trained is not None and self.evolution.proposed_to_train >= budget.trained:
                self.stopped = f"{budget.trained} candidates were trained"
            elif self.evolution.stalled:
                self.stopped = "no mutation applies to any program that is alive"
        return self.stopped is None

    def take(self, proposal: Proposal) -> None:
        faults.hit("search.propose")
        self.proposals[proposal.index] = proposal
        if proposal.known_from is None:
            seeds = search_rng_seeds(self.config)
            self.pool.submit(
                workers.Job(proposal.index, str(proposal.program), self.config.tasks, seeds, self.config.hurdle)
            )

    def commit_ready(self) -> None:
        """Commit every outcome whose turn it is."""
        while (proposal := self.proposals.get(self.store.counts().generated)) is not None:
            if proposal.known_from is None and proposal.index not in self.results:
                return
            outcome = self.outcome(proposal)
            if outcome.index == 0 and outcome.status in workers.FAILURES:
                raise StoppedEarly(
                    f"{self.config.start}, where the search starts, cannot be trained: {outcome.message}"
                )
            self.store.commit(outcome)
            del self.proposals[proposal.index]
            self.best = max(self.best, _winning_score(outcome))
            self.follow(outcome)
            self.look_around()

    def outcome(self, proposal: Proposal) -> Outcome:
        common = {
            "index": proposal.index,
            "key": proposal.key,
            "program": str(proposal.program),
            "parents": proposal.parents,
            "mutation": proposal.mutation,
            "known_from": proposal.known_from,
        }
        if proposal.known_from is not None:
            known = self.store.outcome(proposal.known_from)
            return Outcome(
                **common, status=known.status, score=known.score, losses=known.losses, attempts=0, message=known.message
            )
        result = self.results.pop(proposal.index)
        return Outcome(
            **common,
            status=result.status.value,
            score=result.score,
            losses=result.losses,
            seconds=result.seconds,
            attempts=result.attempts,
            message=result.message,
        )

    def look_around(self) -> None:
        """Show the progress, and see whether time is up or someone wants an end."""
        budget, counts = self.config.budget, self.store.counts()
        seconds = time.monotonic() - self.began
        shares = (
            counts.generated / budget.candidates if budget.candidates else 0.0,
            counts.trained / budget.trained if budget.trained else 0.0,
            seconds / budget.seconds if budget.seconds else 0.0,
        )
        self.watcher.on_progress(Progress(counts, self.best, seconds, min(1.0, max(shares)), self.stage))
        if self.interruption is None:
            self.interruption = self.watcher.interrupted()
            self.stopped = self.interruption or self.stopped
        if self.stopped is None and budget.seconds is not None and seconds >= budget.seconds:
            self.stopped = f"{budget.seconds:g} seconds were used"

    def score_again(self) -> None:
        """Score the best on fresh rng seeds to choose the champion, and it and what it is compared with on others."""
        best = self.store.best(self.config.finalists)
        self.train_finals("confirm", [(outcome.index, "", outcome.program) for outcome in best])
        champion = find_champion(self.store, self.config)
        compared = [(None, name, str(programs.load(name))) for name in self.config.compare]
        chosen = [] if champion is None else [(champion.index, "", champion.program)]
        if self.interruption is None:
            self.train_finals("report", [*chosen, *compared])

    def train_finals(self, purpose: Purpose, wanted: list[tuple[int | None, str, str]]) -> None:
        """Train the programs (candidate, label, text) that have no score for the purpose yet."""
        seeds = fresh_rng_seeds(self.config, purpose)
        done = {(final.candidate, final.label) for final in current_finals(self.store, self.config, purpose)}
        wanted = [entry for entry in wanted if entry[:2] not in done]
        self.stage = purpose
        for index, (_, _, program) in enumerate(wanted):
            self.pool.submit(workers.Job(index, program, self.config.tasks, seeds))
        results: dict[int, workers.Result] = {}
        while len(results) < len(wanted) and self.interruption is None:
            self.look_around()
            results |= {result.index: result for result in self.pool.wait(_POLL_SECONDS)}
        for index, result in sorted(results.items()):
            candidate, label, program = wanted[index]
            self.store.add_final(
                Final(
                    candidate=candidate,
                    label=label,
                    program=program,
                    purpose=purpose,
                    rng_seeds=seeds,
                    status=result.status.value,
                    score=result.score,
                    losses=result.losses,
                )
            )


def _winning_score(outcome: Outcome) -> float:
    """Give the score with which an outcome may become the best; what is hopeless may not."""
    return outcome.score if outcome.status == workers.Status.OK else 0.0
