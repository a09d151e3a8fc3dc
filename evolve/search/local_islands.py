"""All islands of a round together: in this process with one pool, or each in a process of its own on Ray."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeAlias

import workers
from evolve.config.settings import Config
from evolve.search.island import Exchange, Founder, Island, Migrant
from evolve.search.rounds import Leg
from evolve.store.records import Outcome
from workers import faults

faults.declare(
    {
        "search.propose": "a candidate was made, and is about to be handed to the pool",
    }
)

LEAD = 1_000
"""Outcomes that an island may be ahead of the slowest one: they wait in memory for their turn."""

_AT_ONCE = 200  # outcomes of all islands that `advance` returns, about: some tenths of a second

History: TypeAlias = Callable[[], Iterator[Outcome]]
"""A function that yields all outcomes so far, by index."""


class Islands(Protocol):
    """The islands of a round. What they find does not depend on where they are."""

    @property
    def idle(self) -> bool:
        """Whether no outcome will come any more: nothing is under way, or it waits for migrants that never come."""
        ...

    def advance(self, timeout_s: float) -> list[Outcome]:
        """Run for `timeout_s` or until there are outcomes; return them, in order on each island."""
        ...

    def end(self) -> None:
        """Stop proposing; proposals under way are still finished."""
        ...

    def close(self) -> None:
        """Stop everything that these islands started."""
        ...


OpenIslands: TypeAlias = Callable[[Config, Leg, Founder, workers.Pool, History], Islands]
"""A function that begins a round, or resumes it from its history."""


class IslandsHere:
    """Islands in this process that share a pool."""

    def __init__(self, config: Config, leg: Leg, founder: Founder, pool: workers.Pool, history: History):
        """Begin the round, or resume it."""
        self._leg, self._pool = leg, pool
        self._stuck = False  # whether islands wait for migrants that will never come
        self._islands = [Island(config, leg, number, founder) for number in range(leg.islands)]
        self._exchange = Exchange(leg)
        self._at_once = -(-_AT_ONCE // leg.islands)  # of each island
        for outcome in history():
            for island in self._concerned(outcome):
                island.recall(outcome)
        for island in self._islands:
            island.begin()
        self._deliver(self._exchange.first())
        for outcome in history():
            if leg.holds(outcome.index):
                self._exchange.note(outcome)
                self._deliver(self._exchange.migrants())
                self._islands[leg.island(outcome.index)].follow(outcome)
        self._submit()

    @property
    def idle(self) -> bool:
        """Whether no outcome will come any more. See Islands."""
        return self._stuck or all(island.idle for island in self._islands)

    def advance(self, timeout_s: float) -> list[Outcome]:
        """Wait for results and return outcomes. See Islands."""
        outcomes = self._collect()
        for number, island in enumerate(self._islands):
            if island.idle and island.stalled:  # so that later outcomes of the others could never be committed
                self._end(self._leg.index(number, island.committed))
        if not outcomes:
            for result in self._pool.wait(timeout_s):
                self._islands[self._leg.island(result.index)].take(result)
            outcomes = self._collect()
        self._stuck = not outcomes and not self._pool.in_flight
        return outcomes

    def end(self) -> None:
        """Stop proposing. See Islands."""
        self._end(0)

    def close(self) -> None:
        """Drop the islands' jobs from the pool. See Islands."""
        self._pool.forget()

    def _end(self, index: int) -> None:
        for island in self._islands:
            island.end(index)

    def _concerned(self, outcome: Outcome) -> Iterable[Island]:
        """Return the islands that learn of an outcome: its own, or all if it is of an earlier round."""
        return [self._islands[self._leg.island(outcome.index)]] if self._leg.holds(outcome.index) else self._islands

    def _collect(self) -> list[Outcome]:
        """Return outcomes; not all that are ready, since known programs alone would make it endless."""
        found: list[Outcome] = []
        before = -1
        lead = min(island.committed for island in self._islands) + LEAD
        ends = [min(island.committed + self._at_once, lead) for island in self._islands]
        while len(found) != before:  # another island may have waited for a migrant
            before = len(found)
            for island, end in zip(self._islands, ends, strict=True):
                for outcome in island.outcomes(end):
                    self._exchange.note(outcome)
                    found.append(outcome)
            self._deliver(self._exchange.migrants())
        self._submit()
        return found

    def _deliver(self, migrants: Iterable[Migrant]) -> None:
        for migrant in migrants:
            self._islands[migrant.island].migrate(migrant)

    def _submit(self) -> None:
        for island in self._islands:
            for job in island.jobs():
                faults.hit("search.propose")
                self._pool.submit(job)
        self._pool.hand_out()
