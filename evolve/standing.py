"""Reading a run: its champion beside what it is compared with, and its best candidates, as plain records."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

import programs
from evolve.config import Config
from evolve.records import Final, Outcome
from evolve.search import fresh_rng_seeds
from evolve.store import RunStore


@dataclass(frozen=True)
class Estimate:
    """A mean over rng seeds, with the half-width of its 95 % confidence interval (Student's t); infinite for one."""

    mean: float
    half_width: float

    def __str__(self) -> str:
        if not math.isfinite(self.mean):
            return "diverged"
        return f"{self.mean:.4f}" + (f" ± {self.half_width:.4f}" if math.isfinite(self.half_width) else "")


def estimate(values: Sequence[float]) -> Estimate:
    """Estimate the mean of independent values."""
    count = len(values)
    if not count or not np.all(np.isfinite(values)):
        return Estimate(math.inf, math.inf)
    if count == 1:
        return Estimate(float(values[0]), math.inf)
    error = float(np.std(values, ddof=1)) / math.sqrt(count)
    return Estimate(float(np.mean(values)), float(stdtrit(count - 1, 0.975)) * error)


@dataclass(frozen=True)
class Standing:
    """One program's scores, for people and for JSON.

    Attributes:
        name: ``RUN:ID`` or a seed program's name.
        program: canonical text.
        statements: live statements.
        state_slots: numbers of state for each weight.
        search_score: the score it was selected by; None for a program that was not searched.
        fresh_score: its score on rng seeds that the search has not seen; None where there is none yet.
        losses: held-out loss in nats on those, an estimate for each task by name.
    """

    name: str
    program: str
    statements: int
    state_slots: int
    search_score: float | None
    fresh_score: float | None
    losses: dict[str, Estimate]


def finalists(store: RunStore, config: Config, tasks: Sequence[str]) -> list[Standing]:
    """Give the candidates that were scored again to choose the champion, the best first."""
    found = [_from_final(store, final, tasks) for final in _finals(store, config, "confirm")]
    return sorted(found, key=lambda standing: -(standing.fresh_score or 0.0))


def comparison(store: RunStore, config: Config, tasks: Sequence[str]) -> list[Standing]:
    """Give the champion and the seed programs it is compared with, on rng seeds that chose nothing, the best first."""
    found = [_from_final(store, final, tasks) for final in _finals(store, config, "report")]
    return sorted(found, key=lambda standing: -(standing.fresh_score or 0.0))


def candidate(store: RunStore, outcome: Outcome, tasks: Sequence[str]) -> Standing:
    """Give a candidate's standing by the score it was selected by."""
    facts = programs.check(programs.parse(outcome.program))
    return Standing(
        f"{store.name}:{outcome.index}",
        outcome.program,
        facts.statements,
        facts.state_slots,
        outcome.score,
        None,
        _losses(outcome.losses, tasks),
    )


def pareto_front(standings: Sequence[Standing]) -> list[Standing]:
    """Keep those that no other beats in score, statements or state slots without being worse in another."""

    def costs(standing: Standing) -> tuple[float, int, int]:
        return (-(standing.search_score or 0.0), standing.statements, standing.state_slots)

    def beaten(one: Standing) -> bool:
        return any(
            costs(other) != costs(one) and all(a <= b for a, b in zip(costs(other), costs(one), strict=True))
            for other in standings
        )

    return [standing for standing in standings if not beaten(standing)]


def _finals(store: RunStore, config: Config, purpose: str) -> list[Final]:
    seeds = fresh_rng_seeds(config, purpose)
    return [final for final in store.finals() if final.purpose == purpose and final.rng_seeds == seeds]


def _from_final(store: RunStore, final: Final, tasks: Sequence[str]) -> Standing:
    if final.candidate is None:
        name, program, score = final.label, str(programs.load(final.label)), None
    else:
        outcome = store.outcome(final.candidate)
        name, program, score = f"{store.name}:{outcome.index}", outcome.program, outcome.score
    facts = programs.check(programs.parse(program))
    losses = _losses(final.losses, tasks) if final.status == "ok" else {}
    return Standing(name, program, facts.statements, facts.state_slots, score, final.score, losses)


def _losses(losses: Sequence[Sequence[float]], tasks: Sequence[str]) -> dict[str, Estimate]:
    return {task: estimate(values) for task, values in zip(tasks, losses, strict=False)}
