"""The rounds of a search, and the island and place of each candidate: arithmetic on indexes alone."""

from collections.abc import Iterator
from dataclasses import dataclass

from evolve.config.settings import Config, Round


@dataclass(frozen=True)
class Leg:
    """One round of a search, placed among the run's candidates, which its islands take in turn.

    Attributes:
        number: The round's place in the config, from 0.
        first: The index of its first candidate.
        islands: The number of its islands.
        candidates: Candidates per island; None if only the budget ends the round.
        migrate_every: Candidates of an island between two migrants to it; None for no migrants.
        starts_with_best: Whether islands begin with the best program so far; else with the search's start program.
    """

    number: int
    first: int
    islands: int
    candidates: int | None
    migrate_every: int | None
    starts_with_best: bool

    @property
    def end(self) -> int | None:
        """The index after its last candidate; None if only the budget ends it."""
        return None if self.candidates is None else self.first + self.islands * self.candidates

    def index(self, island: int, place: int) -> int:
        """Return the index of the candidate at a place on an island, all counted from 0."""
        return self.first + place * self.islands + island

    def island(self, index: int) -> int:
        """Return the island of a candidate of this round."""
        return (index - self.first) % self.islands

    def place(self, index: int) -> int:
        """Return the place of a candidate of this round on its island."""
        return (index - self.first) // self.islands

    def holds(self, index: int) -> bool:
        """Return whether a candidate belongs to this round."""
        return index >= self.first and (self.end is None or index < self.end)


def legs(config: Config) -> Iterator[Leg]:
    """Yield the rounds of a search in turn."""
    first = 0
    for number, part in enumerate(config.rounds):
        leg = _leg(number, first, part)
        yield leg
        if leg.end is not None:
            first = leg.end


def _leg(number: int, first: int, part: Round) -> Leg:
    return Leg(number, first, part.islands, part.candidates, part.migrate_every, part.start == "best")
