"""The rng seeds that a search trains with, those it keeps fresh, and the best candidate by the fresh ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import programs
import workers
from evolve.config.settings import Config
from evolve.store.reader import RunReader
from evolve.store.records import Final, Outcome

Purpose = Literal["confirm", "report"]  # to choose the champion; to show how good it is
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)

_SEEDS_PER_SEARCH = 10_000  # the distance between the first rng seeds of two searches
_FIRST_FRESH = {"confirm": 4_000, "report": 7_000}  # where among these the fresh ones begin


def search_rng_seeds(config: Config) -> tuple[int, ...]:
    """Return the rng seeds of the trainings in every score of a search."""
    return _rng_seeds(config, 0, config.rng_seeds)


def fresh_rng_seeds(config: Config, purpose: Purpose) -> tuple[int, ...]:
    """Return rng seeds that the search has not used."""
    return _rng_seeds(config, _FIRST_FRESH[purpose], config.fresh_rng_seeds)


def _rng_seeds(config: Config, start: int, count: int) -> tuple[int, ...]:
    first = config.rng_seed * _SEEDS_PER_SEARCH + start
    return tuple(range(first, first + count))


def current_finals(store: RunReader, config: Config, purpose: Purpose) -> Sequence[Final]:
    """Return the second scores on the rng seeds that the config has for the purpose."""
    seeds = fresh_rng_seeds(config, purpose)
    return [final for final in store.finals() if final.purpose == purpose and final.rng_seeds == seeds]


def find_champion(store: RunReader, config: Config) -> Outcome | None:
    """Return the best candidate: the finalist with the best score on fresh rng seeds; without any, the best so far.

    A finalist whose second score failed, such as by a deadline, has none.
    """
    confirmed = [
        (final.score, -final.candidate)
        for final in current_finals(store, config, "confirm")
        if final.candidate is not None and final.status not in workers.FAILURES
    ]
    if confirmed:
        return store.outcome(-max(confirmed)[1])
    return next(iter(store.best(1)), None)


@dataclass(frozen=True)
class Wanted:
    """A program that is to be scored again.

    Attributes:
        candidate: Its index among the run's candidates; None for a seed program.
        label: The seed program's name; empty for a candidate.
        program: Its canonical text.
    """

    candidate: int | None
    label: str
    program: str


def missing_finals(store: RunReader, config: Config, purpose: Purpose) -> list[Wanted]:
    """Return the programs that have no second score for the purpose yet: a failure, such as by a deadline, is none.

    Which ones are wanted to report depends on the champion, and so on the scores that confirm. Nothing is wanted if no
    candidate trained to the end.
    """
    best = store.best(config.finalists) if purpose == "confirm" else [*filter(None, [find_champion(store, config)])]
    wanted = [Wanted(outcome.index, "", outcome.program) for outcome in best]
    if wanted and purpose == "report":
        wanted += [Wanted(None, name, str(programs.load(name))) for name in config.compare]
    finals = current_finals(store, config, purpose)
    done = {(final.candidate, final.label) for final in finals if final.status not in workers.FAILURES}
    return [entry for entry in wanted if (entry.candidate, entry.label) not in done]
