"""A search in virtual time: which share of the workers trains, and what the others wait for. No processes, no clock.

The parts are the driver, which alone writes the store, in one transaction whatever has come; islands, each of which
proposes and hands jobs to workers of its own; and workers, each of which evaluates the jobs of one call, one after
another. An island alone is in the driver's process, as in `evolve.search.local_islands`; several are processes of their
own, as in `evolve.search.ray_islands`: the driver asks each to go on, and an island that was asked goes on until it has
outcomes, sends them, and waits to be asked again. Jobs are handed out when an island waits for results, as by
`workers.RayPool`.

What is left out: islands keep step by themselves, no outcome is lost, and a known key is always known in time.
"""

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass

import simpy

from scaling.parts import CAUSES, Island, Jobs, Part, Steps

Draw = Callable[[int, int], float | None]
"""What becomes of the proposal at a place of an island: seconds of evaluation; None where its key is known."""


@dataclass(frozen=True)
class Costs:
    """What a candidate takes beside its evaluation, in seconds.

    Attributes:
        propose_s: Of an island, for each candidate: to take in its outcome and make another proposal, key and all.
        outcome_s: Of the driver, for each outcome, its share of a transaction included.
        commit_s: Of the driver, for each transaction beside that.
        call_s: Of a caller, for each call to another process and its reply.
        job_s: Of a caller, for each job or outcome in a call.
        look_s: Of a caller, for each call under way, each time that it takes replies.
        way_s: What passes between the end of a call's work and the caller's hearing of it, the way there included.
    """

    propose_s: float = 0.0
    outcome_s: float = 0.0
    commit_s: float = 0.0
    call_s: float = 0.0
    job_s: float = 0.0
    look_s: float = 0.0
    way_s: float = 0.0


@dataclass(frozen=True)
class Setting:
    """What is simulated.

    Attributes:
        workers: How many, shared evenly among the islands.
        islands: How many; one alone is in the driver's process.
        window: Of each island: the next proposal is made when all but so many of those before it have outcomes.
        strict: Whether outcomes count in the order of the proposals; else as they come.
        batch: How many jobs a call holds at most.
    """

    workers: int
    islands: int = 1
    window: int = 8
    strict: bool = True
    batch: int = 64

    def __post_init__(self):
        if min(self.islands, self.window, self.batch) < 1 or self.workers < self.islands:
            raise ValueError(f"{self}: right would be an island, a window, a batch of 1 or more, and a worker each")


@dataclass(frozen=True)
class Report:
    """What a simulation found in its second half; the first fills the window and evens out how it began.

    Attributes:
        seconds: Of virtual time that were looked at.
        outcomes: That came to the driver in them, known ones included.
        utilisation: The share of the workers' time in which they evaluate, from 0 to 1.
        idle: The rest by what a worker waits for: the driver's work; its island's; a message under way; or the order,
            which lets its island propose nothing yet.
        driver: The share of the time in which the driver works as such.
        island: The same of the islands, on average.
    """

    seconds: float
    outcomes: int
    utilisation: float
    idle: dict[str, float]
    driver: float
    island: float

    @property
    def outcomes_per_s(self) -> float:
        """Outcomes a second."""
        return self.outcomes / self.seconds


def simulate(setting: Setting, costs: Costs, draw: Draw, outcomes: int) -> Report:
    """Run until so many outcomes came to the driver, from all islands together.

    Args:
        setting: How many of each part, and the order.
        costs: What each step takes.
        draw: Asked once for each proposal, in the order in which an island makes them.
        outcomes: How many; some tens of windows make the figures steady.
    """
    return _Simulation(setting, costs, draw, outcomes).run()


