"""Islands as actors on Ray: each proposes in a process of its own, with evaluators of its own."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import workers
from evolve.config.settings import Config
from evolve.search.island import Exchange, Founder, Island, Migrant
from evolve.search.local_islands import LEAD, History, Islands, IslandsHere
from evolve.search.rounds import Leg
from evolve.store.records import Outcome
from workers import faults

MAX_FAILURES = 2
"""How often in a row the process of an island may fail before the search stops."""

_PAGE = 500  # outcomes in one message

_Ref: TypeAlias = Any
"""A ray.ObjectRef: the future reply to a call."""


def open_islands(config: Config, leg: Leg, founder: Founder, pool: workers.Pool, history: History) -> Islands:
    """Begin a round: in actors if each island can have an evaluator of its own, else here, sharing the pool."""
    if isinstance(pool, workers.RayPool) and 1 < leg.islands <= pool.workers:
        return IslandsOnRay(config, leg, founder, pool, history)
    return IslandsHere(config, leg, founder, pool, history)


@dataclass(frozen=True)
class Report:
    """What an island reports after it has run for a while.

    Attributes:
        outcomes: New outcomes, in order.
        idle: Whether nothing is under way and nothing more will be proposed.
        stalled: Whether no edit applies to any program that is alive.
        waits: Whether it can do nothing until other islands have made progress.
        notes: Sentences for people about what failed.
    """

    outcomes: list[Outcome]
    idle: bool
    stalled: bool
    waits: bool
    notes: list[str]


class IslandActor:
    """The actor that runs in the process of an island."""

    def __init__(
        self, config: Mapping[str, Any], leg: Leg, number: int, founder: Founder, evaluators: Mapping[str, Any]
    ):
        """Start the evaluators.

        Args:
            config: The search's config, as plain data.
            leg: The round.
            number: The island's number, from 0.
            founder: The program that the island begins with.
            evaluators: Arguments of RayPool, for the island's pool.
        """
        self._island = Island(Config.model_validate(config), leg, number, founder)
        self._notes: list[str] = []
        self._pool = workers.RayPool(**evaluators, on_event=self._notes.append)

    def recall(self, outcomes: Sequence[Outcome]) -> None:
        """Record earlier outcomes. See Island."""
        for outcome in outcomes:
            self._island.recall(outcome)

    def begin(self) -> None:
        """Make the first proposal. See Island."""
        self._island.begin()

    def follow(self, outcomes: Sequence[Outcome], migrants: Sequence[Migrant]) -> None:
        """Replay outcomes. See Island."""
        self._welcome(migrants)
        for outcome in outcomes:
            self._island.follow(outcome)

    def advance(self, timeout_s: float, most: int, migrants: Sequence[Migrant], end: int | None) -> Report:
        """Run until there are outcomes, or for `timeout_s`.

        Args:
            timeout_s: The most seconds to wait for results.
            most: The most outcomes that the island may have in all.
            migrants: Migrants that have arrived.
            end: The index from which on nothing more is to be proposed; None for no end.
        """
        self._welcome(migrants)
        if end is not None:
            self._island.end(end)
        outcomes = self._collect(most)
        if not outcomes and self._pool.in_flight:
            for result in self._pool.wait(timeout_s):
                self._island.take(result)
            outcomes = self._collect(most)
        notes, self._notes[:] = list(self._notes), []
        waits = not outcomes and not self._pool.in_flight
        return Report(outcomes, self._island.idle, self._island.stalled, waits, notes)

    def _welcome(self, migrants: Sequence[Migrant]) -> None:
        for migrant in migrants:
            self._island.migrate(migrant)

    def _collect(self, most: int) -> list[Outcome]:
        outcomes = list(self._island.outcomes(most))
        for job in self._island.jobs():
            faults.hit("search.propose")
            self._pool.submit(job)
        self._pool.hand_out()
        return outcomes


class _Remote:
    """One island's actor, and its state as last reported."""

    def __init__(self, actor: Any):
        self.actor = actor
        self.migrants: list[Migrant] = []  # not sent yet
        self.idle = False
        self.stalled = False
        self.waits = False
        self.failures = 0  # in a row


