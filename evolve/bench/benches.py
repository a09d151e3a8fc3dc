"""The table of benches: what `pride bench` measures on the device in use.

JAX is imported by the benches, not with this module, so that the command can choose the device first.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Row(NamedTuple):
    """One measurement and the baseline that it is compared with.

    Attributes:
        name: The bench and, after a slash, what was measured or what it is compared with.
        value: The measured value; infinite if there is no such number.
        unit: The unit of value and baseline.
        baseline: What the value is compared with.
        ratio: The value divided by the baseline.
    """

    name: str
    value: float
    unit: str
    baseline: float
    ratio: float


class Device(NamedTuple):
    """What to measure on, and how often."""

    platform: str  # "cpu" or "gpu"
    repetitions: int  # timings of each contender; the median counts

    @property
    def side_by_side(self) -> bool:
        """Whether lanes run side by side on this device, which is the interpreter's default."""
        return self.platform != "cpu"


class _Counts(NamedTuple):
    """How many programs a contender trains at a time."""

    interpreted: int
    compiled: int  # each costs a compilation


_COUNTS = {
    "cpu": {"digits_mlp": _Counts(32, 4), "digits_vit": _Counts(2, 1), "iris": _Counts(512, 4)},
    "gpu": {"digits_mlp": _Counts(1024, 4), "digits_vit": _Counts(1024, 1), "iris": _Counts(1024, 4)},
}
_POPULATIONS = {"cpu": (1, 16), "gpu": (1, 16, 256, 1024)}
_LANES = {"cpu": {"iris": (64, 16)}, "gpu": dict.fromkeys(_COUNTS["gpu"], (4, 256))}  # in sequence, side by side
_WIDTHS = (256, 512)  # of the perceptrons that the break-even is measured with
_BREAK_EVEN_COUNT = {"cpu": 1, "gpu": 64}  # programs that the interpreter trains at a time there
_BREAK_EVEN_STEPS = 50
_BREAK_EVEN_RNG_SEEDS = 3


@dataclass(frozen=True)
class Bench:
    """A row of the table of benches.

    Attributes:
        measure: Yields the measurements.
        summary: A description for people.
        platforms: The platforms on which it runs without being named; on others it takes long.
    """

    measure: Callable[[Device], Iterator[Row]]
    summary: str
    platforms: tuple[str, ...] = ("cpu", "gpu")


def _faster(name: str, seconds: float, baseline: float) -> Row:
    return Row(name, 1 / seconds, "candidates/s", 1 / baseline, baseline / seconds)


def _longer(name: str, seconds: float, baseline: float) -> Row:
    return Row(name, 1e3 * seconds, "ms/candidate", 1e3 * baseline, seconds / baseline)


def _engines(name: str, from_text: bool = False) -> Callable[[Device], Iterator[Row]]:
    """Return a measurement of the interpreter on a task against its alternatives."""

    def measure(device: Device) -> Iterator[Row]:
        import tasks
        from evolve.bench import contenders

        task, counts = tasks.get(name), _COUNTS[device.platform][name]
        some = contenders.mutants(task, max(counts.interpreted, counts.compiled * (1 + device.repetitions)))
        entrants = {
            "interpreter": contenders.interpreter(task, counts.interpreted),
            "compiler": contenders.compiler(task, counts.compiled),
            "whole_loop": contenders.whole_loop(task),
            "floor": contenders.floor(task, counts.interpreted, side_by_side=device.side_by_side),
        }
        if from_text:
            entrants["from_text"] = contenders.interpreter_from_text(task, counts.interpreted)
        seconds = contenders.seconds_a_candidate(entrants, some, device.repetitions)
        yield _faster(f"{name}/compiler", seconds["interpreter"], seconds["compiler"])
        yield _faster(f"{name}/whole_loop", seconds["interpreter"], seconds["whole_loop"])
        yield _longer(f"{name}/floor", seconds["interpreter"], seconds["floor"])
        if from_text:
            yield _faster(f"{name}/from_text", seconds["from_text"], seconds["interpreter"])

    return measure


