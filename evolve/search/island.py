"""One island: an evolution, its proposals under way, and the order in which outcomes count. No clock, no processes.

In strict order outcomes are committed in the order of the proposals, and the proposal at place i of an island sees its
population exactly as it is after the outcome at place i - window. So what is found depends on the config and the scores
alone; workers, timing, crashes and resumes change nothing. In order of arrival an outcome is committed when it arrives,
and takes the next place; the window then only says how many proposals are under way.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import programs
import workers
from evolve.config.settings import Config
from evolve.search.evolution import Evolution, Proposal
from evolve.search.rounds import Leg
from evolve.store.finals import search_rng_seeds
from evolve.store.records import Outcome


@dataclass(frozen=True)
class Founder:
    """What an island begins with: a program and, if an earlier round found it, the index of its outcome."""

    program: str
    parents: tuple[int, ...] = ()


@dataclass(frozen=True)
class Migrant:
    """An outcome that moves to an island.

    Attributes:
        island: The number of the island, from 0.
        place: The place before whose outcome it joins the population.
        outcome: The outcome that moves; None for an empty migrant.
    """

    island: int
    place: int
    outcome: Outcome | None


class Island:
    """Proposals out, results in, outcomes out."""

    def __init__(self, config: Config, leg: Leg, number: int, founder: Founder):
        """Begin before the first proposal.

        Args:
            config: The search's config.
            leg: The round that the island is part of.
            number: The island's number in the round, from 0.
            founder: The program that the island begins with.
        """
        self._config, self._leg, self._number = config, leg, number
        self._evolution = Evolution(config, programs.parse(founder.program), founder.parents)
        self._proposed = 0  # the place of the next proposal
        self._committed = 0  # the place of the next outcome
        self._recalled = 0  # how many of its own outcomes were recalled
        self._under_way: dict[int, Proposal] = {}  # by place, in the order of the proposals
        self._results: dict[int, workers.Result] = {}  # by place
        self._ready: dict[int, None] = {}  # places of proposals that can be committed, in order of arrival
        self._awaiting: dict[str, list[int]] = {}  # places of proposals whose key is under way
        self._migrants: dict[int, Outcome | None] = {}  # by the place before which they join
        self._welcomed = 0  # the place before which the last migrant joined
        self._new_jobs: list[workers.Job] = []
        self._end: int | None = None  # the index from which on nothing is proposed

    @property
    def idle(self) -> bool:
        """Whether nothing is under way; an idle island that has begun proposes nothing more."""
        return not self._under_way

    @property
    def committed(self) -> int:
        """The number of its outcomes so far, those of earlier sessions included."""
        return self._committed

    @property
    def stalled(self) -> bool:
        """Whether no edit applies to any program that is alive."""
        return self._evolution.stalled

    def recall(self, outcome: Outcome) -> None:
        """Record an outcome of an earlier session or round; the island's own are replayed by `follow` afterwards."""
        self._evolution.recall(outcome)
        if self._is_own(outcome):
            self._recalled += 1

    def begin(self) -> None:
        """Make the first proposal, unless it was recalled; to be called when all outcomes have been recalled."""
        self._propose_until(1)

    def follow(self, outcome: Outcome) -> None:
        """Replay one of the island's own recalled outcomes, the oldest first."""
        self._welcome_migrant()
        self._commit(outcome)

    def end(self, index: int) -> None:
        """Propose no candidate of this index or after it; proposals under way are still finished."""
        self._end = index if self._end is None else min(self._end, index)

    def migrate(self, migrant: Migrant) -> None:
        """Accept a migrant, in time before the outcome at its place is committed."""
        self._migrants[migrant.place] = migrant.outcome

    def jobs(self) -> list[workers.Job]:
        """Return the jobs that were not returned yet; the index of a job is that of its proposal."""
        jobs, self._new_jobs = self._new_jobs, []
        return jobs

    def take(self, result: workers.Result) -> None:
        """Accept the result of a job."""
        place = self._leg.place(result.index)
        self._results[place] = result
        self._ready[place] = None

    def outcomes(self, most: int | None = None) -> Iterator[Outcome]:
        """Yield the next outcomes, each once committed; those that took a known score have no losses and message here.

        Args:
            most: The most outcomes that the island may have in all.
        """
        while (
            (most is None or self._committed < most)
            and self._welcome_migrant()
            and (place := self._next_ready()) is not None
        ):
            program = self._under_way[place].program
            outcome = self._outcome(place)
            self._commit(outcome, program if str(program) == outcome.program else None)
            yield outcome

    def _is_own(self, outcome: Outcome) -> bool:
        return self._leg.holds(outcome.index) and self._leg.island(outcome.index) == self._number

    def _may_propose(self) -> bool:
        """Return whether the budget and the round allow the next proposal."""
        budget, index = self._config.budget, self._leg.index(self._number, self._proposed)
        trained = len(self._evolution.keys) * self._config.settings
        return not (
            not self._leg.holds(index)
            or (self._end is not None and index >= self._end)
            or (budget.candidates is not None and index >= budget.candidates)
            or (budget.trained is not None and trained >= budget.trained)
            or self._evolution.stalled
        )

    def _propose_until(self, count: int) -> None:
        """Make proposals until there are `count`, recalled ones included."""
        self._proposed = max(self._proposed, min(count, self._recalled))
        while self._proposed < count and self._may_propose():
            self._propose(self._proposed)
            self._proposed += 1

    def _propose(self, place: int) -> None:
        index = self._leg.index(self._number, place)
        proposal = self._evolution.propose(index) if place else self._evolution.start(index)
        self._under_way[place] = proposal
        if proposal.known:
            if self._evolution.keys.get(proposal.key) is None:
                self._awaiting.setdefault(proposal.key, []).append(place)
            else:
                self._ready[place] = None
        else:
            text, rng_seeds = str(proposal.program), search_rng_seeds(self._config)
            self._new_jobs.append(
                workers.Job(index, text, self._config.tasks, rng_seeds, self._config.hurdle, proposal.settings)
            )

    def _next_ready(self) -> int | None:
        """Return the place of the proposal that can be committed next; None if there is none."""
        if self._config.order == "arrival":
            return next(iter(self._ready), None)
        return self._committed if self._committed in self._ready else None

    def _outcome(self, place: int) -> Outcome:
        """Make the outcome that takes the next place on this island."""
        proposal = self._under_way.pop(place)
        del self._ready[place]
        common = {
            "index": self._leg.index(self._number, self._committed),
            "key": proposal.key,
            "parents": proposal.parents,
            "mutation": proposal.mutation,
            "statements": programs.check(proposal.program).statements,
            "state_slots": programs.check(proposal.program).state_slots,
        }
        known = self._evolution.keys.get(proposal.key) if proposal.known else None
        if known is not None:
            return Outcome(
                **common,
                program=known.program or str(proposal.program),
                known_from=known.index,
                status=known.status.value,
                score=known.score,
                attempts=0,
            )
        result = self._results.pop(place)
        return Outcome(
            **common,
            program=proposal.settings[result.setting - 1] if result.setting else str(proposal.program),
            status=result.status.value,
            score=result.score,
            losses=result.losses,
            seconds=result.seconds,
            attempts=result.attempts,
            message=result.message,
        )

    def _commit(self, outcome: Outcome, program: programs.Program | None = None) -> None:
        """Add an outcome to the population, and make the proposals that waited for it."""
        self._evolution.commit(outcome, program)
        self._committed += 1
        self._ready.update(dict.fromkeys(self._awaiting.pop(outcome.key, ())))
        self._propose_until(self._committed + self._config.window)

    def _welcome_migrant(self) -> bool:
        """Admit the migrant that is due before the next outcome; return False if it has not arrived yet."""
        every = self._leg.migrate_every
        if every is None or self._committed % every or self._committed == self._welcomed:
            return True
        if self._committed not in self._migrants:
            return False
        self._welcomed = self._committed
        migrant = self._migrants.pop(self._committed)
        if migrant is not None:
            self._evolution.immigrate(migrant)
        return True


