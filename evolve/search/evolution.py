"""Regularized evolution as a state machine: proposals out, outcomes in, no clock, no processes, no files.

A proposal depends on the config, on its index, and on the outcomes that were committed before it; which these are,
`evolve.search.island` says.

Source: Real et al., "Regularized Evolution for Image Classifier Architecture Search", 2019,
https://arxiv.org/abs/1802.01548; as used by Chen et al., 2023, https://arxiv.org/abs/2302.06675.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

import programs
import workers
from evolve.config.settings import CROSSOVER, Config
from evolve.search.adaptation import Successes
from evolve.search.known import KnownKeys
from evolve.store.records import Outcome

START = "start"  # the mutation of a program that a round begins with
NO_EDIT = "none"  # the mutation of a child if no edit applies


@dataclass(frozen=True)
class Mode:
    """How children are made.

    Attributes:
        selects: Whether parents win tournaments; else every child is made from the first population's program.
        mean_edits: Mean number of edits per child; if it is more than one, the number is drawn (geometrically).
        constants_only: Whether nothing but constants is edited.
    """

    selects: bool
    mean_edits: float
    constants_only: bool


MODES = {
    "evolution": Mode(selects=True, mean_edits=1.0, constants_only=False),
    "random": Mode(selects=False, mean_edits=4.0, constants_only=False),
    "constants": Mode(selects=True, mean_edits=1.0, constants_only=True),
}


@dataclass(frozen=True)
class Proposal:
    """A candidate before its evaluation.

    Attributes:
        index: The index of its outcome, from 0, if outcomes are committed in the order of the proposals.
        program: The proposed program.
        key: The program's key.
        parents: Indexes of the outcomes it was made from.
        mutation: The name of the edit, or ``start``.
        known: Whether an earlier proposal had the same key, so that it takes that one's result.
        settings: Canonical texts of other settings of its constants, to be trained beside it; the best is kept.
    """

    index: int
    program: programs.Program
    key: str
    parents: tuple[int, ...]
    mutation: str
    known: bool
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Member:
    """One program that is alive."""

    index: int
    text: str  # canonical
    score: float

    @cached_property
    def program(self) -> programs.Program:
        """The program, parsed when it is first a parent: a resumed run commits many members that never are."""
        return programs.parse(self.text)


class Evolution:
    """The population and everything that the next proposal depends on."""

    def __init__(self, config: Config, start: programs.Program, start_parents: tuple[int, ...] = ()):
        """Start before the first proposal.

        Args:
            config: The search's config.
            start: The program that fills the first population.
            start_parents: The index of the start's outcome, if an earlier round found it.
        """
        self._config = config
        self._mode = MODES[config.mode]
        self._limits = limits(config)
        weights = config.mutations.model_dump()
        self._weights = {n: float(n == "constants") for n in weights} if self._mode.constants_only else weights
        self._start, self._start_parents = start, start_parents
        self._population: deque[Member] = deque(maxlen=config.population)
        self._origin: Member | None = None
        self.keys = KnownKeys(keep_programs=config.settings > 1)
        self._successes = Successes()
        self._scores: dict[int, float] = {}  # of all members so far, if mutations are judged by them
        self._unchanged = 0  # proposals in a row to which no edit applied

    @property
    def stalled(self) -> bool:
        """Whether no edit has applied for so long that none applies to any program that is alive."""
        return self._unchanged >= 2 * (self._config.population + self._config.window)

    def start(self, index: int) -> Proposal:
        """Propose the program that fills the first population."""
        rng = np.random.default_rng((self._config.rng_seed, index))
        return self._proposal(index, self._start, self._start_parents, START, rng)

    def propose(self, index: int) -> Proposal:
        """Propose a mutant of a tournament's winner, or a child of two winners; as the config's mode says."""
        rng = np.random.default_rng((self._config.rng_seed, index))
        weights = self._successes.adapt(self._weights) if self._config.adaptive else self._weights
        parent = self._parent(rng)
        partner = self._parent(rng) if weights[CROSSOVER] > 0.0 else parent
        edits = 1 if self._mode.mean_edits == 1.0 else int(rng.geometric(1.0 / self._mode.mean_edits))
        child, names = parent.program, []
        for _ in range(edits):
            name, child = mutate(child, partner.program, rng, weights, self._limits)
            names += [name] if name != NO_EDIT else []
        parents = (parent.index, partner.index) if CROSSOVER in names else (parent.index,)
        return self._proposal(index, child, parents, "+".join(names) or NO_EDIT, rng)

    def recall(self, outcome: Outcome) -> None:
        """Record a proposal that an earlier session or round made, instead of making it again.

        On resume this is called for all outcomes, before the first ``commit``.
        """
        if outcome.known_from is None and outcome.key not in self.keys:
            self.keys.add(outcome.key)
            self._settle(outcome)
        self._unchanged = self._unchanged + 1 if outcome.mutation == NO_EDIT else 0

    def commit(self, outcome: Outcome, program: programs.Program | None = None) -> None:
        """Add an outcome to the population; the oldest member dies if the population is full.

        Args:
            outcome: The outcome of a proposal.
            program: Its program, if it is known and need not be parsed from the text.
        """
        member = Member(outcome.index, outcome.program, outcome.score)
        if program is not None:
            member.__dict__["program"] = program  # as cached_property does on a frozen record
        copies = self._config.population if self._origin is None else 1
        self._origin = self._origin or member
        self._population.extend([member] * copies)
        if outcome.known_from is None:
            self._settle(outcome)
        if self._config.adaptive:
            before = max((self._scores.get(index, 0.0) for index in outcome.parents), default=0.0)
            self._scores[outcome.index] = outcome.score
            if outcome.known_from is None:
                for mutation in outcome.mutation.split("+"):
                    self._successes.note(mutation, outcome.status == "ok" and outcome.score > before)

    def immigrate(self, outcome: Outcome) -> None:
        """Add another island's outcome to the population, as the youngest member."""
        self._population.append(Member(outcome.index, outcome.program, outcome.score))
        if self._config.adaptive:
            self._scores[outcome.index] = outcome.score

    def _settle(self, outcome: Outcome) -> None:
        status = workers.Status(outcome.status)
        self.keys.settle(outcome.key, outcome.index, status, outcome.score, outcome.program)

    def _parent(self, rng: np.random.Generator) -> Member:
        if not self._mode.selects and self._origin is not None:
            return self._origin
        drawn = rng.choice(len(self._population), size=self._config.tournament, replace=False)
        return max((self._population[place] for place in drawn), key=lambda member: (member.score, member.index))

    def _proposal(
        self, index: int, program: programs.Program, parents: tuple[int, ...], mutation: str, rng: np.random.Generator
    ) -> Proposal:
        key = programs.key(program)
        known = key in self.keys
        settings: tuple[str, ...] = ()
        if not known:
            self.keys.add(key)
            settings = _other_settings(program, self._config.settings - 1, rng, self._limits)
        self._unchanged = self._unchanged + 1 if mutation == NO_EDIT else 0
        return Proposal(index, program, key, parents, mutation, known, settings)


