"""Scoring named programs on a suite, outside any search."""

from collections.abc import Sequence

from rich.console import Console
from rich.progress import track

import workers
from evolve.commands.references import NamedProgram, read_suite
from evolve.commands.streams import note
from evolve.scores.standing import Standing, make_standing

_FIRST_RNG_SEED = 1_000  # the tasks' references were measured on these; searches use others


def score_named(named: Sequence[NamedProgram], suite: str, rng_seeds: int) -> tuple[tuple[str, ...], list[Standing]]:
    """Train every task of a suite with every program, in this process.

    Args:
        named: The programs.
        suite: A suite's name, a task's name, or a YAML file.
        rng_seeds: Trainings for each task and program.

    Returns:
        The tasks' names, and the programs' standings in the order given.

    Raises:
        UsageError: If there is no such suite.
        DeviceError: If JAX cannot start its device.
    """
    workers.device_here()
    names = read_suite(suite)
    seeds = tuple(range(_FIRST_RNG_SEED, _FIRST_RNG_SEED + rng_seeds))
    console = Console(stderr=True)
    listed = list(enumerate(named))
    standings = []
    for index, entry in track(listed, "training", console=console, disable=not console.is_terminal):
        if not console.is_terminal:
            note(f"training with {entry.name} ({index + 1} of {len(named)})")
        (result,) = workers.evaluate([workers.Job(index, str(entry.program), names, seeds)])
        losses = dict(zip(names, result.losses, strict=False))
        standings.append(
            make_standing(entry.name, str(entry.program), result.status.value, losses, fresh_score=result.score)
        )
    return names, standings
