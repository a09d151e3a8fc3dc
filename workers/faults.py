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
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

VARIABLE: Final = "PRIDE_FAULTS"

HOOKS: Final[dict[str, str]] = {}
"""Every place where a fault can be planned, and what is the case there: whoever has such a place declares it."""

LATE_S: Final = 0.5
"""Seconds that the action `late` takes."""

_HOOK: Final = re.compile(r"[a-z]+\.[a-z]+")
_MEMORY_BYTES: Final = 256 * 2**20  # the most that the action `memory` allocates


@dataclass(frozen=True)
class Fault:
    """One planned fault."""

    hook: str  # one of HOOKS
    hit: int  # the hit in a process at which it happens, from 1
    action: str  # one of ACTIONS

    def __str__(self) -> str:
        return f"{self.hook}:{self.hit}:{self.action}"


def declare(hooks: Mapping[str, str]) -> None:
    """Add hooks to the table, as the module that has them does when it is imported.

    Args:
        hooks: By name, such as `store.commit`, what is the case when each is hit.

    Raises:
        ValueError: If there is such a hook already.
    """
    if doubled := sorted(hooks.keys() & HOOKS.keys()):
        raise ValueError(f"got {', '.join(doubled)} a second time; right would be every hook once")
    HOOKS.update(hooks)


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
        if not _HOOK.fullmatch(hook) or action not in ACTIONS or not re.fullmatch(r"[1-9][0-9]{0,11}", number):
            raise ValueError(
                f"{VARIABLE}: got {entry!r}; right would be hook:hit:action, with a hook such as store.commit, "
                f"a hit from 1, and an action of {', '.join(ACTIONS)}"
            )
        faults.append(Fault(hook, int(number), action))
    return tuple(faults)


def check_plan() -> None:
    """Check the plan of this process, once all modules that declare hooks are imported.

    A worker has no need to: it imports fewer modules, and what they do not declare is never hit.

    Raises:
        ValueError: If PRIDE_FAULTS is no plan, or names a hook that does not exist.
    """
    unknown = [fault.hook for fault in plan() if fault.hook not in HOOKS]
    if unknown:
        raise ValueError(f"{VARIABLE}: got the hook {unknown[0]!r}; right would be one of {', '.join(sorted(HOOKS))}")


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
