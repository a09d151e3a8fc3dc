"""Simplifying a program as far as a suite's scores allow: rules first, then what only training can tell."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import programs
from evolve.simplify.ablation import Trial, attempt, round_numbers, smallest_kept
from evolve.simplify.meter import Meter, Scores, Yardstick

_FRESH = 1_000_000  # so far from the others are the rng seeds that choose nothing


@dataclass(frozen=True)
class MeasuredStep:
    """A step of a derivation, and how the program that it leads to scores."""

    step: programs.Step
    scores: Mapping[str, Scores]  # by task


@dataclass(frozen=True)
class Simplified:
    """A derivation with all that was measured for it.

    Attributes:
        start: the program as it was given.
        rng_seeds: those of every task's trainings.
        yardstick: the start's scores, by the tasks that it learns; without any, nothing was trained for the steps.
        steps: from the start to the last program.
        rejected: the reductions of the last program, all of which fell below the noise.
        fresh: by task, the scores of the start and of the last program on rng seeds that chose nothing.
    """

    start: programs.Program
    rng_seeds: tuple[int, ...]
    yardstick: Yardstick
    steps: tuple[MeasuredStep, ...]
    rejected: tuple[Trial, ...] = ()
    fresh: Mapping[str, tuple[Scores, Scores]] = field(default_factory=dict)

    @property
    def program(self) -> programs.Program:
        """The last program."""
        return self.steps[-1].step.program if self.steps else self.start

    def upto(self, count: int) -> "Simplified":
        """Give the derivation of the first steps alone."""
        return replace(self, steps=self.steps[:count], rejected=(), fresh={})

    def worth(self) -> list[Trial]:
        """Give, for every statement of the last program, the reduction without it that costs least."""
        order = list(self.yardstick.start)

        def harm(trial: Trial) -> tuple[int, float]:
            failed = list(trial.changes)[-1]
            return -order.index(failed), -trial.changes[failed].mean

        least: dict[str, Trial] = {}
        for trial in sorted(self.rejected, key=harm):
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

    What is left is the best of many on the rng seeds that chose it, so that both ends are scored again on fresh ones.

    All changes are measured against the program as it was given, so that small losses do not add up. Of the reductions
    that are kept the smallest is taken, and all are tried anew from there.

    Args:
        program: any program.
        tasks: names of tasks, in the order to try them: each spares the next ones what fails. Those that the program
            does not learn with every rng seed, which can tell nothing, are left out.
        meter: what scores.
        on_step: called after every step with all that is known so far.
    """
    start = {task: meter.scores([program], task)[0] for task in tasks}
    yardstick = Yardstick({task: scores for task, scores in start.items() if min(scores) > 0.0})
    done = Simplified(program, meter.rng_seeds, yardstick, ())

    def take(steps: Sequence[programs.Step]) -> None:
        nonlocal done
        for step in steps:
            scores = {task: meter.scores([step.program], task)[0] for task in yardstick.start}
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
    fresh = meter.on([seed + _FRESH for seed in meter.rng_seeds])
    ends = {task: fresh.scores([done.start, done.program], task) for task in yardstick.start}
    return replace(done, fresh={task: (start, end) for task, (start, end) in ends.items()})
