"""Derivations as lines for people and as JSON documents, and how they are read back from documents."""

import importlib.metadata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import pydantic

import programs
from evolve.errors import BadProgramOrData
from evolve.scores.estimates import Estimate, estimate
from evolve.simplify.ablation import Trial
from evolve.simplify.by_training import MeasuredStep, Simplified
from evolve.simplify.meter import Scores, Yardstick

_LARGEST_FILE = 64 * 2**20  # bytes
_REASON_WIDTH = 60


def suite_scores(scores: Sequence[Scores]) -> Scores:
    """Return the mean score over tasks for each rng seed."""
    return tuple(sum(own) / len(own) for own in zip(*scores, strict=True))


def score_of(step: MeasuredStep) -> Estimate:
    """Return an estimate of a step's mean score over the tasks on which it could be measured, at least one."""
    return estimate(suite_scores(list(step.scores.values())))


def change_of(simplified: Simplified, step: MeasuredStep) -> Estimate:
    """Return an estimate of how far a step's mean score is above the start's, from the difference for each rng seed.

    The mean is over the tasks on which the step could be measured, at least one.
    """
    start = suite_scores([simplified.yardstick.start[task] for task in step.scores])
    own = suite_scores(list(step.scores.values()))
    return estimate([new - old for new, old in zip(own, start, strict=True)])


def change_text(simplified: Simplified, step: MeasuredStep) -> str:
    """Return how far a step's score is above the start's, on which tasks it is below the noise, and what is missing.

    Empty if nothing was trained for the derivation.
    """
    below = [task for task, scores in step.scores.items() if not simplified.yardstick.keeps(task, scores)]
    missing = [task for task in simplified.yardstick.start if task not in step.scores]
    parts = [signed(change_of(simplified, step))] if step.scores else []
    parts += [f"below the noise on {', '.join(below)}"] if below else []
    parts += [f"not measured on {', '.join(missing)}"] if missing else []
    return ", ".join(parts)


def first_lines(name: str, simplified: Simplified) -> list[str]:
    """Return lines that say what the derivation starts from and how it is measured."""
    lines = [f"{name}: {sizes(simplified.start)}"]
    start = simplified.yardstick.start
    if start:
        score = estimate(suite_scores(list(start.values())))
        lines.append(f"score   {score}: the mean of {', '.join(start)} over {len(simplified.rng_seeds)} rng seeds")
        noise = ", ".join(f"{task} {simplified.yardstick.noise(task):.4f}" for task in start)
        lines.append(f"noise   {noise}: no score may fall by more (half of its 95 % confidence interval, at most 5 %)")
    return lines


def step_line(simplified: Simplified, number: int) -> str:
    """Return a line on a step, numbered from 1: proof, reason, size, and how the score differs from the start's."""
    step = simplified.steps[number - 1]
    line = f"{number:3}. {step.step.proof:<8}  {step.step.reason:<{_REASON_WIDTH}}  {sizes(step.step.program)}"
    if not simplified.yardstick.start:
        return line + (f"; may differ by {', '.join(step.step.gaps)}" if step.step.gaps else "")
    return f"{line}, score {change_text(simplified, step)}"


def fresh_line(simplified: Simplified) -> str:
    """Return a line that says how the start and the last program score on fresh rng seeds."""
    start, end = (suite_scores([ends[place] for ends in simplified.fresh.values()]) for place in (0, 1))
    change = estimate([new - old for new, old in zip(end, start, strict=True)])
    count = len(simplified.rng_seeds)
    missing = [task for task in simplified.yardstick.start if task not in simplified.fresh]
    note = f" (not measured on {', '.join(missing)})" if missing else ""
    return f"On {count} fresh rng seeds: {estimate(start)} as given, {estimate(end)} at the end, {signed(change)}{note}"


def worth_lines(simplified: Simplified) -> list[str]:
    """Return lines that say what each statement of the last program is worth: what its best replacement costs."""
    rows = []
    for trial in simplified.worth():
        task = failed_task(trial)
        change = f"{task} {signed(trial.changes[task])}"
        rows.append((trial.reduction.statement, f"-> {trial.reduction.replacement}", change))
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    return [f"    {row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}" for row in rows]


def as_text(name: str, simplified: Simplified) -> str:
    """Return a derivation as text for people: the start, every step with its program, and each statement's worth."""
    written = f"A derivation by Pride {importlib.metadata.version('pride')}"
    lines = [written, *first_lines(name, simplified), "", str(simplified.start)]
    for number, step in enumerate(simplified.steps, start=1):
        lines += [step_line(simplified, number), "", str(step.step.program)]
    return "\n".join([*lines, *last_lines(simplified), ""])


def real_lines(simplified: Simplified) -> list[str]:
    """Return what the proof ``real`` means, if steps have it and nothing was trained to tell what it costs."""
    gaps = {gap for step in simplified.steps for gap in step.step.gaps}
    if not gaps or simplified.yardstick.start:
        return []
    kinds = ", ".join(gap for gap in programs.Gap if gap in gaps)
    return [f"Steps called real are equal in real arithmetic; 32-bit floats may differ by {kinds}, and so may scores."]


def revived_lines(simplified: Simplified) -> list[str]:
    """Return a line for each task that the last program learns and the start does not."""
    return [
        f"On {task} the program as given scores {estimate(start)}, the last one {estimate(end)}: "
        "a step that is not exact brings back what 32-bit floats lose"
        for task, (start, end) in simplified.revived.items()
    ]


