"""Reading a run: its champion beside what it is compared with, and its best candidates, as plain records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import programs
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
        program: canonical text.
        statements: live statements.
        state_slots: numbers of state for each weight.
        status: ``ok``, ``hopeless``, ``diverged``, ``crashed``, ``timeout`` or ``oom``.
        search_score: the score it was selected by; None for a program that was not searched.
        fresh_score: its score on rng seeds that the search has not seen; None where there is none yet.
        losses: held-out loss in nats, an estimate for each task by name; empty unless ``ok``.
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
    """Make a standing of what a program scored, with the program's facts and estimates of its losses."""
    facts = programs.check(programs.parse(program))
    estimates = {task: estimate(values) for task, values in losses.items()} if status == "ok" else {}
    return Standing(name, program, facts.statements, facts.state_slots, status, search_score, fresh_score, estimates)


def finalists(store: RunReader, config: Config) -> list[Standing]:
    """Give the candidates that were scored again to choose the champion, the best first."""
    return _by_fresh_score(store, config, current_finals(store, config, "confirm"))


def comparison(store: RunReader, config: Config) -> list[Standing]:
    """Give the champion and the seed programs it is compared with, on rng seeds that chose nothing, the best first."""
    champion = find_champion(store, config)
    shown = {(champion.index if champion else None, ""), *((None, name) for name in config.compare)}
    finals = current_finals(store, config, "report")
    return _by_fresh_score(store, config, [final for final in finals if (final.candidate, final.label) in shown])


def candidate(store: RunReader, config: Config, outcome: Outcome) -> Standing:
    """Give a candidate's standing by the score it was selected by."""
    losses = dict(zip(config.tasks, outcome.losses, strict=False))
    name = f"{store.name}:{outcome.index}"
    return make_standing(name, outcome.program, outcome.status, losses, search_score=outcome.score)


def _by_fresh_score(store: RunReader, config: Config, finals: Sequence[Final]) -> list[Standing]:
    found = []
    for final in sorted(finals, key=lambda final: -final.score):
        name, score = final.label, None
        if final.candidate is not None:
            name, score = f"{store.name}:{final.candidate}", store.outcome(final.candidate).score
        losses = dict(zip(config.tasks, final.losses, strict=False))
        found.append(
            make_standing(name, final.program, final.status, losses, search_score=score, fresh_score=final.score)
        )
    return found
