"""Signals to a search, and readers of its run: it saves its state, leaves no process, and waits for no reader."""

import json
import signal
import sqlite3
from pathlib import Path
from signal import SIGCONT, SIGINT, SIGTERM

import fault_cases
import pytest
from command_cases import SMALL, Commands
from fault_cases import AT_REST, found
from run_cases import files

from evolve.search.driver import Progress, Watcher

STARTED = ["search", "smoke", "--name", "broken", *SMALL, "--set", "deadline_seconds=3600"]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, compile_cache: Path) -> str:
    return Commands(tmp_path_factory.mktemp("runs"), compile_cache).search("unbroken", "--pool", "serial")


def check_resumable(commands: Commands, unbroken: str) -> None:
    before = commands.dump("broken")
    assert before != unbroken
    assert unbroken.startswith(before)
    assert commands.ended("resume", "broken", "--pool", "serial") == 0
    assert commands.dump("broken") == unbroken


@pytest.mark.chaos
@pytest.mark.parametrize(("pool", "number", "code"), [("serial", SIGINT, 130), ("ray", SIGTERM, 143)])
def test_the_first_signal_commits_what_is_under_way(
    commands: Commands, unbroken: str, pool: str, number: signal.Signals, code: int
):
    """The search stops itself in a transaction, so that the signal is pending when it continues."""
    with commands.guarded(*STARTED, "--pool", pool, PRIDE_FAULTS="store.commit:4:stop") as command:
        command.wait_until_stopped()
        command.send(SIGCONT, number)
        ended, said = command.end()
    assert ended == code
    assert "finishing what is under way" in said
    assert "continue: pride resume broken" in said
    assert len(commands.dump("broken").splitlines()) > 3 + 1  # three outcomes, and those that were in flight
    check_resumable(commands, unbroken)


STUCK = {
    "serial": "worker.evaluate:3:stop,worker.evaluate:3:spin",
    # Every worker stops at its second jobs; the driver stops itself when its second results have arrived.
    "ray": "worker.evaluate:2:stop,search.results:2:stop",
}


@pytest.mark.chaos
@pytest.mark.parametrize(("pool", "number"), [("serial", SIGTERM), ("ray", SIGINT)])
def test_the_second_signal_ends_a_search_that_is_stuck(
    commands: Commands, unbroken: str, pool: str, number: signal.Signals
):
    placed = ["--pool", "serial"] if pool == "serial" else ["--pool", "ray", "--workers", "2"]
    with commands.guarded(*STARTED, *placed, PRIDE_FAULTS=STUCK[pool]) as command:
        command.wait_until_stopped()
        command.send(SIGCONT, number)  # a signal to a stopped process may go to any thread, and Python then misses it
        command.wait_until_said("finishing what is under way")
        command.send(number)
        assert command.end()[0] == -number
    check_resumable(commands, unbroken)


@pytest.mark.chaos
@pytest.mark.parametrize("hook", ["store.commit", "store.committed"])
def test_a_run_is_seen_from_another_shell_while_it_is_written(commands: Commands, unbroken: str, hook: str):
    """The writer is stopped before its transaction is over, or after it: no reader waits for it."""
    with commands.guarded(*STARTED, "--pool", "serial", PRIDE_FAULTS=f"{hook}:6:stop") as command:
        command.wait_until_stopped()
        status, top, (listed,) = (
            json.loads(commands.run(*asked, "--json").stdout)
            for asked in (["status", "broken"], ["top", "broken", "-n", "50"], ["list"])
        )
        dump = commands.dump("broken")
        command.send(SIGCONT)
        assert command.end()[0] == 0
    assert unbroken.startswith(dump)
    assert len(dump.splitlines()) >= (4 if hook == "store.commit" else 5)
    assert status["state"] == listed["state"] == "running"
    assert status["counts"]["generated"] == listed["candidates"] == len(dump.splitlines())
    outcomes = [json.loads(line) for line in dump.splitlines()]
    best = max(float.fromhex(outcome["score"]) for outcome in outcomes)
    assert top[0]["search_score"] == listed["best"] == status["best"]["score"] == best
    assert {entry["name"] for entry in top} <= {f"broken:{outcome['index']}" for outcome in outcomes}
    assert commands.dump("broken") == unbroken


def test_a_writer_waits_for_no_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Readers hold transactions open over many commits; a writer that had to wait would fail at once."""
    connect = sqlite3.connect
    fault_cases.session(tmp_path, "unbroken", fault_cases.CONFIG, fault_cases.InstantPool())
    readers: list[tuple[int, sqlite3.Connection]] = []

    def read(progress: Progress) -> None:
        if len(readers) < progress.counts.generated <= 8:
            reader = connect((tmp_path / "run" / "run.db").as_uri() + "?mode=ro", uri=True, isolation_level=None)
            reader.execute("BEGIN")
            readers.append((reader.execute("SELECT count(*) FROM outcomes").fetchone()[0], reader))

    monkeypatch.setattr(sqlite3, "connect", lambda *given, **options: connect(*given, **{**options, "timeout": 0.0}))
    watcher = Watcher(on_progress=read)
    fault_cases.session(tmp_path, "run", fault_cases.CONFIG, fault_cases.InstantPool(), watcher)
    assert "run.db-wal" in files(tmp_path / "run")  # the readers still use it
    assert len({count for count, _ in readers}) > 2
    for count, reader in readers:
        assert reader.execute("SELECT count(*) FROM outcomes").fetchone() == (count,)
    assert found(tmp_path, "run") == found(tmp_path, "unbroken")
    fault_cases.session(tmp_path, "run", fault_cases.CONFIG, fault_cases.InstantPool())
    for _, reader in readers:
        reader.close()
    fault_cases.session(tmp_path, "run", fault_cases.CONFIG, fault_cases.InstantPool())
    assert files(tmp_path / "run") == AT_REST