class Exchange:
    """The migrants between islands: before each multiple of `migrate_every`, the best of the previous island joins.

    It is that island's best as of one such period earlier, so that islands need not keep step. Outcomes must be noted
    in order on each island; migrants may be asked for at any time.
    """

    def __init__(self, leg: Leg):
        """Begin with no outcomes."""
        self._leg = leg
        self._best: list[Outcome | None] = [None] * leg.islands
        self._noted = [0] * leg.islands
        self._due: list[Migrant] = []

    def note(self, outcome: Outcome) -> None:
        """Record an outcome of any island."""
        every = self._leg.migrate_every
        if every is None:
            return
        island = self._leg.island(outcome.index)
        best = self._best[island]
        if outcome.status == "ok" and (best is None or outcome.score > best.score):
            self._best[island] = outcome
        self._noted[island] += 1
        if self._noted[island] % every == 0:
            target = (island + 1) % self._leg.islands
            self._due.append(Migrant(target, self._noted[island] + every, self._best[island]))

    def migrants(self) -> list[Migrant]:
        """Return the migrants that are due and were not returned yet."""
        due, self._due = self._due, []
        return due

    def first(self) -> list[Migrant]:
        """Return one empty migrant per island, for the first boundary."""
        every = self._leg.migrate_every
        return [] if every is None else [Migrant(island, every, None) for island in range(self._leg.islands)]
