"""The records of a run: outcomes, second scores and counts, and their form as database rows and JSON lines."""

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import workers

Losses = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of one candidate.

    Attributes:
        index: Its place among the run's candidates, from 0, without gaps.
        key: The dedup key of the proposed program.
        program: The canonical text of the resulting program: the proposed one, or one with other constants that scored
            better.
        parents: Indexes of the earlier candidates it was made from; empty for a seed program.
        mutation: "start", or the name of the edit that made it.
        status: A `workers.Status`.
        score: Higher is better; finite whatever the status.
        losses: Held-out losses in nats, per task and per rng seed; fewer if a training diverged or a task was
            hopeless, which ends the evaluation.
        statements: How many of its statements are live.
        state_slots: Numbers of state for each weight.
        known_from: Index of the earlier outcome with this key whose score it took; None if it was evaluated.
        seconds: How long the evaluation took. This and the attributes below never influence a search.
        attempts: How many times the evaluation was tried.
        message: What went wrong, for people.
    """

    index: int
    key: str
    program: str
    parents: tuple[int, ...] = ()
    mutation: str
    status: str
    score: float
    losses: Losses = ()
    statements: int
    state_slots: int
    known_from: int | None = None
    seconds: float = 0.0
    attempts: int = 1
    message: str = ""

    def __post_init__(self):
        _check_scores(self.status, self.score, self.losses)
        if not math.isfinite(self.seconds):
            raise ValueError(f"seconds is {self.seconds!r}; right would be a finite number")
        earlier = self.parents if self.known_from is None else (*self.parents, self.known_from)
        if any(not 0 <= index < self.index for index in earlier):
            raise ValueError(f"outcome {self.index} refers to {earlier}; right would be earlier ones")


@dataclass(frozen=True, kw_only=True)
class Final:
    """A second score, on fresh rng seeds, of one of the best candidates or of a seed program.

    Attributes:
        candidate: The candidate's index; None for a seed program.
        label: The seed program's name; empty for a candidate.
        program: The program's canonical text.
        purpose: "confirm" if the score chooses the champion, "report" if it is shown beside other programs'.
        rng_seeds: The rng seeds of the trainings.
        status: A `workers.Status`.
        score: Higher is better; finite whatever the status.
        losses: Held-out losses in nats, per task and per rng seed; fewer if a training diverged or a task was
            hopeless, which ends the evaluation.
    """

    candidate: int | None = None
    label: str = ""
    program: str
    purpose: Literal["confirm", "report"]
    rng_seeds: tuple[int, ...]
    status: str
    score: float
    losses: Losses = ()

    def __post_init__(self):
        _check_scores(self.status, self.score, self.losses)
        if (self.candidate is None) == (not self.label):
            raise ValueError("right would be either a candidate or a label")
        if self.purpose not in ("confirm", "report"):
            raise ValueError(f'purpose is {self.purpose!r}; right would be "confirm" or "report"')


@dataclass(frozen=True)
class Counts:
    """How many candidates a run has: generated = trained + known.

    Attributes:
        generated: All candidates.
        trained: Candidates that were evaluated, whatever the result.
        known: Candidates that took the score of an earlier one with the same key.
        hopeless: Trained candidates that ended at the hurdle.
        diverged: Trained candidates that diverged.
        failed: Trained candidates that crashed, took too long or ran out of memory.
        training_seconds: Seconds that evaluations took, summed over all workers.
    """

    generated: int = 0
    trained: int = 0
    known: int = 0
    hopeless: int = 0
    diverged: int = 0
    failed: int = 0
    training_seconds: float = 0.0

    def with_outcome(self, outcome: Outcome) -> "Counts":
        """Return the counts with one more outcome."""
        return self.plus(outcome.status, outcome.known_from is not None, 1, outcome.seconds)

    def plus(self, status: str, known: bool, count: int, seconds: float) -> "Counts":
        """Return the counts with `count` more candidates of a status, whose evaluations took `seconds` in all."""
        return Counts(
            self.generated + count,
            self.trained + count * (not known),
            self.known + count * known,
            self.hopeless + count * (not known and status == "hopeless"),
            self.diverged + count * (not known and status == "diverged"),
            self.failed + count * (not known and status in workers.FAILURES),
            self.training_seconds + seconds * (not known),
        )


@dataclass(frozen=True)
class RunSummary:
    """One line of `pride list`.

    Attributes:
        name: The run's name.
        state: "running" (a process is writing it), "interrupted", "done" or "broken".
        candidates: How many were generated.
        trained: How many of them were trained.
        best: The best score; None if there is none yet.
        created: When the run was made, in UTC, ISO 8601.
        reason: Why it stopped, or why it cannot be read; else empty.
    """

    name: str
    state: Literal["running", "interrupted", "done", "broken"]
    candidates: int = 0
    trained: int = 0
    best: float | None = None
    created: str = ""
    reason: str = ""


_STATUSES = frozenset(workers.Status)

_NOT_DUMPED = ("statements", "state_slots", "seconds", "attempts", "message")

_Record = TypeVar("_Record", bound=Outcome | Final)


def columns(record: type[Outcome] | type[Final]) -> tuple[str, ...]:
    """Return the names of a record's values, in the order of `to_row`."""
    return tuple(field.name for field in dataclasses.fields(record))


def to_row(record: Outcome | Final) -> tuple[Any, ...]:
    """Return a record as a database row: tuples as JSON, losses as hexadecimal floats, exact to the bit."""
    return tuple(
        json.dumps(_hexadecimal(value), separators=(",", ":")) if isinstance(value, tuple) else value
        for value in vars(record).values()
    )


def from_row(record: type[_Record], row: Iterable[Any]) -> _Record:
    """Return the record that `to_row` made a row of.

    Raises:
        ValueError: If the row has another form, or holds impossible values.
    """
    fields = dict(zip(columns(record), row, strict=True))
    try:
        for name in ("parents", "rng_seeds"):
            if name in fields:
                fields[name] = tuple(int(number) for number in json.loads(fields[name]))
        tasks = json.loads(fields["losses"])
        fields["losses"] = tuple(tuple(float.fromhex(loss) for loss in task) for task in tasks)
        return record(**fields)
    except (TypeError, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from error


def dump_lines(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """Yield canonical JSON, one line per outcome, without line ends: equal runs give equal bytes.

    A line holds index, program, parents, mutation, status, score, losses, key and known_from, and nothing
    that depends on time or place, or follows from the program. Floats are hexadecimal.
    """
    for outcome in outcomes:
        fields = {name: _hexadecimal(value) for name, value in vars(outcome).items() if name not in _NOT_DUMPED}
        yield json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _hexadecimal(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_hexadecimal(part) for part in value]
    return float(value).hex() if isinstance(value, float) else value


def _check_scores(status: str, score: float, losses: Losses) -> None:
    if status not in _STATUSES:
        raise ValueError(f"status is {status!r}; right would be one of {', '.join(workers.Status)}")
    if not math.isfinite(score):
        raise ValueError(f"score is {score!r}; right would be a finite number")
    if any(math.isnan(loss) or loss == -math.inf for task in losses for loss in task):
        raise ValueError("losses hold NaN or -inf; right would be finite numbers, or inf")
