"""Checking a recorded derivation again, step by step."""

from collections.abc import Iterator
from dataclasses import dataclass

import programs
from evolve.simplify.by_training import MeasuredStep, Simplified
from evolve.simplify.meter import Meter


@dataclass(frozen=True)
class Check:
    """What checking a step again showed."""

    step: programs.Step
    holds: bool
    found: str  # for people


def replay(simplified: Simplified, meter: Meter | None) -> Iterator[Check]:
    """Check every step: those by rules on numbers, those that were measured by training again.

    Args:
        simplified: the derivation.
        meter: what scores, on the rng seeds of the derivation; None to train nothing, so that measured steps are only
            held against the scores that were recorded.
    """
    before = simplified.start
    for step in simplified.steps:
        if step.step.proof is programs.Proof.MEASURED:
            yield _measure(simplified, step, meter)
        else:
            difference = programs.largest_difference(before, step.step.program)
            holds = difference <= programs.TOLERANCES[step.step.proof]
            yield Check(step.step, holds, f"updates differ by {difference:.1e} of the largest on probes")
        before = step.step.program


def _measure(simplified: Simplified, step: MeasuredStep, meter: Meter | None) -> Check:
    yardstick, scores, again = simplified.yardstick, dict(step.scores), "as recorded"
    if meter is not None:
        scores = {task: meter.scores([step.step.program], task)[0] for task in yardstick.start}
        again = "trained again, the same scores" if scores == step.scores else "trained again, other scores"
    below = [task for task, own in scores.items() if not yardstick.keeps(task, own)]
    verdict = f"below the noise on {', '.join(below)}" if below else "within the noise"
    return Check(step.step, bool(scores) and not below, f"{again}; {verdict}")