class _Simulation:
    """The parts of a search as SimPy's processes, and what passed between them."""

    def __init__(self, setting: Setting, costs: Costs, draw: Draw, outcomes: int):
        self.setting, self.costs, self.draw, self.wanted = setting, costs, draw, outcomes
        self.time = simpy.Environment()
        self.came = 0  # outcomes to the driver
        self.began: tuple[float, int] | None = None  # when the measuring began, and what had come by then
        self.reports: list[tuple[Island, int]] = []  # islands that have outcomes, each with their number
        least, more = divmod(setting.workers, setting.islands)
        self.islands = [Island(self.time, number, least + (number < more)) for number in range(setting.islands)]
        self.driver = Part(self.time) if setting.islands > 1 else self.islands[0]
        self.parts = list(dict.fromkeys([self.driver, *self.islands]))

    def run(self) -> Report:
        """Let time pass until enough came."""
        if self.setting.islands == 1:
            self.time.process(self.alone(self.islands[0]))
        else:
            for island in self.islands:
                self.time.process(self.answer(island))
            self.time.process(self.drive())
        while self.came < self.wanted:
            self.time.step()
        return self.report()

    def alone(self, island: Island) -> Steps:
        """Be the driver and the one island."""
        island.asked.succeed()
        while True:
            count = yield from self.advance(island)
            yield from self.take(count)

    def drive(self) -> Steps:
        """Be the driver of several islands: ask those that have reported, and take in what has come."""
        asked = self.islands
        while True:
            for island in asked:
                self.time.process(self.ask(island))
            while not self.reports:
                yield from self.driver.sleep()
            reports, self.reports = self.reports, []
            asked = [island for island, _ in reports]
            looked_s = len(self.islands) * self.costs.look_s + len(reports) * self.costs.call_s
            yield from self.driver.work("driver", looked_s)
            yield from self.take(sum(count for _, count in reports))

    def ask(self, island: Island) -> Steps:
        """Be the message that an island may go on."""
        yield self.time.timeout(self.costs.way_s / 2.0)
        island.account()
        island.asked.succeed()

    def answer(self, island: Island) -> Steps:
        """Be one of several islands: go on when asked, and report."""
        while True:
            yield island.asked
            count = yield from self.advance(island)
            yield from island.work("island", count * self.costs.job_s)
            island.asked = self.time.event()
            self.time.process(self.hear(island, count))

    def hear(self, island: Island, count: int) -> Steps:
        """Be the message of an island's outcomes to the driver."""
        yield self.time.timeout(self.costs.way_s / 2.0)
        self.reports.append((island, count))
        self.driver.wake()

    def take(self, count: int) -> Steps:
        """Commit outcomes, in one transaction; begin to measure after the first half."""
        if not count:
            return
        yield from self.driver.work("driver", self.costs.commit_s + count * self.costs.outcome_s)
        self.came += count
        if self.began is None and self.came >= self.wanted // 2:
            self.began = self.time.now, self.came
            for part in self.parts:
                part.account()
                part.forget()

    def advance(self, island: Island) -> Generator[simpy.Event, None, int]:
        """Let an island go on until there are outcomes, or a reply that allows none."""
        count = yield from self.collect(island)
        if count:
            return count
        yield from self.hand_out(island)
        while not island.replies:
            yield from island.sleep()
        calls = island.workers - island.unused + len(island.replies)
        yield from island.work("island", calls * self.costs.look_s)
        island.done.update([place for jobs in island.replies for place, _ in jobs])
        island.replies.clear()
        yield from self.hand_out(island)
        return (yield from self.collect(island))

    def collect(self, island: Island) -> Generator[simpy.Event, None, int]:
        """Make outcomes, and the proposals that they allow, which may be known and so outcomes, too."""
        count = 0
        if not island.proposed:
            yield from self.propose(island)
        while ready := island.take_ready(self.setting.strict):
            count += ready
            more = ready if island.proposed > 1 else self.setting.window  # the first is alone, and then come all
            for _ in range(more):
                yield from self.propose(island)
        return count

    def propose(self, island: Island) -> Steps:
        """Make a proposal; what is known is done at once, the others wait for a worker."""
        yield from island.work("island", self.costs.propose_s)
        place, island.proposed = island.proposed, island.proposed + 1
        seconds = self.draw(island.number, place)
        if seconds is None:
            island.done.add(place)
        else:
            island.waiting.append((place, seconds))

    def hand_out(self, island: Island) -> Steps:
        """Hand every unused worker a fair share of what waits."""
        share = min(self.setting.batch, math.ceil(len(island.waiting) / island.workers))
        while island.waiting and island.unused:
            jobs = [island.waiting.popleft() for _ in range(min(share, len(island.waiting)))]
            yield from island.work("island", self.costs.call_s + len(jobs) * self.costs.job_s)
            self.time.process(self.call(island, jobs))
            island.unused -= 1
            island.on_the_way += 1

    def call(self, island: Island, jobs: Jobs) -> Steps:
        """Be a call to a worker: its way there, the evaluations, and the way of the reply."""
        yield self.time.timeout(self.costs.way_s / 2.0)
        island.account()
        island.on_the_way -= 1
        yield self.time.timeout(math.fsum(seconds for _, seconds in jobs))
        island.account()
        island.on_the_way += 1
        yield self.time.timeout(self.costs.way_s / 2.0)
        island.account()
        island.on_the_way -= 1
        island.unused += 1
        island.replies.append(jobs)
        island.wake()

    def report(self) -> Report:
        """Return the shares of the time that was measured."""
        for part in self.parts:
            part.account()
        began_s, before = self.began or (0.0, 0)
        seconds = self.time.now - began_s
        workers_s = seconds * self.setting.workers
        return Report(
            seconds=seconds,
            outcomes=self.came - before,
            utilisation=sum(island.trained_s for island in self.islands) / workers_s,
            idle={cause: sum(island.idle_s[cause] for island in self.islands) / workers_s for cause in CAUSES},
            driver=self.driver.busy_s.get("driver", 0.0) / seconds,
            island=sum(island.busy_s.get("island", 0.0) for island in self.islands) / seconds / len(self.islands),
        )