def last_lines(simplified: Simplified) -> list[str]:
    """Return lines on the scores of both ends on fresh rng seeds, and on each statement's worth in the last program."""
    lines = [fresh_line(simplified)] if simplified.fresh else []
    lines += [*real_lines(simplified), *revived_lines(simplified)]
    if unread := programs.check(simplified.program).unread_rate:
        lines.append(f"The simplified program {unread}.")
    if worth := worth_lines(simplified):
        lines += ["What each statement is worth: the score that its best replacement costs", *worth]
    if missing := simplified.unmeasured():
        lines.append("Not measured, since their trainings failed:")
        lines += [f"    {each.reduction.statement}  -> {each.reduction.replacement}" for each in missing]
    return lines


def as_document(name: str, simplified: Simplified) -> dict[str, Any]:
    """Return a derivation as a JSON document, from which it can be read back."""
    yardstick = simplified.yardstick
    return {
        "name": name,
        "pride": importlib.metadata.version("pride"),
        "rng_seeds": list(simplified.rng_seeds),
        "start": str(simplified.start),
        "scores": {task: list(scores) for task, scores in yardstick.start.items()},
        "noise": {task: yardstick.noise(task) for task in yardstick.start},
        "steps": [_step_document(simplified, step) for step in simplified.steps],
        "program": str(simplified.program),
        "key": programs.key(simplified.program),
        "fresh": {
            task: {"start": list(start), "program": list(end)} for task, (start, end) in simplified.fresh.items()
        },
        "revived": {
            task: {"start": list(start), "program": list(end)} for task, (start, end) in simplified.revived.items()
        },
        "worth": [
            {
                "statement": trial.reduction.statement,
                "replacement": trial.reduction.replacement,
                "changes": {task: _interval(change) for task, change in trial.changes.items()},
            }
            for trial in simplified.worth()
        ],
        "not_measured": [
            {
                "statement": trial.reduction.statement,
                "replacement": trial.reduction.replacement,
                "task": trial.unmeasured,
            }
            for trial in simplified.unmeasured()
        ],
    }


def _step_document(simplified: Simplified, step: MeasuredStep) -> dict[str, Any]:
    facts = programs.check(step.step.program)
    document: dict[str, Any] = {
        "reason": step.step.reason,
        "proof": step.step.proof.value,
        "gaps": [gap.value for gap in step.step.gaps],
        "program": str(step.step.program),
        "statements": facts.statements,
        "state_slots": facts.state_slots,
        "scores": {task: list(scores) for task, scores in step.scores.items()},
    }
    if step.scores:
        document["score"] = _interval(score_of(step))
        document["change"] = _interval(change_of(simplified, step))
    return document


def _interval(found: Estimate) -> dict[str, float]:
    return {"mean": found.mean, "half_width": found.half_width}


def failed_task(trial: Trial) -> str:
    """Return the task on which a reduction fell below the noise."""
    return list(trial.changes)[-1]


def sizes(program: programs.Program) -> str:
    """Return the size of a program in words, dead statements counted."""
    facts = programs.check(program)
    return f"{_count(len(program.statements), 'statement')}, {_count(facts.state_slots, 'state slot')}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def signed(change: Estimate) -> str:
    """Return a change of a score as text, with its sign."""
    return f"{change.mean:+.4f} ± {change.half_width:.4f}"


_Scores = dict[str, tuple[pydantic.FiniteFloat, ...]]


class _Step(pydantic.BaseModel, strict=True):
    reason: str
    proof: programs.Proof
    gaps: tuple[programs.Gap, ...] = ()
    program: str
    scores: _Scores


class _Document(pydantic.BaseModel, strict=True):
    """The part of a derivation's document that is needed to read it back and to check its end."""

    name: str
    rng_seeds: tuple[Annotated[int, pydantic.Field(ge=0, lt=2**31)], ...]
    start: str
    scores: _Scores
    steps: tuple[_Step, ...]
    program: str
    key: str

    def all_scores(self) -> Iterator[dict[str, tuple[float, ...]]]:
        yield self.scores
        yield from (step.scores for step in self.steps)


def read_derivation(path: str) -> tuple[str, Simplified]:
    """Return the name and the derivation that a JSON document holds.

    Raises:
        BadProgramOrData: If the file cannot be read, is not such a document, or does not end where its steps do.
        ProgramError: If one of its programs is not well formed.
    """
    try:
        with Path(path).open("rb") as file:
            text = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise BadProgramOrData(f"cannot read {path}: {error.strerror}") from error
    if len(text) > _LARGEST_FILE:
        raise BadProgramOrData(f"{path}: got more than {_LARGEST_FILE} bytes, which no derivation has")
    try:
        document = _Document.model_validate_json(text)
    except pydantic.ValidationError as error:
        problems = [f"{'.'.join(map(str, one['loc'])) or 'all'}: {one['msg']}" for one in error.errors()[:5]]
        raise BadProgramOrData(
            f"{path} is not a derivation that pride simplify -o FILE.json wrote:", problems
        ) from error
    for scores in document.all_scores():
        counts = {len(own) for own in scores.values()}
        if not scores.keys() <= document.scores.keys() or not counts <= {len(document.rng_seeds)}:
            raise BadProgramOrData(f"{path}: got different tasks or numbers of scores in different places")
    if document.scores and len(document.rng_seeds) < 2:
        raise BadProgramOrData(
            f"{path}: got scores of {len(document.rng_seeds)} rng seed(s), too few to estimate the noise"
        )
    steps = tuple(
        MeasuredStep(programs.Step(step.reason, step.proof, programs.parse(step.program), step.gaps), step.scores)
        for step in document.steps
    )
    found = Simplified(programs.parse(document.start), document.rng_seeds, Yardstick(document.scores), steps)
    if (document.program, document.key) != (str(found.program), programs.key(found.program)):
        raise BadProgramOrData(f"{path}: got a program or key at the end to which its steps do not lead")
    return document.name, found