def _other_settings(
    program: programs.Program, count: int, rng: np.random.Generator, limits: programs.Limits
) -> tuple[str, ...]:
    """Draw other settings of a program's constants, each by one or more edits of a constant (geometrically)."""
    edit = programs.EDITS["constants"]
    if not count or not edit.applies(program, limits):
        return ()
    texts = []
    for _ in range(count):
        changed = program
        for _ in range(int(rng.geometric(0.5))):
            changed = edit.apply(changed, rng, limits)
        texts.append(str(changed))
    return tuple(texts)


def limits(config: Config) -> programs.Limits:
    """Return the limits that a config sets for programs."""
    given = config.limits
    functions = programs.PAPER_FUNCTIONS if given.functions == "paper" else tuple(sorted(programs.FUNCTIONS))
    return programs.Limits(given.statements, given.state, given.constant, functions)


def mutate(
    program: programs.Program,
    partner: programs.Program,
    rng: np.random.Generator,
    weights: Mapping[str, float],
    limits: programs.Limits,
) -> tuple[str, programs.Program]:
    """Make one edit, or a crossover with the partner, drawn by weight among those that apply.

    Returns:
        The mutation's name and the mutant; ``none`` and the program itself if nothing applies.
    """
    left = {name: weight for name, weight in weights.items() if weight > 0.0}
    while left:
        name = _draw(rng, left)
        if name == CROSSOVER:
            return name, programs.crossover(program, partner, rng, limits)
        child = programs.EDITS[name].attempt(program, rng, limits)
        if child is not None:
            return name, child
        del left[name]  # the relative chances of the others stay the same
    return NO_EDIT, program


def _draw(rng: np.random.Generator, weights: dict[str, float]) -> str:
    *names, last = weights
    point = rng.random() * sum(weights.values())
    for name in names:
        point -= weights[name]
        if point < 0.0:
            return name
    return last
