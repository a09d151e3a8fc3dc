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

from scaling.simulated_island import CAUSES, Island
from scaling.virtual_time import Process, Step, Steps, VirtualTime

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
    """A heap of what happens when, and the parts that it happens to."""

    def __init__(self, setting: Setting, costs: Costs, draw: Draw, outcomes: int):
        self.setting, self.costs, self.draw, self.wanted = setting, costs, draw, outcomes
        self.time = VirtualTime()
        self.came = 0  # outcomes to the driver
        self.began: tuple[float, int] | None = None  # when the measuring began, and what had come by then
        self.reports: list[tuple[Island, int]] = []  # from islands, with their outcomes, not taken in yet
        least, more = divmod(setting.workers, setting.islands)
        self.islands = [Island(number, least + (number < more)) for number in range(setting.islands)]
        self.driver = Process() if setting.islands > 1 else self.islands[0]
        self.processes = list(dict.fromkeys([self.driver, *self.islands]))

    def run(self) -> Report:
        """Let time pass until enough came."""
        if self.setting.islands == 1:
            self.time.start(self.driver, self.alone(self.islands[0]))
        else:
            for island in self.islands:
                self.time.start(island, self.answer(island))
            self.time.start(self.driver, self.drive())
        while self.came < self.wanted:
            self.time.go_on()
        return self.report()

    def alone(self, island: Island) -> Steps:
        """Be the driver and the one island."""
        island.asked = True
        while True:
            count = yield from self.advance(island)
            yield from self.take(count)

    def drive(self) -> Steps:
        """Be the driver of several islands: ask those that have reported, and take in what has come."""
        asked: list[Island] = self.islands
        while True:
            for island in asked:
                self.time.after(self.costs.way_s / 2.0, self.ask, island)
            while not self.reports:
                yield None
            reports, self.reports = self.reports, []
            asked = [island for island, _ in reports]
            count = sum(number for _, number in reports)
            yield "driver", len(self.islands) * self.costs.look_s + len(reports) * self.costs.call_s
            yield from self.take(count)

    def answer(self, island: Island) -> Steps:
        """Be one of several islands: go on when asked, and report."""
        while True:
            while not island.asked:
                yield None
            count = yield from self.advance(island)
            yield "island", count * self.costs.job_s
            island.account(self.time.now_s)
            island.asked = False
            self.time.after(self.costs.way_s / 2.0, self.hear, island, count)

    def take(self, count: int) -> Steps:
        """Commit outcomes, in one transaction."""
        if count:
            yield "driver", self.costs.commit_s + count * self.costs.outcome_s
            self.note(count)

    def advance(self, island: Island) -> Generator[Step, None, int]:
        """Let an island go on until there are outcomes, or a reply that allows none."""
        count = yield from self.collect(island)
        if count:
            return count
        yield from self.hand_out(island)
        while not island.replies:
            yield None
        yield "island", (island.workers - island.unused + len(island.replies)) * self.costs.look_s
        island.done.update([place for jobs in island.replies for place, _ in jobs])
        island.replies.clear()
        yield from self.hand_out(island)
        return (yield from self.collect(island))

    def collect(self, island: Island) -> Generator[Step, None, int]:
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
        yield "island", self.costs.propose_s
        place, island.proposed = island.proposed, island.proposed + 1
        seconds = self.draw(island.number, place)
        if seconds is None:
            island.done.add(place)
        else:
            island.waiting.append((place, seconds))

    def hand_out(self, island: Island) -> Steps:
        """Give every unused worker a fair share of what waits."""
        share = min(self.setting.batch, math.ceil(len(island.waiting) / island.workers))
        while island.waiting and island.unused:
            jobs = [island.waiting.popleft() for _ in range(min(share, len(island.waiting)))]
            yield "island", self.costs.call_s + len(jobs) * self.costs.job_s
            island.account(self.time.now_s)
            island.unused -= 1
            island.on_the_way += 1
            self.time.after(self.costs.way_s / 2.0, self.begin, island, jobs)

    def begin(self, island: Island, jobs: list[tuple[int, float]]) -> None:
        """Let a worker begin with what it was given."""
        island.account(self.time.now_s)
        island.on_the_way -= 1
        self.time.after(math.fsum(seconds for _, seconds in jobs), self.end, island, jobs)

    def end(self, island: Island, jobs: list[tuple[int, float]]) -> None:
        """Let a worker send its reply."""
        island.account(self.time.now_s)
        island.on_the_way += 1
        self.time.after(self.costs.way_s / 2.0, self.reply, island, jobs)

    def reply(self, island: Island, jobs: list[tuple[int, float]]) -> None:
        """Let a reply reach its island."""
        island.account(self.time.now_s)
        island.on_the_way -= 1
        island.unused += 1
        island.replies.append(jobs)
        self.time.wake(island)

    def ask(self, island: Island) -> None:
        """Let an island hear that it may go on."""
        island.account(self.time.now_s)
        island.asked = True
        self.time.wake(island)

    def hear(self, island: Island, count: int) -> None:
        """Let a report reach the driver."""
        self.reports.append((island, count))
        self.time.wake(self.driver)

    def note(self, count: int) -> None:
        """Count what came; begin to measure after the first half."""
        self.came += count
        if self.began is None and self.came >= self.wanted // 2:
            self.began = self.time.now_s, self.came
            for process in self.processes:
                process.account(self.time.now_s)
                process.forget()

    def report(self) -> Report:
        """Give the shares of the time that was measured."""
        for process in self.processes:
            process.account(self.time.now_s)
        began_s, before = self.began or (0.0, 0)
        seconds = self.time.now_s - began_s
        workers_s = seconds * self.setting.workers
        return Report(
            seconds=seconds,
            outcomes=self.came - before,
            utilisation=sum(island.trained_s for island in self.islands) / workers_s,
            idle={cause: sum(island.idle_s[cause] for island in self.islands) / workers_s for cause in CAUSES},
            driver=self.driver.busy_s.get("driver", 0.0) / seconds,
            island=sum(island.busy_s.get("island", 0.0) for island in self.islands) / seconds / len(self.islands),
        )
