"""One island of a search in virtual time: its proposals, and what its workers wait for."""

from collections import deque

from scaling.virtual_time import Process

CAUSES = ("driver", "island", "way", "window")
"""What a worker waits for: the driver's work; its island's; a message under way; or the order."""


class Island(Process):
    """One island: what it holds, and what its workers wait for."""

    def __init__(self, number: int, workers: int):
        super().__init__()
        self.number = number
        self.workers = workers
        self.unused = workers  # workers that nothing was handed to
        self.on_the_way = 0  # workers to or from which a message is under way
        self.asked = False  # whether the driver lets it go on
        self.proposed = 0
        self.next = 0  # in strict order, the place of the next outcome
        self.waiting: deque[tuple[int, float]] = deque()  # proposals that no worker was given: place and seconds
        self.replies: list[list[tuple[int, float]]] = []  # jobs that came from workers and were not taken in
        self.done: set[int] = set()  # evaluated or known, and no outcome yet

    def forget(self) -> None:
        """Begin to measure anew."""
        super().forget()
        self.trained_s = 0.0  # all workers together
        self.idle_s: dict[str, float] = dict.fromkeys(CAUSES, 0.0)

    def account(self, now_s: float) -> None:
        """Note how its time and its workers' since the last call was spent."""
        passed = now_s - self.since_s
        self.trained_s += passed * (self.workers - self.unused - self.on_the_way)
        self.idle_s["way"] += passed * self.on_the_way
        self.idle_s[self.doing or ("window" if self.asked else "driver")] += passed * self.unused
        super().account(now_s)

    def take_ready(self, strict: bool) -> int:
        """Take what can become outcomes now, and give their number."""
        if not strict:
            count = len(self.done)
            self.done.clear()
            return count
        first = self.next
        while self.next in self.done:
            self.done.discard(self.next)
            self.next += 1
        return self.next - first
