"""Reading what people name: the runs' folder, programs (seed, file, candidate, stdin, transformed) and suites."""

import os
import re
import sys
from collections.abc import Collection
from dataclasses import dataclass, replace

import programs
from evolve.commands.layers import Layer, split_layer
from evolve.config import strict_yaml
from evolve.config.settings import SUITE_FILES
from evolve.errors import BadProgramOrData, UsageError
from evolve.store.finals import find_champion
from evolve.store.folders import open_to_read, runs_folder
from evolve.store.records import Outcome
from evolve.store.run_configs import run_config

_RUN_REFERENCE = re.compile(r"(?P<run>[A-Za-z0-9][A-Za-z0-9._-]{0,63}):(?P<id>[^:/]*)")
_INDEX = re.compile(r"[0-9]{1,18}")
_LARGEST_INPUT = 1 << 20  # bytes read from stdin; the parser reports that a program is too long
_SUITE = "a suite file is like `tasks: [digits_mlp, text_gpt]`"


@dataclass(frozen=True)
class NamedProgram:
    """A program and where it came from.

    Attributes:
        name: The name by which people refer to it.
        program: The program itself.
        header: The comment lines above it (name, source); empty if there are none.
        outcome: Its outcome, if it is the unchanged candidate of a run; else None.
    """

    name: str
    program: programs.Program
    header: str = ""
    outcome: Outcome | None = None


def read_program(reference: str) -> NamedProgram:
    """Return the program that a PROGRAM argument names.

    Transformations come before what they transform, the outermost first: ``lookahead,k=10:clip_by_value:adamw``. An
    ambiguous reference is a file, or else a candidate of an existing run, or else a transformed program.

    Raises:
        ProgramError: If the text is not a program, or no seed program or file has the name.
        UsageError: If a run, a candidate, a transformation or a setting of one does not exist.
        BadProgramOrData: If stdin is not text, or a run cannot be read.
    """
    layers: list[Layer] = []
    rest = reference
    while not (os.path.exists(rest) or _is_of_run(rest)) and (found := split_layer(rest)):
        layer, rest = found
        layers.append(layer)
    named = _read_untransformed(rest)
    for layer in reversed(layers):
        header = f"{layer} of {named.name}\nsource: {layer.transformation.source}\n{named.header}".rstrip()
        named = NamedProgram(f"{layer.text}:{named.name}", layer.apply(named.program), header)
    return replace(named, name=reference) if layers else named


def _is_of_run(reference: str) -> bool:
    """Return whether a reference means a run's candidate.

    The name of a transformation means a run only if there is such a run, and an id or ``best`` comes after it.
    """
    match = _RUN_REFERENCE.fullmatch(reference)
    if match is None:
        return False
    there = (runs_folder() / match["run"]).is_dir()
    has_id = match["id"] == "best" or _INDEX.fullmatch(match["id"]) is not None
    return (there and has_id) if match["run"] in programs.TRANSFORMATIONS else (there or has_id)


def _read_untransformed(reference: str) -> NamedProgram:
    if reference == "-":
        return _from_text("stdin", _stdin())
    match = _RUN_REFERENCE.fullmatch(reference)
    if match and not os.path.exists(reference):
        outcome = find_outcome(match["run"], match["id"])
        name = f"{match['run']}:{outcome.index}"
        return NamedProgram(name, programs.parse(outcome.program), outcome=outcome)
    path, _, candidate = reference.rpartition(":")
    if os.path.isfile(os.path.join(path, "run.db")):
        find_outcome(path, candidate)  # says that a run goes by its name
    return _from_text(reference, programs.source_text(reference))


def find_outcome(run: str, candidate: str) -> Outcome:
    """Return a run's outcome by its id, or its champion by ``best``.

    Raises:
        UsageError: If there is no such run or candidate.
        BadProgramOrData: If the run has no candidate that trained to the end.
    """
    with open_to_read(runs_folder(), run) as store:
        if candidate == "best":
            champion = find_champion(store, run_config(store))
            if champion is None:
                raise BadProgramOrData(f"run {run} has no candidate that trained to the end yet")
            return champion
        if not _INDEX.fullmatch(candidate):
            raise UsageError(f"'{run}:{candidate}' names no candidate; right would be {run}:best or {run}:12")
        return store.outcome(int(candidate))


def read_suite(reference: str) -> tuple[str, ...]:
    """Return the names of the tasks that a SUITE argument stands for.

    Args:
        reference: The name of a suite or task, or else the path of a YAML file with one key, ``tasks``, and a list of
            names of tasks.

    Raises:
        UsageError: If there is no such name or file, or the file is not as above.
    """
    import tasks  # imports JAX

    is_name = reference in tasks.SUITES or reference in tasks.TASKS
    if not is_name and (reference.endswith(SUITE_FILES) or os.path.isfile(reference)):
        return _read_suite_file(reference, tasks.TASKS)
    try:
        return tuple(task.name for task in tasks.load_suite(reference))
    except tasks.TaskError as error:
        raise UsageError(f"{error}, or give the path of a YAML file") from error


def _read_suite_file(path: str, known: Collection[str]) -> tuple[str, ...]:
    document = strict_yaml.parse(strict_yaml.read_text(path), path)
    if document.problems:
        raise UsageError(f"{path}: {'; '.join(document.problems)}")
    if not isinstance(document.value, dict) or list(document.value) != ["tasks"]:
        raise UsageError(f"{path}: got {strict_yaml.shown(document.value)}; {_SUITE}")
    names = document.value["tasks"]
    if not isinstance(names, tuple) or not names:
        raise UsageError(f"{path}: {document.where(('tasks',))}: got {strict_yaml.shown(names)}; {_SUITE}")
    for index, name in enumerate(names):
        got = f"{path}: {document.where(('tasks', index))}: got {strict_yaml.shown(name)}"
        if not isinstance(name, str) or name not in known:
            hint = programs.did_you_mean(name, known) if isinstance(name, str) else ""
            raise UsageError(f"{got}; right would be one of {', '.join(known)}{hint}")
        if name in names[:index]:
            raise UsageError(f"{got} again; right would be every name once")
    return names


def _stdin() -> str:
    if sys.stdin is None:
        raise BadProgramOrData("stdin is closed, so there is no program in it")
    try:
        return programs.decode(sys.stdin.buffer.read(_LARGEST_INPUT))
    except UnicodeDecodeError as error:
        raise BadProgramOrData(f"stdin is not UTF-8 text (byte {error.start})") from None


def _from_text(name: str, text: str) -> NamedProgram:
    return NamedProgram(name, programs.parse(text), _header(text))


def _header(text: str) -> str:
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return "\n".join(lines)
