"""Simplifying a program as far as a suite's scores allow: rules first, then reductions that only training can judge."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import programs
from evolve.simplify.ablation import Trial, attempt, round_numbers, smallest_kept
from evolve.simplify.meter import Meter, Scores, Yardstick

_FRESH = 1_000_000  # from the rng seeds that choose reductions to the fresh ones


@dataclass(frozen=True)
class MeasuredStep:
    """A step of a derivation, and the scores of the program that it leads to."""

    step: programs.Step
    scores: Mapping[str, Scores]  # by task; of those on which it could be measured


@dataclass(frozen=True)
class Simplified:
    """A derivation with all its measurements.

    Attributes:
        start: The program as it was given.
        rng_seeds: The rng seeds of every task's trainings.
        yardstick: The start's scores on the tasks that it learns; if it has none, nothing was trained for the steps.
        steps: The steps from the start to the last program.
        rejected: The reductions of the last program, all of which fell below the noise or could not be measured.
        fresh: By task, the scores of the start and of the last program on rng seeds used for no choice.
        revived: The same, on the rng seeds of the choices, for tasks that the last program learns and the start does
            not: steps that are equal in real arithmetic can bring back what 32-bit floats lose.
    """

    start: programs.Program
    rng_seeds: tuple[int, ...]
    yardstick: Yardstick
    steps: tuple[MeasuredStep, ...]
    rejected: tuple[Trial, ...] = ()
    fresh: Mapping[str, tuple[Scores, Scores]] = field(default_factory=dict)
    revived: Mapping[str, tuple[Scores, Scores]] = field(default_factory=dict)

    @property
    def program(self) -> programs.Program:
        """The last program."""
        return self.steps[-1].step.program if self.steps else self.start

    def upto(self, count: int) -> "Simplified":
        """Return the derivation of the first steps alone."""
        return replace(self, steps=self.steps[:count], rejected=(), fresh={}, revived={})

    def unmeasured(self) -> list[Trial]:
        """Return the reductions of the last program of which nothing is known, since their trainings failed."""
        return [trial for trial in self.rejected if trial.unmeasured]

    def worth(self) -> list[Trial]:
        """Return, for every statement of the last program, the reduction without it that costs least."""
        order = list(self.yardstick.start)

        def harm(trial: Trial) -> tuple[int, float]:
            failed = list(trial.changes)[-1]
            return -order.index(failed), -trial.changes[failed].mean

        least: dict[str, Trial] = {}
        for trial in sorted((trial for trial in self.rejected if not trial.unmeasured), key=harm):
            least.setdefault(trial.reduction.statement, trial)
        return [least[text] for text in map(str, self.program.statements) if text in least]


def simplify_by_rules(program: programs.Program) -> Simplified:
    """Simplify a program without training it."""
    steps = [MeasuredStep(step, {}) for step in programs.simplify(program).steps]
    return Simplified(program, (), Yardstick({}), tuple(steps))


def simplify_by_training(
    program: programs.Program,
    tasks: Sequence[str],
    meter: Meter,
    on_step: Callable[[Simplified], None],
) -> Simplified:
    """Simplify a program by rules, then by reductions and rounding, as long as no task's score falls below the noise.

    The last program is the best of many on the rng seeds that chose it, so both ends are scored again on fresh ones.

    All changes are measured against the program as it was given, so that small losses do not add up. Of the reductions
    that are kept, the one with the smallest program is taken, and all are tried again from there.

    Args:
        program: Any program.
        tasks: Names of tasks, in the order to try them: what fails on one is not tried on the next. Tasks that the
            program does not learn with every rng seed are left out, since their scores decide nothing.
        meter: The meter that scores programs.
        on_step: Called after every step with the derivation so far.

    Raises:
        StoppedEarly: If the program as it was given cannot be measured, since a training of it fails.
    """
    start = {task: meter.must_score(program, task) for task in tasks}
    yardstick = Yardstick({task: scores for task, scores in start.items() if min(scores) > 0.0})
    done = Simplified(program, meter.rng_seeds, yardstick, ())

    def take(steps: Sequence[programs.Step]) -> None:
        nonlocal done
        for step in steps:
            found = {task: meter.scores([step.program], task)[0] for task in yardstick.start}
            scores = {task: own for task, own in found.items() if own is not None}
            done = replace(done, steps=(*done.steps, MeasuredStep(step, scores)), rejected=())
            on_step(done)

    take(programs.simplify(program).steps)
    rounded = bool(yardstick.start)
    while rounded:
        trials = attempt(programs.reductions(done.program), meter, yardstick)
        if kept := smallest_kept(trials):
            take(kept.reduction.steps)
            continue
        done = replace(done, rejected=tuple(trials))
        rounded = False
        for trial in round_numbers(done.program, meter, yardstick):
            take(trial.reduction.steps)
            rounded = True
    if any(step.step.gaps for step in done.steps):
        last = {task: meter.scores([done.program], task)[0] for task in tasks if task not in yardstick.start}
        learnt = {task: own for task, own in last.items() if own is not None and min(own) > 0.0}
        done = replace(done, revived={task: (start[task], own) for task, own in learnt.items()})
    fresh = meter.on([seed + _FRESH for seed in meter.rng_seeds])
    ends = {task: fresh.scores([done.start, done.program], task) for task in yardstick.start}
    return replace(done, fresh={task: (a, b) for task, (a, b) in ends.items() if a is not None and b is not None})
