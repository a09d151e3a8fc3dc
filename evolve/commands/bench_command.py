"""The command ``pride bench``: how fast candidates are scored on this device, compared with other ways."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import track

import programs
from evolve.bench.benches import BENCHES, Device, Row
from evolve.commands.options import json_option
from evolve.commands.printing import print_json, print_table
from evolve.commands.streams import note
from evolve.errors import UsageError
from workers.devices import CPU_ENVIRONMENT, GPU_ENVIRONMENT, device_here, jax_uses_gpus

_ENVIRONMENTS = {"cpu": CPU_ENVIRONMENT, "gpu": GPU_ENVIRONMENT}
_REPETITIONS = 5


def _benches() -> str:
    width = max(map(len, BENCHES))
    lines = [f"  {name:<{width}}  {bench.summary}" for name, bench in BENCHES.items()]
    return "\n".join(["\b", "Benches (without a NAME, those that suit the device):", *lines])


@click.command("bench", epilog=_benches())
@click.argument("name", nargs=-1)
@click.option(
    "--device", type=click.Choice(["cpu", "gpu"]), help="The device to use; default: what JAX is installed for."
)
@click.option(
    "--repetitions",
    type=click.IntRange(1, 1_000),
    default=_REPETITIONS,
    show_default=True,
    help="Timings of each; the median counts.",
)
@json_option
def bench_command(name: tuple[str, ...], device: str | None, repetitions: int, as_json: bool) -> None:
    """Time the scoring of candidates on this device.

    It is compared with other ways of doing the same.
    Needs neither Ray nor an installed Pride: python -m evolve.commands.cli bench, in a clone with jax, optax, equinox,
    numpy, scikit-learn, pyyaml, click and rich. On a CPU it uses one core, as a worker does.
    """
    for given in name:
        if given not in BENCHES:
            hint = programs.did_you_mean(given, BENCHES)
            raise UsageError(f"no bench is called '{given}'{hint}; there are {', '.join(BENCHES)}")
    with _on_one_core(device or ("gpu" if jax_uses_gpus() else "cpu")) as chosen:
        title = _start(chosen)
        names = name or [each for each, bench in BENCHES.items() if chosen in bench.platforms]
        rows = _measure(names, Device(chosen, repetitions))
    if as_json:
        print_json([row._asdict() for row in rows])
        return
    cells = [(row.name, _shown(row.value), _shown(row.baseline), row.unit, _shown(row.ratio)) for row in rows]
    print_table(f"{title} (medians of {repetitions})", ["<bench/against", "value", "baseline", "<unit", "ratio"], cells)


@contextmanager
def _on_one_core(device: str) -> Iterator[str]:
    """Yield the device; if it is the CPU, keep what this thread starts on one core, so that one core is measured."""
    if device != "cpu" or not hasattr(os, "sched_setaffinity"):  # not on macOS
        yield device
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield device
    finally:
        os.sched_setaffinity(0, cores)


def _start(device: str) -> str:
    """Start JAX on the device; return a description of it.

    Raises:
        UsageError: If there is no such device.
    """
    os.environ.update(_ENVIRONMENTS[device])
    import jax

    found = device_here()
    if found != device:
        raise UsageError(f"JAX finds no {device} here: it computes on the {found}; --device says what to use")
    kind = jax.devices()[0].device_kind
    where = f"one core of {platform.machine()}" if device == "cpu" else kind
    return f"{where}, jax {jax.__version__}, Python {platform.python_version()}"


def _measure(names: tuple[str, ...] | list[str], device: Device) -> list[Row]:
    console = Console(stderr=True)
    rows = []
    for place, name in track(list(enumerate(names)), "measuring", console=console, disable=not console.is_terminal):
        if not console.is_terminal:
            note(f"measuring {name} ({place + 1} of {len(names)})")
        rows += BENCHES[name].measure(device)
    return rows


def _shown(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
