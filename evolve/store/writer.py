"""One run, open for writing: its SQLite file is the only truth about what was found.

The one writer commits outcomes in a transaction that is on the disk before `commit` returns. While
it is written the database is in WAL mode; at rest it is one file, so that reading it makes no files,
and the folder can be moved, or read on a read-only file system.

Nothing in a run is ever executed: there is JSON, YAML and SQLite, and no pickle.
"""

import contextlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import workers
from evolve.errors import BadProgramOrData, RunConflict, StoppedEarly, UsageError
from evolve.store.reader import APPLICATION, SCHEMA_VERSION, RunReader, listed
from evolve.store.records import Counts, Final, Outcome, columns, to_row
from workers import UNKNOWN, Arithmetic, faults

faults.declare(
    {
        "file.write": "a file of a run is open and empty, and about to be written",
        "file.sync": "a file or folder of a run is about to be brought to the disk",
        "file.rename": "a file or folder of a run is about to take the place it belongs in",
        "store.begin": "a transaction is about to begin",
        "store.commit": "a transaction is about to be committed",
        "store.committed": "a transaction is on the disk, and nobody knows yet",
    }
)

_SCHEMA = f"""
    PRAGMA application_id = {APPLICATION};
    PRAGMA user_version = {SCHEMA_VERSION};
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE outcomes (
        "index" INTEGER PRIMARY KEY, key TEXT NOT NULL, program TEXT NOT NULL,
        parents TEXT NOT NULL, mutation TEXT NOT NULL, status TEXT NOT NULL, score REAL NOT NULL,
        losses TEXT NOT NULL, statements INTEGER NOT NULL, state_slots INTEGER NOT NULL,
        known_from INTEGER, seconds REAL NOT NULL,
        attempts INTEGER NOT NULL, message TEXT NOT NULL
    ) STRICT;
    CREATE INDEX outcomes_by_score ON outcomes (score DESC, "index")
        WHERE status = 'ok' AND known_from IS NULL;
    CREATE INDEX outcomes_by_size ON outcomes (statements, state_slots, score DESC, "index")
        WHERE status = 'ok' AND known_from IS NULL;
    CREATE TABLE finals (
        candidate INTEGER, label TEXT NOT NULL, program TEXT NOT NULL, purpose TEXT NOT NULL, rng_seeds TEXT NOT NULL,
        status TEXT NOT NULL, score REAL NOT NULL, losses TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX finals_once
        ON finals (coalesce(candidate, -1), label, purpose, rng_seeds);
"""


