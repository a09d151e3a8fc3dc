"""One run, open for reading, whether or not it is being written: nothing in it is changed or executed."""

import contextlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final as Constant
from typing import Self

from evolve.errors import BadProgramOrData, RunConflict, UsageError
from evolve.store.records import Counts, Final, Outcome, columns, from_row
from workers import UNKNOWN, Arithmetic

SCHEMA_VERSION: Constant = 2
APPLICATION: Constant = 0x50726964
"""``Prid``, in the header of every run.db."""

_LARGEST_VALUE = 16 * 2**20  # bytes; SQLite refuses a longer text before it is read
_UNWRITABLE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_PAGE = 500  # rows read at a time, so that no reader holds the database for long


def listed(names: tuple[str, ...]) -> str:
    """Return a list of columns in SQL."""
    return ", ".join(f'"{name}"' for name in names)


_OUTCOMES = f"SELECT {listed(columns(Outcome))} FROM outcomes"
_FINALS = f"SELECT {listed(columns(Final))} FROM finals ORDER BY rowid"


class RunReader:
    """One run, open for reading. Close it, or use `with`.

    Attributes:
        name: The run's name.
        folder: The run's folder.
    """

    def __init__(self, folder: Path, mode: str = "ro"):
        """For `evolve.store.folders`, which opens runs; `mode` is SQLite's."""
        self.name = folder.name
        self.folder = folder
        self._opened = contextlib.ExitStack()
        with self._opened:
            with self._told():
                self._db = self._connect(folder.resolve(), mode)
            self._check()
            self._opened = self._opened.pop_all()

    def _connect(self, folder: Path, mode: str) -> sqlite3.Connection:
        """Connect to the database, or to a copy of it if it cannot be read where it lies.

        That is so if its writer was killed, the index of its WAL file (run.db-shm) is missing, and none can be made
        there, as in an archive on read-only media. A copy leaves out nothing that was committed.
        """
        uri = f"{folder.joinpath('run.db').as_uri()}?mode={mode}"
        database = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10.0)
        try:
            database.execute("PRAGMA user_version").fetchone()
        except sqlite3.OperationalError as error:
            database.close()
            if mode != "ro" or error.sqlite_errorcode & 0xFF not in _UNWRITABLE:
                raise
            copy = Path(self._opened.enter_context(tempfile.TemporaryDirectory(prefix="pride-run-")))
            for path in folder.glob("run.db*"):
                shutil.copyfile(path, copy / path.name)
            database = sqlite3.connect(copy / "run.db", isolation_level=None)
        except BaseException:
            database.close()
            raise
        self._opened.callback(database.close)
        return database

    def _check(self) -> None:
        """Raise if the folder holds no run of this version."""
        with self._told():
            self._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST_VALUE)
            self._db.execute("PRAGMA trusted_schema = OFF")
            (application,) = self._db.execute("PRAGMA application_id").fetchone()
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            programmed = "SELECT name FROM sqlite_schema WHERE type IN ('trigger', 'view')"
            if application != APPLICATION or self._db.execute(programmed).fetchone():
                raise BadProgramOrData(f"{self.folder}/run.db was not written by Pride")
            if version != SCHEMA_VERSION:
                newer = version > SCHEMA_VERSION
                other, remedy = ("a newer", "update Pride") if newer else ("an older", "use that one")
                raise RunConflict(
                    f"run {self.name} was written by {other} Pride (store version {version}; "
                    f"this one knows {SCHEMA_VERSION}): {remedy} to open it"
                )

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Raise the database's errors as sentences for people."""
        try:
            yield
        except sqlite3.Error as error:
            raise BadProgramOrData(f"cannot use {self.folder}/run.db: {error}") from error

    def outcomes(self, start: int = 0) -> Iterator[Outcome]:
        """Yield the outcomes from index `start` on, in order, read as they are asked for."""
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
            raise BadProgramOrData(f"{self.folder}/run.db holds an invalid outcome: {error}") from None

    def outcome(self, index: int) -> Outcome:
        """Return one outcome.

        Raises:
            UsageError: If there is no outcome with this index.
        """
        found = self._outcomes(f'{_OUTCOMES} WHERE "index" = ?', index) if index < 2**63 else []
        if not found:
            raise UsageError(
                f"run {self.name} has no candidate {index}; it has {self.counts().generated}, numbered from 0"
            )
        return found[0]

    def counts(self) -> Counts:
        """Return how many candidates there are, of each kind."""
        query = "SELECT status, known_from IS NOT NULL, count(*), sum(seconds) FROM outcomes GROUP BY 1, 2"
        counts = Counts()
        with self._told():
            for status, known, count, seconds in self._db.execute(query).fetchall():
                counts = counts.plus(status, bool(known), count, seconds)
        return counts

    def count_noted(self, note: str) -> int:
        """Return how many trained candidates have a message that contains this."""
        query = "SELECT count(*) FROM outcomes WHERE known_from IS NULL AND instr(message, ?)"
        with self._told():
            return self._db.execute(query, (note,)).fetchone()[0]

    def known_at_the_end(self) -> int:
        """Return how many of the last outcomes took known scores, without one between them that did not."""
        query = 'SELECT "index" FROM outcomes WHERE known_from IS NULL ORDER BY "index" DESC LIMIT 1'
        with self._told():
            last_new = self._db.execute(query).fetchone()
        return self.counts().generated - (last_new[0] + 1 if last_new else 0)

    def best(self, count: int = 1, before: int | None = None) -> list[Outcome]:
        """Return the outcomes with the best scores, the best first, one per key; of equals the earliest.

        Args:
            count: The most outcomes to return.
            before: Return only outcomes with smaller indexes; None for no bound.
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
        """Return the outcomes that no other beats in score, statements or state slots without being worse in another.

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
        for outcome in self._outcomes(query):  # an outcome comes after those that beat it
            if not any(o.statements <= outcome.statements and o.state_slots <= outcome.state_slots for o in front):
                front.append(outcome)
        return front

    def finals(self) -> list[Final]:
        """Return the second scores, in the order in which they were added."""
        with self._told():
            rows = self._db.execute(_FINALS).fetchall()
        try:
            return [from_row(Final, row) for row in rows]
        except ValueError as error:
            raise BadProgramOrData(f"{self.folder}/run.db holds an invalid second score: {error}") from None

    @property
    def meta(self) -> Mapping[str, str]:
        """The notes that the run holds about itself.

        They are `created` (UTC), `config` (as resolved when it was made), `device`, `engines`, `arithmetics` (JSON),
        `seconds` and, once the run is done, `stop_reason`; before that `interruption`, if the last session said why it
        ended.
        """
        with self._told():
            return dict(self._db.execute("SELECT name, value FROM meta").fetchall())

    @property
    def trained_by(self) -> dict[str, str]:
        """What the run is trained with, `device` and `engines`; empty before the first session."""
        return {name: value for name, value in self.meta.items() if name in ("device", "engines")}

    @property
    def arithmetics(self) -> tuple[Arithmetic, ...]:
        """The arithmetics that its scores come from, that of the last session last; empty before the first session.

        A run of a Pride that did not note them has UNKNOWN.

        Raises:
            BadProgramOrData: If what is noted is not what Pride writes.
        """
        meta = self.meta
        if "arithmetics" not in meta:
            return (UNKNOWN,) if "device" in meta else ()
        try:
            noted = json.loads(meta["arithmetics"])
            return tuple(Arithmetic(str(each["fingerprint"]), str(each["processor"])) for each in noted)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise BadProgramOrData(f"{self.folder}/run.db holds no arithmetics: {error}") from None

    @property
    def seconds(self) -> float:
        """Seconds that the search has taken so far, summed over all sessions."""
        try:
            return float(self.meta.get("seconds", 0.0))
        except ValueError as error:
            raise BadProgramOrData(f"{self.folder}/run.db is damaged: {error}") from None

    @property
    def stop_reason(self) -> str | None:
        """Why the run is done; None if it is not."""
        return self.meta.get("stop_reason")

    @property
    def environment(self) -> dict[str, str]:
        """The environment that the run was created with.

        Raises:
            BadProgramOrData: If the file is missing or is not what Pride writes.
        """
        try:
            found = json.loads((self.folder / "env.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise BadProgramOrData(f"cannot read {self.folder}/env.json: {error}") from None
        if not isinstance(found, dict):
            raise BadProgramOrData(f"{self.folder}/env.json holds no environment")
        return {str(name): str(value) for name, value in found.items()}

    def close(self) -> None:
        """Close the run. May be called twice."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
