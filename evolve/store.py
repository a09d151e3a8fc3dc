"""One run, open: its SQLite file is the only truth about what was found.

The one writer commits each outcome in a transaction that is on the disk before `commit` returns. While
it is written the database is in WAL mode; at rest it is one file, so that reading it makes no files,
and the folder can be moved, or read where nothing can be written.

Nothing in a run is ever executed: there is JSON, YAML and SQLite, and no pickle.
"""

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from evolve.errors import BadProgramOrData, RunConflict, StoppedEarly, UsageError
from evolve.records import Counts, Final, Outcome, columns, from_row, to_row
from workers import faults

SCHEMA_VERSION = 2
_APPLICATION = 0x50726964  # "Prid", in the header of every run.db
_LARGEST_VALUE = 16 * 2**20  # bytes; SQLite refuses a longer text before it is read
_PAGE = 500  # rows read at a time, so that no reader holds the database for long
_SCHEMA = f"""
    PRAGMA application_id = {_APPLICATION};
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


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _insert(table: str, names: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({_listed(names)}) VALUES ({', '.join('?' * len(names))})"


_OUTCOMES = f"SELECT {_listed(columns(Outcome))} FROM outcomes"
_FINALS = f"SELECT {_listed(columns(Final))} FROM finals ORDER BY rowid"
_ADD_OUTCOME = _insert("outcomes", columns(Outcome))
_ADD_FINAL = _insert("finals", columns(Final))


def create_database(path: Path, meta: Mapping[str, str]) -> None:
    """Make an empty run.db with these notes in it."""
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


class RunStore:
    """One run, open to be written by its only writer, or to be read. Close it, or use `with`.

    Attributes:
        name: The run's name.
        folder: Where it lies.
    """

    def __init__(self, folder: Path, lock: int | None):
        """For `evolve.runs`, which makes and opens runs; `lock` is the writer's lock file."""
        self.name = folder.name
        self.folder = folder
        self._lock = lock
        mode = "ro" if lock is None else "rw"
        with self._told():
            uri = f"{folder.resolve().joinpath('run.db').as_uri()}?mode={mode}"
            self._db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10.0)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        with self._told():
            self._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST_VALUE)
            self._db.execute("PRAGMA trusted_schema = OFF")
            (application,) = self._db.execute("PRAGMA application_id").fetchone()
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            programmed = "SELECT name FROM sqlite_schema WHERE type IN ('trigger', 'view')"
            if application != _APPLICATION or self._db.execute(programmed).fetchone():
                raise BadProgramOrData(f"{self.folder}/run.db was not written by Pride")
            if version != SCHEMA_VERSION:
                other, remedy = (
                    ("a newer", "update Pride") if version > SCHEMA_VERSION else ("an older", "use that one")
                )
                raise RunConflict(
                    f"run {self.name} was written by {other} Pride (store version {version}; "
                    f"this one knows {SCHEMA_VERSION}): {remedy} to open it"
                )
            if self._lock is None:
                return
            self._db.execute("PRAGMA synchronous = FULL")
            # Into WAL and out of it one page is written, in which only bytes of the first 512 change: whole or not at
            # all. A journal of that would, after a kill, lie beside the database and keep every reader out.
            if self._db.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                self._db.execute("PRAGMA journal_mode = MEMORY")
            if self._db.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
                raise UsageError(f"{self.folder} lies on a file system that SQLite's WAL cannot use")
            self._counts = self._counted()
            (last,) = self._db.execute('SELECT max("index") FROM outcomes').fetchone()
            if self._counts.generated != (0 if last is None else last + 1):
                raise BadProgramOrData(f"run {self.name} is damaged: outcomes are missing")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turn the database's errors into sentences."""
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            if self._lock is None or not isinstance(error, sqlite3.OperationalError):
                raise BadProgramOrData(f"cannot use {self.folder}/run.db: {error}") from error
            raise StoppedEarly(
                f"cannot write {self.folder}/run.db: {error}. Every committed outcome is kept. "
                f"See to the disk, then go on with: pride resume {self.name}"
            ) from error

    def _check_writable(self) -> None:
        if self._lock is None:
            raise ValueError(f"run {self.name} is open to be read, not to be written")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._check_writable()
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
            *outcomes: In order.
            seconds: What the search has taken so far, all sessions together; None to leave what is noted.

        Raises:
            ValueError: One is not the next, or took its score from one with another key.
            StoppedEarly: The disk is full or fails; nothing of them is kept.
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
                self._db.execute("INSERT OR REPLACE INTO meta VALUES ('seconds', ?)", (repr(seconds),))
        self._counts = counts

    def add_final(self, final: Final) -> None:
        """Write a second score, one for each program, purpose and set of rng seeds.

        Raises:
            ValueError: There is one already, or no such candidate.
            StoppedEarly: The disk is full or fails.
        """
        if final.candidate is not None and not 0 <= final.candidate < self.counts().generated:
            raise ValueError(f"there is no candidate {final.candidate} to score again")
        try:
            with self._transaction():
                self._db.execute(_ADD_FINAL, to_row(final))
        except sqlite3.IntegrityError:
            raise ValueError("this program has been scored on these rng seeds already") from None

    def change_config(self, resolved: str) -> None:
        """Replace the config as resolved, such as for a larger budget on resume.

        Raises:
            StoppedEarly: The disk is full or fails; the config is as it was.
        """
        self._check_writable()
        fresh = self.folder / "resolved.yaml.new"
        try:
            write_file(fresh, resolved)
            faults.hit("file.rename")
            fresh.replace(self.folder / "resolved.yaml")
        except OSError as error:
            raise StoppedEarly(f"cannot write {fresh}: {error.strerror}. The run is as it was") from error

    def begin_session(self, device: str, engines: str) -> None:
        """Note by what is trained, the same in every session; a done run is so no more until it finishes.

        Args:
            device: The kind of device.
            engines: The engine of each task, in words.

        Raises:
            RunConflict: An earlier session was trained by something else.
        """
        trained_by = {"device": device, "engines": engines}
        earlier = self.trained_by
        if earlier and earlier != trained_by:
            then, now = (", ".join(each.values()) for each in (earlier, trained_by))
            raise RunConflict(f"run {self.name} was trained on {then}, and scores may differ on {now}")
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", trained_by.items())
            self._db.execute("DELETE FROM meta WHERE name = 'stop_reason'")

    def finish(self, reason: str) -> None:
        """Mark the run as done, with the reason for stopping."""
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('stop_reason', ?)", (reason,))

    def outcomes(self, start: int = 0) -> Iterator[Outcome]:
        """The outcomes from index `start` on, in order, read as they are asked for."""
        query = f'{_OUTCOMES} WHERE "index" >= ? ORDER BY "index" LIMIT {_PAGE}'
        page = [None] * _PAGE
        while len(page) == _PAGE:
            page = self._outcomes(query, start)
            yield from page
            start += len(page)

    def _outcomes(self, query: str, *arguments: int) -> list[Outcome]:
        with self._told():
            rows = self._db.execute(query, arguments).fetchall()
        try:
            return [from_row(Outcome, row) for row in rows]
        except ValueError as error:
            raise BadProgramOrData(f"{self.folder}/run.db holds no outcome: {error}") from None

    def outcome(self, index: int) -> Outcome:
        """One outcome.

        Raises:
            UsageError: There is none of this index.
        """
        found = self._outcomes(f'{_OUTCOMES} WHERE "index" = ?', index) if index < 2**63 else []
        if not found:
            raise UsageError(
                f"run {self.name} has no candidate {index}; it has {self.counts().generated}, numbered from 0"
            )
        return found[0]

    def counts(self) -> Counts:
        """How many candidates there are, of each sort."""
        return self._counted() if self._lock is None else self._counts

    def _counted(self) -> Counts:
        query = "SELECT status, known_from IS NOT NULL, count(*), sum(seconds) FROM outcomes GROUP BY 1, 2"
        counts = Counts()
        with self._told():
            for status, known, count, seconds in self._db.execute(query).fetchall():
                counts = counts.plus(status, bool(known), count, seconds)
        return counts

    def best(self, count: int = 1, before: int | None = None) -> list[Outcome]:
        """The outcomes with the best scores, the best first, one a key; of equals the earliest.

        Args:
            count: How many, at most.
            before: Of those of smaller indexes alone; None for all.
        """
        found: dict[str, Outcome] = {}
        query = (
            f"{_OUTCOMES} WHERE status = 'ok' AND known_from IS NULL AND \"index\" < ? "
            f'ORDER BY score DESC, "index" LIMIT {_PAGE} OFFSET ?'
        )
        end = 2**62 if before is None else before
        offset = 0
        while len(found) < count and (page := self._outcomes(query, end, offset)):
            offset += len(page)
            for outcome in page:
                found.setdefault(outcome.key, outcome)
        return list(found.values())[:count]

    def pareto(self) -> list[Outcome]:
        """The outcomes that no other beats in score, statements or state slots without being worse in another.

        Of equals the earliest; the best score first.
        """
        sizes = (
            'SELECT "index", row_number() OVER (PARTITION BY statements, state_slots ORDER BY score DESC, "index") '
            "AS place FROM outcomes WHERE status = 'ok' AND known_from IS NULL"
        )
        query = (
            f'{_OUTCOMES} WHERE "index" IN (SELECT "index" FROM ({sizes}) WHERE place = 1) '
            "ORDER BY score DESC, statements, state_slots"
        )
        front: list[Outcome] = []
        for outcome in self._outcomes(query):  # what beats another comes before it
            if not any(o.statements <= outcome.statements and o.state_slots <= outcome.state_slots for o in front):
                front.append(outcome)
        return front

    def finals(self) -> list[Final]:
        """The second scores, in the order they were added."""
        with self._told():
            rows = self._db.execute(_FINALS).fetchall()
        try:
            return [from_row(Final, row) for row in rows]
        except ValueError as error:
            raise BadProgramOrData(f"{self.folder}/run.db holds no final: {error}") from None

    @property
    def meta(self) -> Mapping[str, str]:
        """What is noted of the run: `created` (UTC), `device`, `engines`, `seconds` and, once done, `stop_reason`."""
        with self._told():
            return dict(self._db.execute("SELECT name, value FROM meta").fetchall())

    @property
    def trained_by(self) -> dict[str, str]:
        """By what is trained, `device` and `engines`; empty before the first session."""
        return {name: value for name, value in self.meta.items() if name in ("device", "engines")}

    @property
    def seconds(self) -> float:
        """What the search has taken so far, all sessions together."""
        try:
            return float(self.meta.get("seconds", 0.0))
        except ValueError as error:
            raise BadProgramOrData(f"{self.folder}/run.db is damaged: {error}") from None

    @property
    def stop_reason(self) -> str | None:
        """Why the run is done; None while it is not."""
        return self.meta.get("stop_reason")

    @property
    def environment(self) -> dict[str, str]:
        """What `create` was given as the environment.

        Raises:
            BadProgramOrData: The file is missing or is not what Pride writes.
        """
        try:
            found = json.loads((self.folder / "env.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise BadProgramOrData(f"cannot read {self.folder}/env.json: {error}") from None
        if not isinstance(found, dict):
            raise BadProgramOrData(f"{self.folder}/env.json holds no environment")
        return {str(name): str(value) for name, value in found.items()}

    def close(self) -> None:
        """Close the run, and lets others write it. May be called twice."""
        if self._lock is not None:
            with contextlib.suppress(sqlite3.Error):  # a reader is there, or the disk is full:
                self._db.execute("PRAGMA busy_timeout = 0")  # then the WAL file stays, and is
                self._db.execute("PRAGMA journal_mode = MEMORY")  # read by whoever comes next
        self._db.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
