"""Where a program comes from, in lines for the docstring of an exported module."""

import contextlib
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path

import workers
from evolve.commands.references import NamedProgram
from evolve.errors import BadProgramOrData
from evolve.store.finals import Purpose, current_finals
from evolve.store.folders import open_to_read, runs_folder
from evolve.store.reader import RunReader
from evolve.store.records import Outcome
from evolve.store.run_configs import made_config

_MEANS: dict[Purpose, str] = {"report": "used for no choice", "confirm": "used to choose it among the best"}


def provenance(named: NamedProgram) -> tuple[str, ...]:
    """Return lines on a program's name, the version of Pride that exports it, and its scores in the run that found it.

    Raises:
        BadProgramOrData: If its run cannot be read.
    """
    lines = [f"{Path(named.name).name}, exported by Pride {_version()}", *named.header.splitlines()]
    if named.outcome is not None:
        with open_to_read(runs_folder(), named.name.partition(":")[0]) as store:
            lines += _of_run(store, named.outcome)
    return tuple(lines)


def comments(lines: Sequence[str], mark: str) -> str:
    """Return lines as comments; unprintable characters become replacement marks, so that no line ends early."""
    shown = ("".join(letter if letter.isprintable() else "\ufffd" for letter in line) for line in lines)
    return "".join(f"{mark} {line}".rstrip() + "\n" for line in shown)


def _of_run(store: RunReader, outcome: Outcome) -> list[str]:
    config = made_config(store)
    searched = f"a search of {store.counts().generated} candidates"
    with contextlib.suppress(BadProgramOrData):  # without env.json
        searched += f" by Pride {store.environment.get('pride', 'of unknown version')}"
    lines = [f"found by {searched}, on {', '.join(config.tasks)}"]
    if outcome.status != "ok":
        return [*lines, f"its training ended as {outcome.status}"]
    lines.append(f"score in the search {outcome.score:.4f} (AdamW as given has 1, higher is better)")
    for purpose, means in _MEANS.items():
        for final in current_finals(store, config, purpose):
            if final.candidate == outcome.index and final.status not in workers.FAILURES:
                return [*lines, f"score on {len(final.rng_seeds)} fresh rng seeds, {means}, {final.score:.4f}"]
    return lines


def _version() -> str:
    try:
        return importlib.metadata.version("pride")
    except importlib.metadata.PackageNotFoundError:  # it runs from a clone
        return "of unknown version"
