"""The parts of a search in virtual time: what each does, and what the workers of an island wait for."""

from collections import deque
from collections.abc import Generator
from contextlib import suppress
from typing import TypeAlias

import simpy

Steps: TypeAlias = Generator[simpy.Event, None, None]
"""The events that a process of SimPy waits for, one after another."""

Jobs: TypeAlias = list[tuple[int, float]]
"""Proposals with a new key, each with its place and the seconds of its evaluation."""

CAUSES = ("driver", "island", "way", "window")
"""What a worker waits for: the driver's work; its island's; a message under way; or the order."""


class Part:
    """The driver or an island, which does one thing at a time.

    Attributes:
        busy_s: Seconds of work since the measuring began, by what was done.
        doing: What is done now; None while the part waits.
        since_s: The moment, in virtual seconds, up to which time is accounted for.
        asleep: The process that waits until the part is woken.
    """

    def __init__(self, time: simpy.Environment):
        self.time = time
        self.doing: str | None = None
        self.since_s = 0.0
        self.asleep: simpy.Process | None = None
        self.forget()

    def forget(self) -> None:
        """Begin to measure."""
        self.busy_s: dict[str, float] = {}

    def account(self) -> None:
        """Record how the time since the last call was spent."""
        if self.doing is not None:
            self.busy_s[self.doing] = self.busy_s.get(self.doing, 0.0) + self.time.now - self.since_s
        self.since_s = self.time.now

    def work(self, doing: str, seconds: float) -> Steps:
        """Do something for so long."""
        self.account()
        self.doing = doing
        yield self.time.timeout(seconds)
        self.account()
        self.doing = None

    def sleep(self) -> Steps:
        """Wait until the part is woken."""
        self.asleep = self.time.active_process
        with suppress(simpy.Interrupt):
            yield self.time.event()

    def wake(self) -> None:
        """Let the part look at what came, before anything else happens, if it waits."""
        if self.asleep is not None:
            self.asleep.interrupt()
            self.asleep = None


class Island(Part):
    """One island, its proposals and its workers.

    Attributes:
        unused: Workers that have nothing to do and to or from which no message is under way.
        on_the_way: Workers to or from which a message is under way.
        asked: Happens when the driver asks the island to go on.
        proposed: Proposals made so far.
        next: In strict order, the place of the next outcome.
        waiting: Proposals that no worker was given yet.
        replies: The jobs of replies that came and were not looked at yet.
        done: Places of proposals that are evaluated or known but are no outcomes yet.
        trained_s: Seconds of evaluation since the measuring began, of all workers together.
        idle_s: Seconds that workers waited since then, by cause.
    """

    def __init__(self, time: simpy.Environment, number: int, workers: int):
        super().__init__(time)
        self.number = number
        self.workers = workers
        self.unused = workers
        self.on_the_way = 0
        self.asked = time.event()
        self.proposed = 0
        self.next = 0
        self.waiting: deque[tuple[int, float]] = deque()
        self.replies: list[Jobs] = []
        self.done: set[int] = set()

    def forget(self) -> None:
        """Begin to measure."""
        super().forget()
        self.trained_s = 0.0
        self.idle_s: dict[str, float] = dict.fromkeys(CAUSES, 0.0)

    def account(self) -> None:
        """Record how the island's time and its workers' since the last call was spent."""
        passed = self.time.now - self.since_s
        self.trained_s += passed * (self.workers - self.unused - self.on_the_way)
        self.idle_s["way"] += passed * self.on_the_way
        self.idle_s[self.doing or ("window" if self.asked.triggered else "driver")] += passed * self.unused
        super().account()

    def take_ready(self, strict: bool) -> int:
        """Remove the proposals that can become outcomes now, and return their number."""
        if not strict:
            count = len(self.done)
            self.done.clear()
            return count
        first = self.next
        while self.next in self.done:
            self.done.discard(self.next)
            self.next += 1
        return self.next - first
