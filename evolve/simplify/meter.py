"""Scores of programs task by task, and the yardstick that a smaller program must not fall below."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import programs
import workers
from evolve.errors import StoppedEarly
from evolve.scores.estimates import Estimate, estimate
from tasks import get, score

_LARGEST_NOISE = 0.05  # as a fraction of the score
_LOOK_EVERY_S = 1.0  # the most between two calls of on_progress

Scores = tuple[float, ...]
"""Scores of one program on one task, one per rng seed; 0 for a training that diverged, and for those after it."""


class Meter:
    """Scores programs task by task, each key once."""

    def __init__(
        self, pool: workers.Pool, rng_seeds: Sequence[int], on_progress: Callable[[str, int, int], None]
    ) -> None:
        """Make a meter.

        Args:
            pool: The pool that trains; idle.
            rng_seeds: The rng seeds of the trainings of every program on every task.
            on_progress: Called at least every second with a task, the number of its jobs that are done and their total;
                an exception that it raises ends the measurement.
        """
        self.rng_seeds = tuple(rng_seeds)
        self._pool = pool
        self._on_progress = on_progress
        self._known: dict[tuple[str, str], Scores] = {}  # by key and task
        self._failures: dict[tuple[str, str], str] = {}  # by key and task, why there are no scores

    def on(self, rng_seeds: Sequence[int]) -> "Meter":
        """Return a meter with the same pool that trains with other rng seeds."""
        return Meter(self._pool, rng_seeds, self._on_progress)

    def scores(self, some: Sequence[programs.Program], task: str) -> list[Scores | None]:
        """Return the scores of programs on a task; those whose key has been scored on it are not trained again.

        A program has None for scores if one of its jobs crashed, took too long or ran out of memory, with the pool's
        second attempt too: a failure of the machine says nothing of the program. It is trained again the next time.
        """
        keys = [programs.key(program) for program in some]
        texts = {key: str(program) for key, program in zip(keys, some, strict=True) if (key, task) not in self._known}
        share = -(-len(self.rng_seeds) // self._pool.workers)
        parts = [self.rng_seeds[first : first + share] for first in range(0, len(self.rng_seeds), share)]
        wanted = [(key, part) for part in parts for key in texts]
        for index, (key, part) in enumerate(wanted):
            self._pool.submit(workers.Job(index, texts[key], (task,), part))
        results: dict[int, workers.Result] = {}
        while len(results) < len(wanted):
            self._on_progress(task, len(results), len(wanted))
            results |= {result.index: result for result in self._pool.wait(_LOOK_EVERY_S)}
        measured: dict[str, Scores] = dict.fromkeys(texts, ())
        for index, (key, part) in enumerate(wanted):
            result = results[index]
            if result.status in workers.FAILURES:
                self._failures[key, task] = f"{result.status} ({result.message})"
                measured.pop(key, None)
            elif key in measured:
                losses = result.losses[0] if result.losses else ()
                own = [score(get(task), loss) for loss in losses] + [0.0] * (len(part) - len(losses))
                measured[key] += tuple(own)
        self._known |= {(key, task): scores for key, scores in measured.items()}
        return [self._known.get((key, task)) for key in keys]

    def must_score(self, program: programs.Program, task: str) -> Scores:
        """Return the scores of a program on a task, without which nothing can be said.

        Raises:
            StoppedEarly: If the training failed.
        """
        (scores,) = self.scores([program], task)
        if scores is None:
            why = self._failures[programs.key(program), task]
            raise StoppedEarly(f"a program could not be trained on {task}, which tells nothing about its score: {why}")
        return scores


@dataclass(frozen=True)
class Yardstick:
    """The scores that a program must not fall below: those of the program as it was given.

    Attributes:
        start: Scores of the program as it was given, by task, in the order in which tasks are tried.
    """

    start: Mapping[str, Scores]

    def noise(self, task: str) -> float:
        """Return the half-width of the 95 % confidence interval of the start's mean score, at most 5 % of that mean.

        With few rng seeds the interval is wide, which is no reason to accept a larger loss.
        """
        score = estimate(self.start[task])
        return min(score.half_width, _LARGEST_NOISE * score.mean)

    def change(self, task: str, scores: Scores) -> Estimate:
        """Return an estimate of how far scores are above the start's, from the difference for each rng seed."""
        return estimate([new - old for new, old in zip(scores, self.start[task], strict=True)])

    def keeps(self, task: str, scores: Scores) -> bool:
        """Return whether the mean score falls by no more than the noise."""
        return self.change(task, scores).mean >= -self.noise(task)