class IslandsOnRay:
    """Islands in actors; the pool rests meanwhile, so that its processors are free for them."""

    def __init__(self, config: Config, leg: Leg, founder: Founder, pool: workers.RayPool, history: History):
        """Begin the round, or resume it."""
        import ray

        self._ray: Any = ray
        self._config, self._leg, self._founder, self._history = config, leg, founder, history
        self._on_event = pool.on_event
        self._evaluators = pool.share(leg.islands)
        pool.rest()
        self._exchange = Exchange(leg)
        self._counts = [0] * leg.islands
        self._end: int | None = None  # the index from which on nothing is proposed
        self._calls: dict[_Ref, int] = {}  # the called islands, by the awaited reply
        self._failed: list[int] = []  # islands whose processes have failed
        self._remotes: list[_Remote] = []
        try:
            self._remotes = [_Remote(self._start(number)) for number in range(leg.islands)]
            self._send(self._exchange.first())
            for outcome in history():
                if leg.holds(outcome.index):
                    self._note(outcome)
            for number in range(leg.islands):
                self._catch_up(number)
        except BaseException:
            self.close()
            raise

    @property
    def idle(self) -> bool:
        """Whether no outcome will come any more. See Islands."""
        return not self._calls and not self._failed and all(remote.idle or remote.waits for remote in self._remotes)

    def advance(self, timeout_s: float) -> list[Outcome]:
        """Wait for reports and return outcomes. See Islands."""
        for number in self._failed:  # by now, all outcomes that arrived are part of the history
            self._restart(number)
        self._failed.clear()
        self._ask(timeout_s)
        calls = list(self._calls)
        ready, _ = self._ray.wait(calls, timeout=timeout_s) if calls else ([], [])
        if ready:
            ready, _ = self._ray.wait(calls, num_returns=len(calls), timeout=0)
        found: list[Outcome] = []
        for reply in ready:
            found += self._take(reply)
        for number, remote in enumerate(self._remotes):
            if remote.idle and remote.stalled:  # so that later outcomes of the others could never be committed
                self._end_at(self._leg.index(number, self._counts[number]))
        return found

    def end(self) -> None:
        """Stop proposing. See Islands."""
        self._end_at(0)

    def close(self) -> None:
        """End the islands' processes, and with them those of their evaluators."""
        for remote in self._remotes:
            self._ray.kill(remote.actor)
        self._remotes, self._calls = [], {}

    def _end_at(self, index: int) -> None:
        if self._end is None or index < self._end:
            self._end = index
            self._wake()

    def _start(self, number: int) -> Any:
        remote_class = self._ray.remote(num_cpus=0, max_restarts=0, max_task_retries=0)(IslandActor)
        config = self._config.model_dump()
        return remote_class.remote(config, self._leg, number, self._founder, self._evaluators)

    def _catch_up(self, number: int) -> None:
        """Replay the history on a fresh island, by calls that its actor carries out in this order."""
        actor = self._remotes[number].actor
        for page in _pages(self._concerning(number)):
            actor.recall.remote(page)
        actor.begin.remote()
        migrants = [migrant for migrant in self._migrants_so_far() if migrant.island == number]
        own = (outcome for outcome in self._concerning(number) if self._leg.holds(outcome.index))
        for page in _pages(own):
            actor.follow.remote(page, migrants)
            migrants = []
        self._remotes[number].migrants = migrants

    def _concerning(self, number: int) -> Iterator[Outcome]:
        """Yield the outcomes that an island learns of: its own, and those of earlier rounds."""
        for outcome in self._history():
            if not self._leg.holds(outcome.index) or self._leg.island(outcome.index) == number:
                yield outcome

    def _migrants_so_far(self) -> list[Migrant]:
        exchange = Exchange(self._leg)
        migrants = exchange.first()
        if self._leg.migrate_every is not None:
            for outcome in self._history():
                if self._leg.holds(outcome.index):
                    exchange.note(outcome)
        return migrants + exchange.migrants()

    def _ask(self, timeout_s: float) -> None:
        """Call `advance` on every island that can make progress."""
        most = min(self._counts) + LEAD
        busy = set(self._calls.values())
        for number, remote in enumerate(self._remotes):
            if number not in busy and not remote.idle and not remote.waits:
                migrants, remote.migrants = remote.migrants, []
                self._calls[remote.actor.advance.remote(timeout_s, most, migrants, self._end)] = number

    def _take(self, reply: _Ref) -> list[Outcome]:
        number = self._calls.pop(reply)
        remote = self._remotes[number]
        try:
            report: Report = self._ray.get(reply)
        except self._ray.exceptions.RayError as error:
            self._fail(number, error)
            return []
        remote.failures = 0
        remote.idle, remote.stalled = report.idle, report.stalled
        remote.waits = report.waits and not remote.migrants
        for note in report.notes:
            self._on_event(f"island {number}: {note}")
        for outcome in report.outcomes:
            self._note(outcome)
        if report.outcomes:
            self._wake()
        return report.outcomes

    def _fail(self, number: int, error: Exception) -> None:
        remote = self._remotes[number]
        remote.failures += 1
        _, reason = workers.cause_of_death(error)
        if remote.failures > MAX_FAILURES:
            raise workers.PoolError(f"island {number} cannot be kept running: {reason}")
        self._on_event(f"island {number} is restarted: {reason}")
        self._ray.kill(remote.actor)
        self._failed.append(number)

    def _restart(self, number: int) -> None:
        """Replace an island's process; the new one replays the history."""
        remote = self._remotes[number]
        remote.actor, remote.idle, remote.waits = self._start(number), False, False
        self._catch_up(number)

    def _note(self, outcome: Outcome) -> None:
        self._counts[self._leg.island(outcome.index)] += 1
        self._exchange.note(outcome)
        self._send(self._exchange.migrants())

    def _send(self, migrants: Sequence[Migrant]) -> None:
        for migrant in migrants:
            self._remotes[migrant.island].migrants.append(migrant)
            self._remotes[migrant.island].waits = False

    def _wake(self) -> None:
        """Let waiting islands be called again: other islands have made progress, or the search is ending."""
        for remote in self._remotes:
            remote.waits = False


def _pages(outcomes: Iterator[Outcome]) -> Iterator[list[Outcome]]:
    while page := list(itertools.islice(outcomes, _PAGE)):
        yield page
