"""What does not grow with the candidates: the memory of a process and XLA's compilations."""

import multiprocessing
import os
import resource
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax

import programs
import tasks
from evolve.bench.contenders import edited_programs

BATCH = 64
CANDIDATES = (100, 1_000, 10_000)
TASKS = ("iris", "digits_tiny")
BACKEND_COMPILE = "/jax/core/compile/backend_compile_duration"


def peaks(counts: Sequence[int]) -> dict[int, float]:
    """Score different programs on iris in batches; return the peak memory of the process, MiB, by candidates."""
    suite, source = (tasks.get("iris"),), edited_programs()
    found, scored = {}, 0
    for count in counts:
        while scored < count:
            batch = [next(source) for _ in range(min(BATCH, count - scored))]
            scored += len(tasks.evaluate_programs(suite, batch, (0,)))
        found[count] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def compilations(count: int) -> dict[str, Counter[str]]:
    """Score one program on two tasks, and then `count` others; return what XLA compiled for each, by function."""
    compiled: list[str] = []

    def listen(event: str, duration_secs: float, **about: str | int) -> None:
        if event == BACKEND_COMPILE:
            compiled.append(str(about.get("fun_name")))

    jax.monitoring.register_event_duration_secs_listener(listen)
    suite, source = [tasks.get(name) for name in TASKS], edited_programs()
    tasks.evaluate_programs(suite, [programs.load("adamw")], (0,))
    first = Counter(compiled)
    compiled.clear()
    for done in range(0, count, BATCH):
        tasks.evaluate_programs(suite, [next(source) for _ in range(min(BATCH, count - done))], (0,))
    return {"first": first, "others": Counter(compiled)}


def in_a_new_process(measure: Callable[[Any], Any], argument: Any) -> Any:
    """Call a function in a process in which nothing has been compiled yet."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (argument,))


def main() -> None:
    """Print two tables."""
    found = in_a_new_process(peaks, CANDIDATES)
    print(f"{'candidates':>10}{'peak memory, MiB':>18}{'to the first':>14}")
    for count, mebibytes in found.items():
        print(f"{count:>10}{mebibytes:>18.1f}{mebibytes / found[CANDIDATES[0]]:>14.3f}")
    number = CANDIDATES[1]
    compiled = in_a_new_process(compilations, number)
    print(f"\nXLA's compilations on {' and '.join(TASKS)}")
    for what, counter in zip(("the first program", f"{number} others"), compiled.values(), strict=True):
        listed = ", ".join(f"{times} {name}" for name, times in sorted(counter.items()))
        print(f"{what:<20}{counter.total():>4}  {listed}")


if __name__ == "__main__":
    main()