def _insert(table: str, names: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({listed(names)}) VALUES ({', '.join('?' * len(names))})"


_ADD_OUTCOME = _insert("outcomes", columns(Outcome))
_ADD_FINAL = _insert("finals", columns(Final))
_REMOVE_FAILED_FINAL = f"""
    DELETE FROM finals WHERE candidate IS :candidate AND label = :label AND purpose = :purpose
        AND rng_seeds = :rng_seeds AND status IN ({", ".join(f"'{status}'" for status in workers.FAILURES)})
"""


def create_database(path: Path, meta: Mapping[str, str]) -> None:
    """Make a run.db that holds these notes and no outcomes."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(_SCHEMA)
        database.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        database.commit()


def write_file(path: Path, text: str) -> None:
    """Write a text file; it is on the disk when this returns."""
    with path.open("w", encoding="utf-8") as file:
        faults.hit("file.write")
        file.write(text)
        file.flush()
        faults.hit("file.sync")
        os.fsync(file.fileno())


class RunStore(RunReader):
    """One run, open for writing by its only writer. Close it, or use `with`."""

    def __init__(self, folder: Path, lock: int):
        """For `evolve.store.folders`, which makes and opens runs; `lock` is the writer's, closed with the run."""
        super().__init__(folder, "rw")
        self._lock: int | None = lock
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        with self._told():
            self._db.execute("PRAGMA synchronous = FULL")
            # Entering and leaving WAL writes one page in which only bytes of the first 512 change: whole or not at
            # all. A journal of that would, after a kill, stay beside the database and keep every reader out.
            if self._db.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                self._db.execute("PRAGMA journal_mode = MEMORY")
            if self._db.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
                raise UsageError(f"{self.folder} lies on a file system that SQLite's WAL cannot use")
            self._counts = super().counts()
            (last,) = self._db.execute('SELECT max("index") FROM outcomes').fetchone()
            if self._counts.generated != (0 if last is None else last + 1):
                raise BadProgramOrData(f"run {self.name} is damaged: outcomes are missing")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Raise the database's errors as sentences for people."""
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            if not isinstance(error, sqlite3.OperationalError):
                raise BadProgramOrData(f"cannot use {self.folder}/run.db: {error}") from error
            raise StoppedEarly(
                f"cannot write {self.folder}/run.db: {error}. Every committed outcome is kept. "
                f"Check the disk, then continue: pride resume {self.name}"
            ) from error

    def counts(self) -> Counts:
        """Return how many candidates there are, of each kind."""
        return self._counts

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._told():
            faults.hit("store.begin")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                faults.hit("store.commit")
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            faults.hit("store.committed")

    def commit(self, *outcomes: Outcome, seconds: float | None = None) -> None:
        """Write the next outcomes, all or none; they are on the disk when this returns.

        Args:
            *outcomes: The outcomes, in order.
            seconds: Seconds that the search has taken so far, summed over all sessions; None to keep the noted ones.

        Raises:
            ValueError: If an outcome is not the next, or took its score from one with another key.
            StoppedEarly: If the disk is full or fails; none of the outcomes is kept.
        """
        with self._transaction():
            counts = self._counts
            for outcome in outcomes:
                if outcome.index != counts.generated:
                    raise ValueError(f"got outcome {outcome.index}; right would be {counts.generated}")
                if outcome.known_from is not None:
                    source = 'SELECT key FROM outcomes WHERE "index" = ?'
                    if self._db.execute(source, (outcome.known_from,)).fetchone() != (outcome.key,):
                        raise ValueError(f"outcome {outcome.known_from} has another key")
                self._db.execute(_ADD_OUTCOME, to_row(outcome))
                counts = counts.with_outcome(outcome)
            if seconds is not None:
                self._note("seconds", repr(seconds))
        self._counts = counts

    def add_final(self, final: Final) -> None:
        """Write a second score, one for each program, purpose and set of rng seeds; it takes the place of a failure.

        Raises:
            ValueError: If there is one already, or no such candidate.
            StoppedEarly: If the disk is full or fails.
        """
        if final.candidate is not None and not 0 <= final.candidate < self.counts().generated:
            raise ValueError(f"there is no candidate {final.candidate} to score again")
        try:
            with self._transaction():
                row = dict(zip(columns(Final), to_row(final), strict=True))
                self._db.execute(_REMOVE_FAILED_FINAL, row)
                self._db.execute(_ADD_FINAL, tuple(row.values()))
        except sqlite3.IntegrityError:
            raise ValueError("this program has been scored on these rng seeds already") from None

    def change_config(self, resolved: str) -> None:
        """Replace the resolved config, for example to give a larger budget on resume.

        Raises:
            StoppedEarly: If the disk is full or fails; the config is then unchanged.
        """
        fresh = self.folder / "resolved.yaml.new"
        try:
            write_file(fresh, resolved)
            faults.hit("file.rename")
            fresh.replace(self.folder / "resolved.yaml")
        except OSError as error:
            raise StoppedEarly(f"cannot write {fresh}: {error.strerror}. The run is unchanged") from error

    def _check_arithmetic(self, arithmetic: Arithmetic) -> None:
        """Raise if the run's last session had another arithmetic.

        Raises:
            RunConflict: If it had another one.
        """
        earlier = self.arithmetics
        if earlier and earlier[-1] != arithmetic:
            raise RunConflict(
                f"run {self.name} was trained with the arithmetic {earlier[-1]}; here it is {arithmetic}, so that the "
                "same training may give other bits. Resume the run on a machine like the first, or add "
                "--other-arithmetic: then the run notes both"
            )

    def begin_session(
        self,
        device: str,
        engines: str,
        arithmetic: Arithmetic = UNKNOWN,
        borrowed: Sequence[Arithmetic] = (),
        other_arithmetic: bool = False,
    ) -> None:
        """Record what the run is trained with, the same in all sessions; a done run is reopened until it finishes.

        Args:
            device: The kind of device.
            engines: The engine of each task, in words.
            arithmetic: The arithmetic of the workers.
            borrowed: The arithmetics of runs whose scores are reused.
            other_arithmetic: Whether the arithmetic may differ from that of earlier sessions.

        Raises:
            RunConflict: If an earlier session was trained with something else.
        """
        if not other_arithmetic:
            self._check_arithmetic(arithmetic)
        trained_by = {"device": device, "engines": engines}
        earlier = self.trained_by
        if earlier and earlier != trained_by:
            then, now = (", ".join(each.values()) for each in (earlier, trained_by))
            raise RunConflict(f"run {self.name} was trained on {then}, and scores may differ on {now}")
        others = dict.fromkeys(each for each in (*self.arithmetics, *borrowed) if each != arithmetic)
        noted = {"arithmetics": json.dumps([asdict(each) for each in (*others, arithmetic)])}
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", (trained_by | noted).items())
            self._db.execute("DELETE FROM meta WHERE name IN ('stop_reason', 'interruption')")

    def finish(self, reason: str, seconds: float | None = None) -> None:
        """Mark the run as done, with the reason for stopping, and what the search has taken, as in `commit`."""
        with self._transaction():
            self._note("stop_reason", reason)
            if seconds is not None:
                self._note("seconds", repr(seconds))

    def interrupt(self, reason: str) -> None:
        """Record why a session ended before the run was done; the next session forgets it."""
        with self._transaction():
            self._note("interruption", reason)

    def discard(self) -> None:
        """Close a run that holds no outcomes, and remove its folder.

        Raises:
            ValueError: If there are outcomes.
        """
        if self.counts().generated:
            raise ValueError(f"run {self.name} holds outcomes; right would be none")
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _note(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def close(self) -> None:
        """Close the run, and let others write it. May be called twice."""
        if self._lock is not None:
            with contextlib.suppress(sqlite3.Error):  # a reader is there, or the disk is full:
                self._db.execute("PRAGMA busy_timeout = 0")  # then the WAL file stays, and is
                self._db.execute("PRAGMA journal_mode = MEMORY")  # read by the next reader
        super().close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
