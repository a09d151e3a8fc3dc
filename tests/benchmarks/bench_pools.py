"""What a second worker gains, and what Ray costs per candidate, by batch.

If the cores had are fewer than the workers, other processes used the machine, and the speed-up means little.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

import programs
import workers
from workers.ray_connection import ray_connection

TASK, RNG_SEEDS = "digits_tiny", (0, 1, 2)  # the smallest task of the presets, and their rng seeds
BATCHES = (1, 4, 16, 64)
CALLS = 400  # in one measurement of the overhead
REPEATS = 7  # the median counts: the machine is shared
CANDIDATES = 32  # in one measurement of the speed-up
SHORT_TRAINING = 0.010  # seconds that a candidate may take one day


def do_nothing(jobs: Sequence[workers.Job]) -> list[workers.Result]:
    """Return results at once, of the size of real ones."""
    losses = ((0.1,) * len(RNG_SEEDS),)
    return [workers.Result(job.index, workers.Status.OK, 1.0, losses, seconds=1.0) for job in jobs]


def train(jobs: Sequence[workers.Job]) -> list[workers.Result]:
    """Evaluate as usual, but report each job's share of the processor's seconds instead of the clock's."""
    start = time.process_time()
    results = workers.evaluate(jobs)
    share = (time.process_time() - start) / len(jobs)
    return [replace(result, seconds=share) for result in results]


def children(count: int, rng_seed: int) -> list[workers.Job]:
    """Make jobs of different programs, each new to every process."""
    rng, parent = np.random.default_rng(rng_seed), programs.load("adamw")
    edit, limits = programs.EDITS["constants"], programs.Limits()
    texts = [str(edit.apply(parent, rng, limits)) for _ in range(count)]
    return [workers.Job(index, text, (TASK,), RNG_SEEDS) for index, text in enumerate(texts)]


def seconds_a_job(pool: workers.Pool, jobs: Sequence[workers.Job]) -> tuple[float, float]:
    """Time jobs that are all submitted at once, by the clock and by the workers' processors."""
    start, processor = time.perf_counter(), 0.0
    for job in jobs:
        pool.submit(job)
    while pool.in_flight:
        processor += sum(result.seconds for result in pool.wait())
    return (time.perf_counter() - start) / len(jobs), processor / len(jobs)


def medians(pool: workers.Pool, loads: Sequence[Sequence[workers.Job]]) -> list[float]:
    """Return the medians over several loads of the seconds per job; the first load is not counted."""
    times = [seconds_a_job(pool, jobs) for jobs in (loads[0], *loads)][1:]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def print_speed_up() -> float:
    """Print the rates of one worker and of two; return the seconds per candidate of one."""
    print(f"training on {TASK}, {len(RNG_SEEDS)} rng seeds")
    print(f"{'workers':>7}{'candidates/s':>14}{'speed-up':>10}{'processor s a candidate':>25}{'cores had':>11}")
    loads = [children(CANDIDATES, rng_seed) for rng_seed in range(3)]
    seconds = {}
    for count in (1, 2):
        with workers.RayPool(count, warm=(TASK,), evaluate=train) as pool:
            clock, processor = medians(pool, loads)
        seconds[count] = clock
        speed_up = seconds[1] / clock
        print(f"{count:>7}{1 / clock:>14.2f}{speed_up:>10.2f}{processor:>25.3f}{processor / clock:>11.2f}", flush=True)
    return seconds[1]


def print_overhead(training: float) -> None:
    """Print what a candidate that trains nothing costs, relative to the seconds of a training."""
    print("evaluating nothing, two workers")
    print(f"{'batch':>7}{'us a candidate':>16}{'% of a training':>17}{'% of 10 ms':>12}")
    for batch in BATCHES:
        with workers.RayPool(2, batch=batch, evaluate=do_nothing) as pool:
            overhead, _ = medians(pool, [children(batch * CALLS, 0)] * REPEATS)
        # Two workers train two candidates at a time, so each pays for twice its share.
        shares = [200.0 * overhead / seconds for seconds in (training, SHORT_TRAINING)]
        print(f"{batch:>7}{1e6 * overhead:>16.0f}{shares[0]:>17.2f}{shares[1]:>12.2f}", flush=True)


def main() -> None:
    """Print two tables."""
    with ray_connection(None, 2, print):
        print_overhead(print_speed_up())


if __name__ == "__main__":
    main()
