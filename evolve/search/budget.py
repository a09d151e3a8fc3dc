"""How much of a search's budget is used up by what was committed."""

from collections.abc import Iterator

from evolve.config.settings import Config
from evolve.store.records import Counts


def used_up(config: Config, counts: Counts, best: float, seconds: float) -> str | None:
    """Return a sentence on the first part of the budget that is used up; None if none is.

    Args:
        config: The search's config.
        counts: Counts of the committed outcomes.
        best: The best score among the committed outcomes.
        seconds: Seconds that the search has taken so far, summed over all sessions.
    """
    return next((reason for share, reason in _parts(config, counts, best, seconds) if share >= 1.0), None)


def share_used(config: Config, counts: Counts, best: float, seconds: float) -> float:
    """Return how much of the budget is used, from 0 to 1."""
    return min(1.0, max((share for share, _ in _parts(config, counts, best, seconds)), default=0.0))


def _parts(config: Config, counts: Counts, best: float, seconds: float) -> Iterator[tuple[float, str]]:
    """Yield the used share of each part of the budget, and the sentence for when it is 1."""
    budget = config.budget
    if budget.target_score is not None:
        yield float(best >= budget.target_score), f"a score of {budget.target_score:g} was reached"
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
