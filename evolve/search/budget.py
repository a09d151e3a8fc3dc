"""How much of a search's budget is used up by what was committed."""

from collections.abc import Iterator

from evolve.config.settings import Config
from evolve.store.records import Counts

_KNOWN_IN_A_ROW = 100
"""Known programs in a row that end a search, for each program alive or under way. If one candidate in a hundred is new,
a population of 40 with a window of 8 makes so many with a chance of 1e-21."""


def used_up(config: Config, counts: Counts, best: float | None, seconds: float) -> str | None:
    """Return a sentence on the first part of the budget that is used up; None if none is.

    Args:
        config: The search's config.
        counts: Counts of the committed outcomes.
        best: The best score among the committed outcomes.
        seconds: Seconds that the search has taken so far, summed over all sessions.
    """
    return next((reason for share, reason in _parts(config, counts, best, seconds) if share >= 1.0), None)


def share_used(config: Config, counts: Counts, best: float | None, seconds: float) -> float:
    """Return how much of the budget is used, from 0 to 1."""
    return min(1.0, max((share for share, _ in _parts(config, counts, best, seconds)), default=0.0))


def found_nothing(config: Config, islands: int, known: int) -> str | None:
    """Return that a search finds nothing new any more, as a sentence; None as long as it may.

    Args:
        config: The search's config.
        islands: The number of islands of the round.
        known: The number of candidates at the end of the round, so far, whose programs were all known before.
    """
    most = _KNOWN_IN_A_ROW * (config.population + config.window) * islands
    return f"the last {most} candidates were known programs: the mutations make nothing new" if known >= most else None


def _parts(config: Config, counts: Counts, best: float | None, seconds: float) -> Iterator[tuple[float, str]]:
    """Yield the used share of each part of the budget, and the sentence for when it is 1."""
    budget = config.budget
    if budget.target_score is not None:
        yield float(best is not None and best >= budget.target_score), f"a score of {budget.target_score:g} was reached"
    if budget.candidates is not None:
        yield counts.generated / budget.candidates, f"{budget.candidates} candidates were put forward"
    if budget.trained is not None:
        trained, what = counts.trained * config.settings, "candidates" if config.settings == 1 else "settings"
        yield trained / budget.trained, f"{budget.trained} {what} were trained"
    if budget.accelerator_seconds is not None:
        yield (
            counts.training_seconds / budget.accelerator_seconds,
            f"{budget.accelerator_seconds:g} seconds were spent on training",
        )
    if budget.seconds is not None:
        yield seconds / budget.seconds, f"{budget.seconds:g} seconds were used"
