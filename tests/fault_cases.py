"""What tests of faults share: short searches, each session of which runs in a separate process that faults may end.

Run as a script, it imports all that a search needs, then forks once for each session that is requested.
"""

import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Self

import instant
import sqlite_faults

import workers
from evolve.config.files import to_yaml
from evolve.config.settings import Budget, Config
from evolve.errors import UserError
from evolve.search.driver import Watcher, search
from evolve.store.folders import create, environment, list_runs, open_to_read, open_to_write
from evolve.store.records import Final, dump_lines
from workers import faults

CONFIG = Config(
    tasks=("digits_tiny",),
    budget=Budget(candidates=12),
    population=5,
    window=4,
    rng_seeds=1,
    finalists=1,
    fresh_rng_seeds=1,
    compare=("sgd",),
    deadline_seconds=2.0,
)
KILLED = -9
AT_REST = ["config.yaml", "env.json", "lock", "resolved.yaml", "run.db"]


def config(candidates: int) -> Config:
    return CONFIG.model_copy(update={"budget": Budget(candidates=candidates)})


class InstantPool(workers.SerialPool):
    """A pool without JAX: it trains nothing."""

    def __init__(self):
        super().__init__(instant.evaluate, batch=3)

    @property
    def device(self) -> str:
        return "cpu"


def session(root: Path, name: str, settings: Config, pool: workers.Pool, watcher: Watcher = Watcher()) -> None:  # noqa: B008
    """Start a run, or resume it."""
    again = (root / name).exists()
    opened = open_to_write(root, name) if again else create(root, name, "given", to_yaml(settings), environment())
    with opened as store:
        search(store, settings, pool, watcher)


def found(root: Path, name: str) -> tuple[list[str], list[Final]]:
    """Return all that a run found."""
    with open_to_read(root, name) as store:
        return list(dump_lines(store.outcomes())), store.finals()


def check_whole(root: Path, name: str, unbroken: tuple[list[str], list[Final]]) -> None:
    """Fail unless a run, whatever happened to it, does not exist or holds a beginning of the unbroken one."""
    if not (root / name).exists():
        assert [summary.name for summary in list_runs(root)] == []
        return
    lines, finals = found(root, name)
    assert (lines, finals) == (unbroken[0][: len(lines)], unbroken[1][: len(finals)])
    assert [summary.state for summary in list_runs(root)] in (["interrupted"], ["done"])


class Server:
    """A process that forks a child for each session."""

    def __init__(self, **variables: str):
        tests = Path(__file__).parent
        path = os.pathsep.join((str(tests), str(tests.parent)))
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", **variables},
        )

    def run(self, root: Path, name: str, **asked: object) -> int:
        """Run a session; return its exit code, or minus the signal that ended it. See `_child`."""
        return self.run_counting(root, name, **asked)[0]

    def run_counting(self, root: Path, name: str, **asked: object) -> tuple[int, int]:
        """Run a session; return its exit code, and how many system calls SQLite made, if it reported them."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"root": str(root), "name": name, **asked}) + "\n")
        self._process.stdin.flush()
        code, calls = json.loads(self._process.stdout.readline())
        return code, calls

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.communicate()


def _child(
    root: str,
    name: str,
    plan: str = "",
    candidates: int = 12,
    trains: bool = False,
    sqlite: tuple[int, str] | None = None,
) -> int:
    """Run a session in this process; return its exit code.

    Args:
        root: The folder of the runs.
        name: The name of the run.
        plan: Faults, as in PRIDE_FAULTS.
        candidates: The budget.
        trains: Whether candidates are trained, instead of evaluated at no cost.
        sqlite: The number of a system call of SQLite, and what happens at it.
    """
    os.environ[faults.VARIABLE] = plan
    if sqlite is not None:
        sqlite_faults.install(*sqlite)
    try:
        session(Path(root), name, config(candidates), workers.SerialPool() if trains else InstantPool())
    except UserError as error:
        return error.exit_code
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _serve() -> None:
    import tasks

    tasks.choose_engine(tasks.get("digits_tiny"), "cpu")
    for line in sys.stdin:
        reader, writer = os.pipe()
        process = os.fork()
        if process == 0:
            code = _child(**json.loads(line))
            os.write(writer, str(sqlite_faults.calls).encode())
            os._exit(code)
        os.close(writer)
        _, status = os.waitpid(process, 0)
        with open(reader, encoding="ascii") as pipe:
            print(json.dumps([os.waitstatus_to_exitcode(status), int(pipe.read() or 0)]), flush=True)


if __name__ == "__main__":
    _serve()
