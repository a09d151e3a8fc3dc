"""How many workers a search can feed, simulated from measured costs.

`python -m scaling.forecast FILE.svg`, run in tests/benchmarks, prints two tables and draws them. The
simulation needs SimPy and the drawing matplotlib; the development extra brings both.
"""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from scaling.simulation import Costs, Setting, simulate

MEASURED = Costs(
    propose_s=210e-6,
    outcome_s=100e-6,
    commit_s=3e-3,
    call_s=400e-6,
    job_s=9e-6,
    look_s=0.3e-6,
    way_s=1e-3,
)
"""What `python tests/benchmarks/bench_driver.py` printed on two shared cores of an Intel Xeon, with a local disk."""

MOST_WORKERS = 10_000
BUSY = 0.9  # the share of their time that workers must train
LARGEST_WINDOW = 10_000  # of a config
WINDOW = 4  # of an island, for each of its workers, in the first plot
SKEW = 0.5  # sigma of the logarithm of the seconds, in the first plot
ISLANDS = (1, 8, 64)
SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # of one evaluation
WINDOWS = (1, 2, 3, 4, 6, 8, 12, 16)  # for each worker, in the other plots
POOLS = ((32, 1), (32, 64), (200, 1))  # workers of one island, and the most jobs in a call

Lengths = Callable[[int, int], float]
"""The seconds of the evaluation of the proposal at a place of an island."""

Durations = Callable[[float, np.random.Generator], Lengths]
"""Makes the lengths of evaluations from their mean, in seconds, and a random number generator."""


def constant(mean_s: float, rng: np.random.Generator) -> Lengths:
    """Make all evaluations equally long."""
    return lambda island, place: mean_s


def lognormal(sigma: float) -> Durations:
    """Make lengths proportional to exp(N(0, sigma^2)); at a sigma of 1, 3 in 100 take four times the mean."""
    return lambda mean_s, rng: lambda island, place: mean_s * math.exp(sigma * rng.standard_normal() - sigma**2 / 2.0)


def pareto(tail: float) -> Durations:
    """Make lengths of which the share above x falls as x^-tail; the tail must be above 1."""
    return lambda mean_s, rng: lambda island, place: mean_s * (tail - 1.0) / tail * (1.0 + rng.pareto(tail))


SKEWED: Mapping[str, Durations] = {
    "constant": constant,
    "lognormal, sigma 0.5": lognormal(0.5),
    "lognormal, sigma 1": lognormal(1.0),
    "Pareto, tail 1.5": pareto(1.5),
}


def utilisation(workers: int, islands: int, mean_s: float, costs: Costs) -> float:
    """Return the share of the time that workers train, in order of arrival."""
    window = min(LARGEST_WINDOW, WINDOW * math.ceil(workers / islands))
    draw = lognormal(SKEW)(mean_s, np.random.default_rng(0))
    setting = Setting(workers, islands, window, strict=False)
    return simulate(setting, costs, draw, max(4_000, 4 * window * islands)).utilisation


def most_workers(islands: int, mean_s: float, costs: Costs) -> int:
    """Return how many workers `islands` islands keep busy, to a tenth; 0 if not even one per island."""
    rate = min(1.0 / costs.outcome_s, islands / costs.propose_s)  # outcomes per second if nothing else took time
    count = min(MOST_WORKERS, math.ceil(rate * mean_s / BUSY))
    while count >= islands:
        if utilisation(count, islands, mean_s, costs) >= BUSY:
            return count
        count = min(count - 1, int(count / 1.1))
    return 0


def idle_by_window(durations: Durations, strict: bool, workers: int, batch: int, costs: Costs) -> list[float]:
    """Return the share of the time that workers wait, for each of the windows, with evaluations of one second."""
    found = []
    for window in WINDOWS:
        setting = Setting(workers, 1, min(LARGEST_WINDOW, window * workers), strict, batch)
        draw = durations(1.0, np.random.default_rng(0))
        found.append(1.0 - simulate(setting, costs, draw, max(20_000, 12 * setting.window)).utilisation)
    return found


Idle = Mapping[tuple[int, int, str, bool], Sequence[float]]
"""The idle share for each window, by workers, batch, name of the durations and whether the order is strict."""


def plot(fed: Mapping[int, Sequence[int]], idle: Idle, file: Path) -> None:
    """Plot both tables."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams.update({"svg.hashsalt": "pride", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3})
    from matplotlib import pyplot

    figure, rows = pyplot.subplots(2, 2, figsize=(10.5, 8.4), layout="constrained")
    first, *others = rows.flat
    for islands, counts in fed.items():
        label = f"{islands} islands" if islands > 1 else "1 island"
        first.loglog(SECONDS, [count or math.nan for count in counts], "o-", label=label)
    first.set(title=f"workers that train {BUSY:.0%} of the time, order of arrival", ylim=(1, 1.5 * MOST_WORKERS))
    first.set(xlabel="seconds of an evaluation, on average", ylabel="workers, at most")
    first.legend(loc="lower right")
    colours = {name: f"C{number}" for number, name in enumerate(SKEWED)}
    for axes, pool in zip(others, POOLS, strict=True):
        for (*of_pool, name, strict), shares in idle.items():
            if pool == tuple(of_pool):
                label = name if strict else None
                style = "o-" if strict else ":"
                axes.plot(WINDOWS, [100 * share for share in shares], style, color=colours[name], label=label)
        jobs = "1 job a call" if pool[1] == 1 else f"up to {pool[1]} jobs a call"
        axes.set(title=f"{pool[0]} workers, {jobs}", xlabel="window, for each worker", xticks=WINDOWS)
        axes.set(ylabel="% of the time that workers wait", ylim=(-2, 102))
    title = "evaluations of 1 s on average; strict order solid, order of arrival dotted"
    figure.legend(*others[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(SKEWED), title=title)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None, dpi=100)


def main() -> None:
    """Print both tables and plot them into the files given on the command line."""
    print(f"workers that train {BUSY:.0%} of the time, order of arrival, a window of {WINDOW} a worker, sigma {SKEW}")
    print(f"{'islands':>8}" + "".join(f"{seconds:>8g} s" for seconds in SECONDS))
    fed = {}
    for islands in ISLANDS:
        fed[islands] = [most_workers(islands, seconds, MEASURED) for seconds in SECONDS]
        print(f"{islands:>8}" + "".join(f"{count:>10}" for count in fed[islands]), flush=True)
    print("\n% of the time that workers wait, evaluations of 1 s on average, by window for each worker")
    print(f"{'workers':>7}{'batch':>6}  {'':<22}{'order':<9}" + "".join(f"{window:>7}" for window in WINDOWS))
    idle = {}
    for workers, batch in POOLS:
        for name, durations in SKEWED.items():
            for strict in (True, False):
                shares = idle_by_window(durations, strict, workers, batch, MEASURED)
                idle[workers, batch, name, strict] = shares
                cells = "".join(f"{100 * share:>7.1f}" for share in shares)
                print(f"{workers:>7}{batch:>6}  {name:<22}{'strict' if strict else 'arrival':<9}{cells}", flush=True)
    for file in sys.argv[1:]:
        plot(fed, idle, Path(file))


if __name__ == "__main__":
    main()
