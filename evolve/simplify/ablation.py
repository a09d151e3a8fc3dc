"""Reducing a program to what its scores need: reductions are tried by training, and kept if they stay in the noise."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import programs
from evolve.scores.estimates import Estimate
from evolve.simplify.meter import Meter, Yardstick


@dataclass(frozen=True)
class Trial:
    """The result of trying a reduction.

    Attributes:
        reduction: The reduction that was tried.
        changes: By task, how the score differs from the start's, up to the first task on which it is below the noise.
        kept: Whether the score stays within the noise on all tasks.
        unmeasured: The task on which it could not be measured, so that nothing is known of it; empty if it could.
    """

    reduction: programs.Reduction
    changes: Mapping[str, Estimate]
    kept: bool
    unmeasured: str = ""


def attempt(reductions: Sequence[programs.Reduction], meter: Meter, yardstick: Yardstick) -> list[Trial]:
    """Try reductions on one task after another, each up to the first task on which it falls below the noise.

    One that cannot be measured is tried no further; it is neither kept nor rejected.
    """
    changes: list[dict[str, Estimate]] = [{} for _ in reductions]
    unmeasured: dict[int, str] = {}
    left = list(range(len(reductions)))
    for task in yardstick.start:
        scored = meter.scores([reductions[place].program for place in left], task)
        tried, left = left, []
        for place, scores in zip(tried, scored, strict=True):
            if scores is None:
                unmeasured[place] = task
                continue
            changes[place][task] = yardstick.change(task, scores)
            if yardstick.keeps(task, scores):
                left.append(place)
    return [
        Trial(reduction, changes[place], place in left, unmeasured.get(place, ""))
        for place, reduction in enumerate(reductions)
    ]


def smallest_kept(trials: Sequence[Trial]) -> Trial | None:
    """Return the kept trial with the smallest program, among equals the one with the best scores; None if none is."""

    def rank(trial: Trial) -> tuple[int, int, float]:
        statements, state_slots, _ = programs.size(trial.reduction.program)
        return statements, state_slots, -sum(change.mean for change in trial.changes.values())

    return min((trial for trial in trials if trial.kept), key=rank, default=None)


def round_numbers(program: programs.Program, meter: Meter, yardstick: Yardstick) -> Iterator[Trial]:
    """Yield the roundings that are kept, one number after another, each to as few digits as the scores allow."""
    for statement in map(str, program.statements):
        for reduction in programs.roundings(program):
            if reduction.statement == statement:
                (trial,) = attempt([reduction], meter, yardstick)
                if trial.kept:
                    yield trial
                    program = reduction.program
                    break
