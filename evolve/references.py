"""What people name: the folder of runs, programs (seed program, file, RUN:ID, RUN:best, stdin) and suites."""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import programs
from evolve.config import Config, load_config
from evolve.errors import BadProgramOrData, UsageError
from evolve.search import find_champion
from evolve.store import Outcome, RunStore, open_to_read

_RUN_REFERENCE = re.compile(r"(?P<run>[A-Za-z0-9][A-Za-z0-9._-]{0,63}):(?P<id>[^:/]*)")
_LARGEST_INPUT = 1 << 20  # characters of stdin; the parser says where a program is too long


@dataclass(frozen=True)
class NamedProgram:
    """A program and where it came from.

    Attributes:
        name: as people refer to it.
        program: what it is.
        header: the comment lines above it (name, source); empty where there are none.
    """

    name: str
    program: programs.Program
    header: str = ""


def runs_folder() -> Path:
    """Give the folder that searches write to: PRIDE_RUNS, or runs/ of the current folder."""
    return Path(os.environ.get("PRIDE_RUNS") or "runs")


def run_config(store: RunStore) -> Config:
    """Read a run's config as it was resolved."""
    return load_config(str(store.folder / "resolved.yaml"))


def read_program(reference: str) -> NamedProgram:
    """Read the program that a PROGRAM argument names.

    Raises:
        ProgramError: where the text is no program, or no seed program or file has the name.
        UsageError: where a run or a candidate does not exist.
    """
    if reference == "-":
        return _from_text("stdin", sys.stdin.read(_LARGEST_INPUT))
    match = _RUN_REFERENCE.fullmatch(reference)
    if match and not Path(reference).exists():
        outcome = find_outcome(match["run"], match["id"])
        return NamedProgram(f"{match['run']}:{outcome.index}", programs.parse(outcome.program))
    if reference in programs.seed_programs():
        return _from_text(reference, programs.seed_text(reference))
    program = programs.load(reference)
    return NamedProgram(reference, program, _header(Path(reference).read_text(encoding="utf-8")))


def find_outcome(run: str, candidate: str) -> Outcome:
    """Find a run's outcome by its id, or its champion by ``best``.

    Raises:
        UsageError: where there is no such run or candidate.
        BadProgramOrData: where the run has no candidate that trained.
    """
    with open_to_read(runs_folder(), run) as store:
        if candidate == "best":
            champion = find_champion(store, run_config(store))
            if champion is None:
                raise BadProgramOrData(f"run {run} has no candidate that trained to the end yet")
            return champion
        if not candidate.isascii() or not candidate.isdigit():
            raise UsageError(f"'{run}:{candidate}' names no candidate; right would be {run}:best or {run}:12")
        return store.outcome(int(candidate))


def _from_text(name: str, text: str) -> NamedProgram:
    return NamedProgram(name, programs.parse(text), _header(text))


def _header(text: str) -> str:
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return "\n".join(lines)
