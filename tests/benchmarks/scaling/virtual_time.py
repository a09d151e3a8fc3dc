"""Processes in virtual time: each does one thing after another, or waits until it is woken."""

import heapq
import itertools
from collections.abc import Callable, Generator
from typing import TypeAlias

Step: TypeAlias = tuple[str, float] | None
"""What a process does next: as what it counts, and its seconds; None: it waits to be woken."""

Steps: TypeAlias = Generator[Step, None, None]


class Process:
    """What does one thing at a time."""

    def __init__(self):
        self.doing: str | None = None
        self.waits = False
        self.since_s = 0.0  # until when its time is accounted for
        self.forget()

    def forget(self) -> None:
        """Begin to measure anew."""
        self.busy_s: dict[str, float] = {}

    def account(self, now_s: float) -> None:
        """Note how the time since the last call was spent."""
        if self.doing is not None:
            self.busy_s[self.doing] = self.busy_s.get(self.doing, 0.0) + now_s - self.since_s
        self.since_s = now_s


class VirtualTime:
    """What happens when. What is due at the same time happens in the order in which it was arranged."""

    def __init__(self):
        self.now_s = 0.0
        self._events: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._order = itertools.count()
        self._steps: dict[Process, Steps] = {}

    def start(self, process: Process, steps: Steps) -> None:
        """Let a process begin, now."""
        self._steps[process] = steps
        self._resume(process)

    def after(self, seconds: float, happen: Callable[..., None], *arguments: object) -> None:
        """Let something happen later."""
        heapq.heappush(self._events, (self.now_s + seconds, next(self._order), happen, arguments))

    def wake(self, process: Process) -> None:
        """Let a process that waits look at what came."""
        if process.waits:
            self._resume(process)

    def go_on(self) -> None:
        """Let what is due next happen."""
        self.now_s, _, happen, arguments = heapq.heappop(self._events)
        happen(*arguments)

    def _resume(self, process: Process) -> None:
        process.account(self.now_s)
        process.doing = None
        step = next(self._steps[process])
        process.waits = step is None
        if step is not None:
            process.doing = step[0]
            self.after(step[1], self._resume, process)
