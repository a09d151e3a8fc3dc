"""Regularized evolution as a state machine: proposals out, outcomes in, no clock, no processes, no files.

What a run finds depends on its config alone, wall-clock limits apart: outcomes are committed in the order of the
proposals, and proposal i sees the population exactly as it is after outcome i - window. So workers, timing, crashes and
resumes change nothing.

Source: Real et al., "Regularized Evolution for Image Classifier Architecture Search", 2019,
https://arxiv.org/abs/1802.01548; as used by Chen et al., 2023, https://arxiv.org/abs/2302.06675.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

import programs
from evolve.config import Config
from evolve.records import Outcome

_NO_EDIT = "none"  # the mutation's name where no edit applies


@dataclass(frozen=True)
class Proposal:
    """A candidate, before anything is known of it.

    Attributes:
        index: its place in the run, from 0.
        program: what is proposed.
        key: the program's key.
        parents: indices of the outcomes it was made from.
        mutation: the name of the edit, or ``start``.
        known_from: the first earlier proposal with the same key, whose score it takes; None where it must be trained.
    """

    index: int
    program: programs.Program
    key: str
    parents: tuple[int, ...]
    mutation: str
    known_from: int | None


@dataclass(frozen=True)
class Member:
    """One program that is alive."""

    index: int
    program: str  # canonical text
    score: float


class Evolution:
    """The population and everything that the next proposal depends on."""

    def __init__(self, config: Config):
        """Start before the first proposal."""
        self._config = config
        self._limits = programs.Limits(statements=config.limits.statements)
        self._population: deque[Member] = deque(maxlen=config.population)
        self._first_with_key: dict[str, int] = {}
        self.proposed_to_train = 0  # proposals so far that no earlier one knew
        self._unchanged = 0  # proposals in a row to which no edit applied

    @property
    def stalled(self) -> bool:
        """Whether nothing could be changed for so long that nothing alive can be."""
        return self._unchanged >= 2 * (self._config.population + self._config.window)

    def start(self) -> Proposal:
        """Make proposal 0: the seed program that fills the first population."""
        return self._proposal(0, programs.load(self._config.start), (), "start")

    def propose(self, index: int) -> Proposal:
        """Make proposal ``index``: a mutant of a tournament's winner.

        Call it for 1, 2, 3 … in order, once outcome ``max(0, index - window)`` is committed and none after it.
        """
        rng = np.random.default_rng((self._config.rng_seed, index))
        drawn = rng.choice(len(self._population), size=self._config.tournament, replace=False)
        parent = max((self._population[place] for place in drawn), key=lambda member: (member.score, member.index))
        name, child = mutate(programs.parse(parent.program), rng, self._config, self._limits)
        return self._proposal(index, child, (parent.index,), name)

    def recall(self, outcome: Outcome) -> None:
        """Take note of a proposal that an earlier session made, in place of making it again.

        On resume this is called for all outcomes, before the first ``commit``.
        """
        if outcome.known_from is None:
            self._first_with_key[outcome.key] = outcome.index
            self.proposed_to_train += 1
        self._unchanged = self._unchanged + 1 if outcome.mutation == _NO_EDIT else 0

    def commit(self, outcome: Outcome) -> None:
        """Let an outcome live; the oldest member dies where the population is full."""
        member = Member(outcome.index, outcome.program, outcome.score)
        copies = self._config.population if outcome.index == 0 else 1
        self._population.extend([member] * copies)

    def _proposal(self, index: int, program: programs.Program, parents: tuple[int, ...], mutation: str) -> Proposal:
        key = programs.key(program)
        known_from = self._first_with_key.get(key)
        if known_from is None:
            self._first_with_key[key] = index
            self.proposed_to_train += 1
        self._unchanged = self._unchanged + 1 if mutation == _NO_EDIT else 0
        return Proposal(index, program, key, parents, mutation, known_from)


def mutate(
    program: programs.Program, rng: np.random.Generator, config: Config, limits: programs.Limits
) -> tuple[str, programs.Program]:
    """Make one edit, drawn by the config's weights among those that apply.

    Returns:
        The edit's name and the mutant; ``none`` and the program itself where no edit applies.
    """
    weights = {
        name: getattr(config.mutations, name) if edit.applies(program, limits) else 0.0
        for name, edit in programs.EDITS.items()
    }
    total = sum(weights.values())
    if total == 0.0:
        return _NO_EDIT, program
    name = str(rng.choice(list(weights), p=[weight / total for weight in weights.values()]))
    return name, programs.EDITS[name].apply(program, rng, limits)
