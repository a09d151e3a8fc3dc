"""Fault injection for tests: which hit of which hook does what; off unless planned.

The plan is in the environment variable PRIDE_FAULTS: faults as `hook:hit:action`, separated by commas, such as
`store.commit:7:kill`. Each process reads it once and counts its own hits, from 1.
"""

import errno
import functools
import os
import random
import re
import resource
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, NoReturn

VARIABLE: Final = "PRIDE_FAULTS"

HOOKS: Final = {
    "file.write": "a file of a run is open and empty, and about to be written",
    "file.sync": "a file or folder of a run is about to be brought to the disk",
    "file.rename": "a file or folder of a run is about to take the place it belongs in",
    "store.begin": "a transaction is about to begin",
    "store.commit": "a transaction is about to be committed",
    "store.committed": "a transaction is on the disk, and nobody knows yet",
    "search.propose": "a candidate was made, and is about to be handed to the pool",
    "search.results": "results have come and are not committed",
    "worker.evaluate": "jobs are about to be evaluated",
    "worker.reply": "jobs were evaluated, and nobody knows yet",
}
"""Every place where a fault can be planned, and what is the case there."""

LATE_S: Final = 0.5
"""Seconds that the action `late` takes."""

_MEMORY_BYTES: Final = 256 * 2**20  # the most that the action `memory` allocates


@dataclass(frozen=True)
class Fault:
    """One planned fault."""

    hook: str  # one of HOOKS
    hit: int  # the hit in a process at which it happens, from 1
    action: str  # one of ACTIONS

    def __str__(self) -> str:
        return f"{self.hook}:{self.hit}:{self.action}"


def hit(hook: str) -> None:
    """Count a hit of a hook, and do what is planned for it, if anything."""
    faults = plan()
    if faults:
        hits[hook] += 1
        for fault in faults:
            if (fault.hook, fault.hit) == (hook, hits[hook]):
                ACTIONS[fault.action]()


hits: Counter[str] = Counter()
"""How often each hook was hit in this process, if there is a plan."""


@functools.cache
def plan() -> tuple[Fault, ...]:
    """Return the faults planned for this process, normally none.

    Raises:
        ValueError: If PRIDE_FAULTS is not a plan.
    """
    return parse(os.environ.get(VARIABLE, ""))


def parse(text: str) -> tuple[Fault, ...]:
    """Parse a plan.

    Raises:
        ValueError: If the text is not a plan.
    """
    faults = []
    for entry in filter(None, text.split(",")):
        hook, _, rest = entry.partition(":")
        number, _, action = rest.partition(":")
        if hook not in HOOKS or action not in ACTIONS or not re.fullmatch(r"[1-9][0-9]{0,11}", number):
            raise ValueError(
                f"{VARIABLE}: got {entry!r}; right would be hook:hit:action, with a hook of {', '.join(HOOKS)}, "
                f"a hit from 1, and an action of {', '.join(ACTIONS)}"
            )
        faults.append(Fault(hook, int(number), action))
    return tuple(faults)


def draw(rng: random.Random, hooks: Collection[str], actions: Collection[str], last_hit: int) -> Fault:
    """Draw a fault: a hook, a hit from 1 to `last_hit`, and an action, each uniformly."""
    return Fault(rng.choice(sorted(hooks)), rng.randint(1, last_hit), rng.choice(sorted(actions)))


def _signal(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def _fail() -> NoReturn:
    raise RuntimeError("a fault that was planned")


def _fill_disk() -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _fill_database() -> NoReturn:
    raise sqlite3.OperationalError("database or disk is full")


def _spin() -> NoReturn:
    while True:
        pass


def _spin_in_native_code() -> None:
    re.match(r"(a+)+$", "a" * 64 + "b")  # takes longer than anyone waits, and lets no other thread run


def _eat_memory() -> None:
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY_BYTES, hard))
    try:
        hoard = []
        while True:
            hoard.append(bytearray(2**24))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))


ACTIONS: Final[dict[str, Callable[[], object]]] = {
    "kill": functools.partial(_signal, signal.SIGKILL),
    "stop": functools.partial(_signal, signal.SIGSTOP),
    "error": _fail,
    "disk": _fill_disk,
    "database": _fill_database,
    "spin": _spin,
    "native": _spin_in_native_code,
    "memory": _eat_memory,
    "late": functools.partial(time.sleep, LATE_S),
}
"""What can happen to a process: it is killed or stopped; an exception; a full disk as Python or as SQLite reports it;
an endless loop in Python or in native code; memory used up (a limit ends it); a late reply."""
