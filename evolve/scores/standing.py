"""The standings of a run's champion, of the programs it is compared with, and of the best candidates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import programs
import workers
from evolve.config.settings import Config
from evolve.scores.estimates import Estimate, estimate
from evolve.store.finals import current_finals, find_champion
from evolve.store.reader import RunReader
from evolve.store.records import Final, Outcome


@dataclass(frozen=True)
class Standing:
    """One program's scores, for people and for JSON.

    Attributes:
        name: ``RUN:ID`` or a seed program's name.
        program: The program's canonical text.
        statements: The number of live statements.
        state_slots: Numbers of state for each weight.
        status: ``ok``, ``hopeless``, ``diverged``, ``crashed``, ``timeout`` or ``oom``.
        search_score: The score it was selected by; None for a program that the search did not propose.
        fresh_score: Its score on rng seeds that the search has not used; None if there is none yet, or if the training
            crashed, took too long or ran out of memory, as its status then says.
        losses: Held-out loss in nats, an estimate for each task by name; empty unless ``ok``.
    """

    name: str
    program: str
    statements: int
    state_slots: int
    status: str
    search_score: float | None
    fresh_score: float | None
    losses: dict[str, Estimate]


def make_standing(
    name: str,
    program: str,
    status: str,
    losses: Mapping[str, Sequence[float]],
    *,
    search_score: float | None = None,
    fresh_score: float | None = None,
) -> Standing:
    """Make a standing from a program's scores, with the program's facts and estimates of its losses."""
    facts = programs.check(programs.parse(program))
    estimates = {task: estimate(values) for task, values in losses.items()} if status == "ok" else {}
    if status in workers.FAILURES:
        fresh_score = None
    return Standing(name, program, facts.statements, facts.state_slots, status, search_score, fresh_score, estimates)


def finalists(store: RunReader, config: Config) -> list[Standing]:
    """Return the candidates that were scored again to choose the champion, the best first."""
    return _by_fresh_score(store, config, current_finals(store, config, "confirm"))


def comparison(store: RunReader, config: Config) -> list[Standing]:
    """Return the champion and the seed programs beside it, scored on rng seeds used for no choice, the best first."""
    champion = find_champion(store, config)
    shown = {(champion.index if champion else None, ""), *((None, name) for name in config.compare)}
    finals = current_finals(store, config, "report")
    return _by_fresh_score(store, config, [final for final in finals if (final.candidate, final.label) in shown])


def candidate(store: RunReader, config: Config, outcome: Outcome) -> Standing:
    """Return a candidate's standing by the score it was selected by."""
    losses = dict(zip(config.tasks, outcome.losses, strict=False))
    name = f"{store.name}:{outcome.index}"
    return make_standing(name, outcome.program, outcome.status, losses, search_score=outcome.score)


def _by_fresh_score(store: RunReader, config: Config, finals: Sequence[Final]) -> list[Standing]:
    found = []
    for final in sorted(finals, key=lambda final: (final.status in workers.FAILURES, -final.score)):
        name, score = final.label, None
        if final.candidate is not None:
            name, score = f"{store.name}:{final.candidate}", store.outcome(final.candidate).score
        losses = dict(zip(config.tasks, final.losses, strict=False))
        found.append(
            make_standing(name, final.program, final.status, losses, search_score=score, fresh_score=final.score)
        )
    return found
