"""What tests share that run `pride` in separate processes: with faults, with signals, and to the end."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import guard

PRIDE = [sys.executable, "-c", "from evolve.commands.cli import main; main()"]
SMALL = [
    *("--set", "budget.candidates=30", "--set", "rng_seeds=1", "--set", "finalists=1"),
    *("--set", "fresh_rng_seeds=1", "--set", "compare=[sgd]"),
]
"""Settings that make a search of `smoke` short."""

OUTLIVES_S = 30
"""Seconds after the end of a command within which all processes that it started must end."""


class Commands:
    """`pride` with one folder of runs, and one compile cache for all commands."""

    def __init__(self, root: Path, cache: Path):
        self.root = root
        self._cache = cache

    def variables(self, **more: str) -> dict[str, str]:
        return {**os.environ, "PRIDE_RUNS": str(self.root), "PRIDE_CACHE": str(self._cache), **more}

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whether or not it succeeds."""
        return subprocess.run([*PRIDE, *arguments], env=self.variables(**variables), capture_output=True, text=True)

    def search(self, name: str, *placement: str) -> str:
        """Search to the end, and return the dump."""
        done = self.run("search", "smoke", "--name", name, *SMALL, *placement)
        assert done.returncode == 0, done.stderr
        return self.dump(name)

    def dump(self, name: str) -> str:
        done = self.run("dump", name)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextlib.contextmanager
    def guarded(self, *arguments: str, **variables: str) -> "Iterator[Guarded]":
        """Run a command in the background."""
        with subprocess.Popen(
            [sys.executable, guard.__file__, str(OUTLIVES_S), *PRIDE, *arguments],
            env=self.variables(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            yield Guarded(process)

    def ended(self, *arguments: str, **variables: str) -> int:
        """Run a command to its end; return its exit code, or minus the signal that killed it. Nothing outlives it."""
        with self.guarded(*arguments, **variables) as command:
            return command.end()[0]


class Guarded:
    """A running command, with all processes that it starts."""

    def __init__(self, process: subprocess.Popen[str]):
        assert process.stdout is not None
        assert process.stderr is not None
        self._process, self._told, self._errors = process, process.stdout, process.stderr
        self._command = json.loads(self._told.readline())

    def wait_until_stopped(self) -> None:
        """Wait for the command to stop itself."""
        told = self._told.readline()
        assert json.loads(told) == "stopped", told + self._errors.read()

    def send(self, *numbers: int) -> None:
        """Send signals to the command alone."""
        for number in numbers:
            os.kill(self._command, number)

    def wait_until_said(self, text: str) -> None:
        """Wait for a line on standard error that contains a text."""
        assert any(text in line for line in self._errors)

    def end(self) -> tuple[int, str]:
        """Wait for the command's end; return its exit code and its remaining standard error. Nothing outlives it."""
        told, said = self._process.communicate()
        code, left = json.loads(told)
        assert left == []
        return code, said
