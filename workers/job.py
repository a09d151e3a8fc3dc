"""What is sent to a worker and what comes back."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How the evaluation of a candidate ended."""

    OK = "ok"  # trained to the end
    HOPELESS = "hopeless"  # below the hurdle on a task, so the tasks after it were not trained; an ordinary outcome
    DIVERGED = "diverged"  # a training diverged; an ordinary outcome
    CRASHED = "crashed"  # an exception or a dead worker, on every attempt
    TIMEOUT = "timeout"  # past the deadline, on the last attempt
    OOM = "oom"  # not enough memory


TOO_LARGE = "too large for the interpreter, so it is compiled"
"""In the message of a result, if its program is compiled though others are trained by the interpreter."""

FAILURES = (Status.CRASHED, Status.TIMEOUT, Status.OOM)
"""The statuses that another attempt may change; a diverged training would only diverge again."""


@dataclass(frozen=True)
class Job:
    """One candidate to evaluate."""

    index: int  # the candidate's place in the run, from 0; -1 for warm-up
    program: str  # canonical text: programs cross processes as text
    tasks: tuple[str, ...]  # names for tasks.get
    rng_seeds: tuple[int, ...]  # one training per task and rng seed
    hurdle: float | None = None  # if the score on a task is below it, the tasks after it are not trained
    settings: tuple[str, ...] = ()  # canonical texts of the program with other constants; the best of all counts


@dataclass(frozen=True)
class Result:
    """The result of one Job."""

    index: int  # the job's index
    status: Status
    score: float = 0.0  # higher is better; 0 unless ok or hopeless
    losses: tuple[tuple[float, ...], ...] = ()  # held-out, nats, by task, then rng seed; shorter if it ended early
    seconds: float = 0.0  # wall clock of the last attempt, or the job's share of it; never part of a run's identity
    attempts: int = 1  # 1 or 2
    setting: int = 0  # which scored best: 0 the program, 1 the first of the settings …
    message: str = ""  # why, for hopeless, crashed, timeout and oom; or TOO_LARGE
