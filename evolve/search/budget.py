"""When a search's budget is used up, by what was committed."""

from collections.abc import Iterator

from evolve.config.settings import Config
from evolve.store.records import Counts


def used_up(config: Config, counts: Counts, best: float, seconds: float) -> str | None:
    """Say which part of the budget is used up first; None while none is.

    Args:
        config: The search's.
        counts: Of the committed outcomes.
        best: The best score among them.
        seconds: What the search has taken so far, all sessions together.
    """
    return next((reason for share, reason in _parts(config, counts, best, seconds) if share >= 1.0), None)


def share_used(config: Config, counts: Counts, best: float, seconds: float) -> float:
    """Give how much of the budget is used, from 0 to 1."""
    return min(1.0, max((share for share, _ in _parts(config, counts, best, seconds)), default=0.0))


def _parts(config: Config, counts: Counts, best: float, seconds: float) -> Iterator[tuple[float, str]]:
    """Give the used share of each part of the budget, and what to say when it is 1."""
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
            f"{budget.accelerator_seconds:g} seconds were spent with training",
        )
    if budget.seconds is not None:
        yield seconds / budget.seconds, f"{budget.seconds:g} seconds were used"
