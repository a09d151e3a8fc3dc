"""How fast candidates are scored on one core and on two: the benches of `pride bench` with their targets."""

import itertools
import multiprocessing
import os
import statistics
import time
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

from evolve.bench.benches import BENCHES, Device
from workers.devices import CPU_ENVIRONMENT

REPETITIONS = 7
IRIS_CANDIDATES = 2048  # in one timing
AIMS = {
    "digits_mlp/compiler": "at least 15",
    "digits_mlp/floor": "at most 2.0",
    "digits_vit/floor": "at most 1.1",
}
TOGETHER_AIMS = {
    "from programs": ("at least 5000", "at least 1.9"),
    "from text": ("", "at least 1.9"),
    "floor": ("", "what the cores allow"),
}


def on_core(core: int) -> None:
    """Bind this process to one core, as a worker is; call it before JAX is imported."""
    os.sched_setaffinity(0, {core})
    os.environ.update(CPU_ENVIRONMENT)


def worker(number: int, cores: list[int], begin: Barrier, rates: Queue) -> None:
    """Train iris on one of the cores, alone and while the others train too; report the candidates per second of each.

    Each repetition times every worker alone, one after the other, and then all of them together.
    """
    on_core(cores[number])
    import tasks
    from evolve.bench import contenders

    iris = tasks.get("iris")
    some = contenders.mutants(iris, IRIS_CANDIDATES)
    ways = {
        "from programs": contenders.interpreter(iris, IRIS_CANDIDATES),
        "from text": contenders.interpreter_from_text(iris, IRIS_CANDIDATES),
        "floor": contenders.floor(iris, IRIS_CANDIDATES, side_by_side=False),
    }
    rounds = [*({each} for each in range(len(cores))), set(range(len(cores)))]
    times: dict[tuple[str, bool], list[float]] = {(way, together): [] for way in ways for together in (False, True)}
    for _, (way, contender), active in itertools.product(range(REPETITIONS), ways.items(), rounds):
        prepared = contender.prepare(some)
        begin.wait()
        if number in active:
            begun = time.perf_counter()
            contender.train(prepared)
            times[way, len(active) > 1].append(time.perf_counter() - begun)
    rates.put({what: IRIS_CANDIDATES / statistics.median(taken) for what, taken in times.items()})


def candidates_a_second(cores: list[int]) -> dict[tuple[str, bool], float]:
    """Train iris in one process per core; return rates: of one core alone (the mean), and of all cores together."""
    spawn = multiprocessing.get_context("spawn")
    begin, rates = spawn.Barrier(len(cores)), spawn.Queue()
    processes = [spawn.Process(target=worker, args=(number, cores, begin, rates)) for number in range(len(cores))]
    for process in processes:
        process.start()
    found = [rates.get() for _ in processes]
    for process in processes:
        process.join()
    sums = {what: sum(each[what] for each in found) for what in found[0]}
    return {(way, together): rate if together else rate / len(cores) for (way, together), rate in sums.items()}


def main() -> None:
    """Print a table."""
    cores = sorted(os.sched_getaffinity(0))[-2:]
    on_core(cores[-1])
    print(f"{'bench/against':<28}{'value':>9}{'baseline':>10}  {'unit':<16}{'ratio':>8}  aim of the ratio")
    for bench in ("digits_mlp", "digits_vit", "iris", "lanes", "break_even"):
        for row in BENCHES[bench].measure(Device("cpu", REPETITIONS)):
            numbers = f"{row.value:>9.4g}{row.baseline:>10.4g}  {row.unit:<16}{row.ratio:>8.3g}"
            print(f"{row.name:<28}{numbers}  {AIMS.get(row.name, '')}", flush=True)
    print(f"\n{'iris, candidates/s':<20}{'one core':>10}{'two cores':>11}  {'aim':<16}{'ratio':>6}  aim of the ratio")
    rates = candidates_a_second(cores)
    for way, (aim, scaling) in TOGETHER_AIMS.items():
        one, two = rates[way, False], rates[way, True]
        print(f"{way:<20}{one:>10.0f}{two:>11.0f}  {aim:<16}{two / one:>6.2f}  {scaling}")


if __name__ == "__main__":
    main()