def _lanes(device: Device) -> Iterator[Row]:
    """Yield comparisons of lanes side by side with lanes in sequence."""
    import tasks
    from evolve.bench import contenders

    for name, (in_sequence, side_by_side) in _LANES[device.platform].items():
        task = tasks.get(name)
        entrants = {
            "sequence": contenders.interpreter(task, in_sequence, "sequence"),
            "population": contenders.interpreter(task, side_by_side, "population", side_by_side),
        }
        some = contenders.mutants(task, max(in_sequence, side_by_side))
        seconds = contenders.seconds_a_candidate(entrants, some, device.repetitions)
        yield _faster(f"lanes/{name}", seconds["population"], seconds["sequence"])


def _populations(name: str) -> Callable[[Device], Iterator[Row]]:
    """Return a measurement of populations against a population of one and the floor for as many lanes."""

    def measure(device: Device) -> Iterator[Row]:
        import tasks
        from evolve.bench import contenders

        task, sizes = tasks.get(name), _POPULATIONS[device.platform]
        entrants = {}
        for size in sizes:
            entrants[f"interpreter {size}"] = contenders.interpreter(task, size, "population", size)
            entrants[f"floor {size}"] = contenders.floor(task, size, side_by_side=True)
        seconds = contenders.seconds_a_candidate(entrants, contenders.mutants(task, max(sizes)), device.repetitions)
        for size in sizes:
            own = seconds[f"interpreter {size}"]
            yield _faster(f"{name}_populations/{size}/one", own, seconds[f"interpreter {sizes[0]}"])
            yield _longer(f"{name}_populations/{size}/floor", own, seconds[f"floor {size}"])

    return measure


def _break_even(device: Device) -> Iterator[Row]:
    """Yield the measured work from which compiling pays, compared with the table of engines."""
    from evolve.bench import contenders
    from tasks.digits import digits, perceptron
    from tasks.engines import break_even
    from tasks.training import weights

    count = _BREAK_EVEN_COUNT[device.platform]
    for width in _WIDTHS:
        task = digits(
            name=f"width_{width}",
            description="To find the break-even.",
            model=perceptron(width, depth=2),
            steps=_BREAK_EVEN_STEPS,
            reference=0.0,
        )
        entrants = {
            "interpreter": contenders.interpreter(task, count),
            "once": contenders.compiler(task, 1),
            "often": contenders.compiler(task, 1, _BREAK_EVEN_RNG_SEEDS),
        }
        seconds = contenders.seconds_a_candidate(entrants, contenders.mutants(task, max(count, 4)), device.repetitions)
        training = (seconds["often"] - seconds["once"]) / (_BREAK_EVEN_RNG_SEEDS - 1)
        saved = (seconds["interpreter"] - training) / task.steps
        steps = (seconds["once"] - training) / saved if saved > 0 else math.inf
        work, table = weights(task) * steps, break_even(device.platform)
        yield Row(f"break_even/{weights(task)}", work, "weights x steps", table, work / table)


BENCHES = {
    "digits_mlp": Bench(_engines("digits_mlp"), "the interpreter on digits_mlp against its alternatives"),
    "digits_vit": Bench(_engines("digits_vit"), "the same on digits_vit, a small vision transformer"),
    "iris": Bench(_engines("iris", from_text=True), "the same on iris, the smallest task"),
    "lanes": Bench(_lanes, "lanes side by side against lanes in sequence"),
    "break_even": Bench(_break_even, "work from which compiling a program pays, against the engines' table"),
    "digits_mlp_populations": Bench(_populations("digits_mlp"), "populations against one lane and the floor", ("gpu",)),
    "digits_vit_populations": Bench(_populations("digits_vit"), "the same on digits_vit", ("gpu",)),
}
