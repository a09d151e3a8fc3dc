"""What a candidate costs in addition to its training: in the island that proposes it, in the driver, and on Ray.

Gives the costs that tests/benchmarks/scaling simulates with, and then what a search makes a second that trains nothing.
"""

import resource
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from scaling.forecast import MEASURED, lognormal
from scaling.simulation import Setting, simulate

import programs
import workers
from evolve.config.files import to_yaml
from evolve.config.settings import Budget, Config, Mutations
from evolve.search.driver import Progress, Watcher, search
from evolve.search.evolution import limits, mutate
from evolve.search.island import Founder, Island
from evolve.search.rounds import legs
from evolve.store.folders import create
from evolve.store.records import Outcome
from evolve.store.writer import RunStore
from workers.ray_connection import ray_connection

PROPOSALS = 6_000  # of an island, in one measurement
GROUPS = (1, 4, 16, 64, 256)  # outcomes in a transaction
JOBS = 4_096  # on Ray, in one measurement
BATCHES = (1, 4, 16, 64)
CALLS = (16, 64, 256, 1_024)  # under way at once, while results are waited for
CANDIDATES = 100_000
SLEEPERS = 4  # workers that sleep instead of training
SLEEP = 0.1  # seconds, on average
SLEEPS = 400  # in one measurement
REPEATS = 5  # the median counts: the machine is shared


def config(candidates: int, **changes: Any) -> Config:
    return Config(tasks=("digits_tiny",), budget=Budget(candidates=candidates), finalists=1, compare=(), **changes)


def result(job: workers.Job) -> workers.Result:
    """Return a result at once, of the size of a real one; its score says nothing about the program."""
    score = float(np.random.default_rng(job.index).random())
    return workers.Result(job.index, workers.Status.OK, score, ((0.1, 0.2, 0.3),), seconds=0.01)


def do_nothing(jobs: Sequence[workers.Job]) -> list[workers.Result]:
    return [result(job) for job in jobs]


def outcomes_of_an_island(settings: Config) -> tuple[list[Outcome], float]:
    """Evolve an island; return its outcomes and the processor seconds per outcome."""
    (leg,) = legs(settings)
    island = Island(settings, leg, 0, Founder(str(programs.load(settings.start))))
    island.begin()
    outcomes, spent = [], 0.0
    while not island.idle:
        for done in [result(job) for job in island.jobs()]:
            island.take(done)
        began = time.process_time()
        outcomes += island.outcomes()
        spent += time.process_time() - began
    return outcomes, spent / len(outcomes)


def print_island() -> list[Outcome]:
    """Print what an island spends on a candidate, in total and by part; return the outcomes."""
    settings = config(PROPOSALS)
    outcomes, in_all = min((outcomes_of_an_island(settings) for _ in range(REPEATS)), key=lambda pair: pair[1])
    texts = [outcome.program for outcome in outcomes[-1_000:]]
    parents = [programs.parse(text) for text in texts]
    rng, weights, within = np.random.default_rng(0), settings.mutations.model_dump(), limits(settings)

    def children() -> list[programs.Program]:
        return [mutate(parent, parent, rng, weights, within)[1] for parent in parents]

    parts = {"mutate": lambda _: children(), "check": map_over(programs.check), "key": map_over(programs.key)}
    parts |= {"print": map_over(str), "parse": lambda _: [programs.parse(text) for text in texts]}
    length = statistics.mean(len(parent.statements) for parent in parents)
    print(f"an island, {len(outcomes)} candidates; the last have {length:.0f} statements. Processor, us per candidate")
    print(f"{'in all':<10}{1e6 * in_all:>8.0f}")
    for name, work in parts.items():
        print(f"{name:<10}{1e6 * min(timed(work, children()) for _ in range(REPEATS)) / len(texts):>8.0f}")
    return outcomes


def map_over(work: Any) -> Any:
    return lambda items: [work(item) for item in items]


def timed(work: Any, items: Any) -> float:
    began = time.process_time()
    work(items)
    return time.process_time() - began


@contextmanager
def store_of(settings: Config) -> Iterator[RunStore]:
    with tempfile.TemporaryDirectory() as root, create(Path(root), "bench", "", to_yaml(settings), {}) as store:
        yield store


def print_commits(outcomes: Sequence[Outcome]) -> None:
    """Print how long a transaction takes, by the number of outcomes in it."""
    print("\na transaction on this disk, ms by the clock, and us per outcome")
    with store_of(config(len(outcomes))) as store:
        rest = iter(outcomes)
        for size in GROUPS:
            times = []
            for _ in range(12):
                group = [next(rest) for _ in range(size)]
                began = time.perf_counter()
                store.commit(*group)
                times.append(time.perf_counter() - began)
            spent = statistics.median(times)
            print(f"{size:>5}{1e3 * spent:>9.2f}{1e6 * spent / size:>9.0f}")


