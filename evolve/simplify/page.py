"""HTML pages, which load nothing from outside and escape all that they show."""

import difflib
import importlib.metadata
from typing import Any

import jinja2

import programs
from evolve.simplify.by_training import MeasuredStep, Simplified
from evolve.simplify.derivation_text import change_text, failed_task, fresh_line, signed, sizes

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("evolve.simplify", ""),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
)


def derivation_page(name: str, simplified: Simplified) -> str:
    """Return a derivation as a page: both ends, every step with what it changed, and what each statement is worth."""
    before = [simplified.start, *(step.step.program for step in simplified.steps)]
    yardstick = simplified.yardstick
    return _TEMPLATES.get_template("derivation.html").render(
        name=name,
        version=importlib.metadata.version("pride"),
        summary=f"From {sizes(simplified.start)} to {sizes(simplified.program)} in {len(simplified.steps)} steps.",
        scores={task: yardstick.noise(task) for task in yardstick.start},
        rng_seeds=len(simplified.rng_seeds),
        fresh=fresh_line(simplified) if simplified.fresh else "",
        unread=programs.check(simplified.program).unread_rate,
        start=str(simplified.start),
        program=str(simplified.program),
        steps=[_row(simplified, old, step) for old, step in zip(before, simplified.steps, strict=False)],
        worth=[
            {
                "statement": trial.reduction.statement,
                "replacement": trial.reduction.replacement,
                "task": failed_task(trial),
                "change": signed(trial.changes[failed_task(trial)]),
            }
            for trial in simplified.worth()
        ],
    )


def _row(simplified: Simplified, before: programs.Program, step: MeasuredStep) -> dict[str, Any]:
    facts = programs.check(step.step.program)
    changed = difflib.ndiff(str(before).splitlines(), str(step.step.program).splitlines())
    return {
        "reason": step.step.reason,
        "proof": step.step.proof.value,
        "statements": facts.statements,
        "state_slots": facts.state_slots,
        "change": change_text(simplified, step),
        "lines": [(line[0], line[2:]) for line in changed if line[0] != "?"],
    }
