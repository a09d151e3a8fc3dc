"""The parts of a search and whose turn each candidate is: arithmetic on indexes alone."""

from collections.abc import Iterator
from dataclasses import dataclass

from evolve.config.settings import Config, Round


@dataclass(frozen=True)
class Leg:
    """One round of a search, placed among the run's candidates, which its islands take in turn.

    Attributes:
        number: The round's place in the config, from 0.
        first: The index of its first candidate.
        islands: How many there are.
        candidates: Of each island; None where only the budget ends the round.
        migrate_every: Candidates of an island after which a migrant comes to it; None for never.
        starts_with_best: Whether it begins with the best so far; else with the search's start program.
    """

    number: int
    first: int
    islands: int
    candidates: int | None
    migrate_every: int | None
    starts_with_best: bool

    @property
    def end(self) -> int | None:
        """The index after its last candidate; None where only the budget ends it."""
        return None if self.candidates is None else self.first + self.islands * self.candidates

    def index(self, island: int, place: int) -> int:
        """Give the index of an island's candidate by its place there; all from 0."""
        return self.first + place * self.islands + island

    def island(self, index: int) -> int:
        """Give the island of a candidate of this round."""
        return (index - self.first) % self.islands

    def place(self, index: int) -> int:
        """Give the place of a candidate of this round on its island."""
        return (index - self.first) // self.islands

    def holds(self, index: int) -> bool:
        """Tell whether a candidate is one of this round."""
        return index >= self.first and (self.end is None or index < self.end)


def legs(config: Config) -> Iterator[Leg]:
    """Give the rounds of a search in turn."""
    first = 0
    for number, part in enumerate(config.rounds):
        leg = _leg(number, first, part)
        yield leg
        if leg.end is not None:
            first = leg.end


def _leg(number: int, first: int, part: Round) -> Leg:
    return Leg(number, first, part.islands, part.candidates, part.migrate_every, part.start == "best")