def print_ray(jobs: Sequence[workers.Job]) -> None:
    """Print how long jobs that train nothing take on Ray (one worker), by batch, and what watching many calls costs."""
    print("\njobs on Ray, one worker: us per call by the clock, and by the calling thread's processor")
    for batch in BATCHES:
        with workers.RayPool(1, batch=batch, evaluate=do_nothing) as pool:
            times = [seconds_a_call(pool, jobs[: 64 * batch], batch) for _ in range(REPEATS + 1)][1:]
        clock, processor = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{batch:>5}{1e6 * clock:>9.0f}{1e6 * processor:>9.0f}", flush=True)
    import ray  # after Pride, which sets what Ray reads when it is imported

    print("\nto ask Ray which of so many calls are done: us, and us per call")
    blocker: Any = ray.remote(Blocker).options(num_cpus=0, max_concurrency=2).remote()
    for count in CALLS:
        calls = [blocker.wait_for_end.remote() for _ in range(count)]
        times = [timed(lambda refs: ray.wait(refs, timeout=0), calls) for _ in range(20 * REPEATS)]
        print(f"{count:>5}{1e6 * statistics.mean(times):>9.0f}{1e6 * statistics.mean(times) / count:>9.2f}", flush=True)
    ray.kill(blocker)


class Blocker:
    """An actor whose calls do not end."""

    def wait_for_end(self) -> None:
        import threading

        threading.Event().wait()


def seconds_a_call(pool: workers.Pool, jobs: Sequence[workers.Job], batch: int) -> tuple[float, float]:
    """Return the seconds per call, one after another, by the clock and by this thread's processor."""
    clock, processor = time.perf_counter(), time.thread_time()
    for start in range(0, len(jobs), batch):
        for job in jobs[start : start + batch]:
            pool.submit(job)
        while pool.in_flight:
            pool.wait()
    calls = len(jobs) / batch
    return (time.perf_counter() - clock) / calls, (time.thread_time() - processor) / calls


def print_search() -> None:
    """Print the candidates per second of a search that trains nothing, first tenth to last, and its memory growth."""
    print(f"\na search of {CANDIDATES} candidates that trains nothing, in this process")
    head = ("outcomes/s", "last/first tenth", "of processor", "growth, MiB", "processor us")
    print(f"{'window':>7}" + "".join(f"{name:>18}" for name in head))
    for window in (8, 64):
        settings = config(CANDIDATES, window=window)
        tenths: dict[int, tuple[float, float, float]] = {}

        def note(progress: Progress, tenths: dict[int, tuple[float, float, float]] = tenths) -> None:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            now = time.perf_counter(), time.process_time(), peak
            tenths.setdefault(progress.counts.generated // (CANDIDATES // 10), now)

        with store_of(settings) as store:
            search(store, settings, workers.SerialPool(do_nothing), Watcher(on_progress=note))
        clock, processor = (np.diff([tenths[place][kind] for place in range(11)]) for kind in (0, 1))
        growth = tenths[10][2] - tenths[1][2]
        cells = f"{CANDIDATES / clock.sum():>18.0f}{clock[-1] / clock[0]:>18.2f}{processor[-1] / processor[0]:>18.2f}"
        print(f"{window:>7}{cells}{growth:>18.1f}{1e6 * processor.sum() / CANDIDATES:>18.0f}", flush=True)


def length(index: int) -> float:
    """Return the seconds of a candidate's evaluation, lognormal with a sigma of 1."""
    draw = lognormal(1.0)(SLEEP, np.random.default_rng(index))
    return draw(0, index) or 0.0


def sleep(jobs: Sequence[workers.Job]) -> list[workers.Result]:
    for job in jobs:
        time.sleep(length(job.index))
    return do_nothing(jobs)


def print_orders() -> None:
    """Print how busy workers are in both orders, measured and simulated: skewed evaluations, second half of a run."""
    print(
        f"\n% of the time that {SLEEPERS} workers sleep; {SLEEPS} candidates, {SLEEP} s on average, lognormal, sigma 1"
    )
    print(f"{'order':<9}{'window':>7}{'batch':>7}{'here':>8}{'simulated':>11}")
    edits = Mutations(
        **{name: float(name == "constants") for name in Mutations.model_fields}
    )  # with these, no key is known
    for batch in (1, 64):
        for order in ("strict", "arrival"):
            for window in (SLEEPERS, 2 * SLEEPERS, 4 * SLEEPERS):
                settings = config(2 * SLEEPS, order=order, window=window, mutations=edits)
                times: dict[int, float] = {}

                def note(progress: Progress, times: dict[int, float] = times) -> None:
                    times.setdefault(progress.counts.generated, time.perf_counter())

                def enough(times: dict[int, float] = times) -> str | None:
                    return "enough" if max(times) >= SLEEPS else None

                with store_of(settings) as store, workers.RayPool(SLEEPERS, batch=batch, evaluate=sleep) as pool:
                    search(store, settings, pool, Watcher(note, enough))
                half, end = (min(count for count in times if count >= least) for least in (SLEEPS // 2, SLEEPS))
                slept = statistics.mean(length(index) for index in range(SLEEPS)) * (end - half)
                here = slept / (times[end] - times[half]) / SLEEPERS
                setting = Setting(SLEEPERS, 1, window, order == "strict", batch)
                report = simulate(setting, MEASURED, lambda island, place: length(place), SLEEPS)
                simulated = slept / (end - half) * report.outcomes / report.seconds / SLEEPERS
                cells = f"{100 * here:>8.1f}{100 * simulated:>11.1f}"
                print(f"{order:<9}{window:>7}{batch:>7}{cells}", flush=True)


def main() -> None:
    """Print all tables."""
    outcomes = print_island()
    print_commits(outcomes)
    print_search()
    rng_seeds = (0, 1, 2)
    jobs = [workers.Job(o.index, o.program, ("digits_tiny",), rng_seeds) for o in outcomes[-JOBS:]]
    with ray_connection(None, SLEEPERS, print):
        print_ray(jobs)
        print_orders()


if __name__ == "__main__":
    main()
