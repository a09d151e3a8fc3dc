"""Checking a recorded derivation again, step by step."""

from collections.abc import Iterator
from dataclasses import dataclass

import programs
from evolve.simplify.by_training import MeasuredStep, Simplified
from evolve.simplify.meter import Meter


@dataclass(frozen=True)
class Check:
    """The result of checking a step again."""

    step: programs.Step
    holds: bool
    found: str  # for people


def replay(simplified: Simplified, meter: Meter | None) -> Iterator[Check]:
    """Yield a check of every step: steps by rules are checked on numbers, measured steps by training again.

    Args:
        simplified: The derivation.
        meter: The meter that scores, on the rng seeds of the derivation; None to train nothing and check measured
            steps by their recorded scores alone.
    """
    before = simplified.start
    for step in simplified.steps:
        if step.step.proof is programs.Proof.MEASURED:
            yield _measure(simplified, step, meter)
        else:
            yield _hold_against_numbers(before, step.step)
        before = step.step.program


def _hold_against_numbers(before: programs.Program, step: programs.Step) -> Check:
    """Check a step by rules on probes: in 64-bit floats, and an exact one at extreme points in 32-bit floats, too."""
    difference = programs.largest_difference(before, step.program)
    found = f"updates differ by {difference:.1e} of the largest on probes"
    shown = programs.proved(before, step)
    if step.exact and shown and shown.gaps:
        found += f", and 32-bit floats by {', '.join(shown.gaps)}"
    return Check(step, shown is not None and shown.proof is step.proof, found)


def _measure(simplified: Simplified, step: MeasuredStep, meter: Meter | None) -> Check:
    yardstick, scores, again = simplified.yardstick, dict(step.scores), "as recorded"
    if meter is not None:
        scores = {task: meter.must_score(step.step.program, task) for task in yardstick.start}
        again = "trained again, the same scores" if scores == step.scores else "trained again, other scores"
    below = [task for task, own in scores.items() if not yardstick.keeps(task, own)]
    verdict = f"below the noise on {', '.join(below)}" if below else "within the noise"
    if missing := ", ".join(task for task in yardstick.start if task not in scores):
        verdict += f"; not measured on {missing}"
    return Check(step.step, bool(scores) and not below, f"{again}; {verdict}")
