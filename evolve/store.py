"""The run store: one folder a run, whose SQLite file is the only truth about what was found.

A run's folder holds the config as given and as resolved, the versions it was made with, `run.db`
and a lock. The one writer holds the lock (`flock`, which the system drops when the process dies)
and commits each outcome in a transaction that is on the disk before `commit` returns. Anyone may
read meanwhile. While it is written the database is in WAL mode; at rest it is one file, so that
reading it makes no files, and the folder can be moved, or read where nothing can be written.

Nothing in a run is ever executed: there is JSON, YAML and SQLite, and no pickle.
"""

import contextlib
import dataclasses
import datetime
import difflib
import fcntl
import importlib.metadata
import json
import math
import os
import platform
import re
import secrets
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from evolve.errors import BadProgramOrData, RunConflict, StoppedEarly, UsageError

SCHEMA_VERSION = 1
STATUSES = ("ok", "diverged", "crashed", "timeout", "oom")
_FAILED = ("crashed", "timeout", "oom")
_APPLICATION = 0x50726964  # "Prid", in the header of every run.db
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LARGEST_VALUE = 16 * 2**20  # bytes; SQLite refuses a longer text before it is read
_PAGE = 500  # rows read at a time, so that no reader holds the database for long
_LOCK_TRIES = 20  # at 0.01 s: `list_runs` holds a lock for an instant to see whether it is free
_SCHEMA = f"""
    PRAGMA application_id = {_APPLICATION};
    PRAGMA user_version = {SCHEMA_VERSION};
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE outcomes (
        "index" INTEGER PRIMARY KEY, key TEXT NOT NULL, program TEXT NOT NULL,
        parents TEXT NOT NULL, mutation TEXT NOT NULL, status TEXT NOT NULL, score REAL NOT NULL,
        losses TEXT NOT NULL, known_from INTEGER, seconds REAL NOT NULL,
        attempts INTEGER NOT NULL, message TEXT NOT NULL
    ) STRICT;
    CREATE INDEX outcomes_by_score ON outcomes (score DESC, "index")
        WHERE status = 'ok' AND known_from IS NULL;
    CREATE TABLE finals (
        candidate INTEGER, label TEXT NOT NULL, purpose TEXT NOT NULL, rng_seeds TEXT NOT NULL,
        status TEXT NOT NULL, score REAL NOT NULL, losses TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX finals_once
        ON finals (coalesce(candidate, -1), label, purpose, rng_seeds);
"""

Losses = tuple[tuple[float, ...], ...]


def _check_scores(status: str, score: float, losses: Losses) -> None:
    if status not in STATUSES:
        raise ValueError(f"status is {status!r}; right would be one of {STATUSES}")
    if not math.isfinite(score):
        raise ValueError(f"score is {score!r}; right would be a finite number")
    if any(math.isnan(loss) or loss == -math.inf for task in losses for loss in task):
        raise ValueError("losses hold NaN or -inf; right would be finite numbers, or inf")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one candidate.

    Attributes:
        index: Its place among the run's candidates, from 0, without gaps.
        key: The program's dedup key.
        program: Its canonical text.
        parents: Indexes of the earlier candidates it was made from; empty for a seed program.
        mutation: What made it, such as "seed" or "insert".
        status: One of `STATUSES`.
        score: Higher is better; finite whatever the status.
        losses: Nats, per task and per rng seed; inf where a training diverged.
        known_from: Index of the earlier outcome with this key whose score it took; else None.
        seconds: How long the evaluation took. This and what follows never decide anything.
        attempts: How many times it was tried.
        message: What went wrong, for people.
    """

    index: int
    key: str
    program: str
    parents: tuple[int, ...] = ()
    mutation: str
    status: str
    score: float
    losses: Losses = ()
    known_from: int | None = None
    seconds: float = 0.0
    attempts: int = 1
    message: str = ""

    def __post_init__(self):
        _check_scores(self.status, self.score, self.losses)
        if not math.isfinite(self.seconds):
            raise ValueError(f"seconds is {self.seconds!r}; right would be a finite number")
        earlier = self.parents if self.known_from is None else (*self.parents, self.known_from)
        if any(not 0 <= index < self.index for index in earlier):
            raise ValueError(f"outcome {self.index} refers to {earlier}; right would be earlier ones")


@dataclass(frozen=True, kw_only=True)
class Final:
    """A second score, on fresh rng seeds, of one of the best candidates or of a seed program.

    Attributes:
        candidate: The candidate's index; None for a seed program.
        label: The seed program's name; empty for a candidate.
        purpose: "confirm" chooses the champion, "report" is what is shown of it.
        rng_seeds: The rng seeds of the trainings.
        status: One of `STATUSES`.
        score: Higher is better; finite whatever the status.
        losses: Nats, per task and per rng seed; inf where a training diverged.
    """

    candidate: int | None = None
    label: str = ""
    purpose: Literal["confirm", "report"]
    rng_seeds: tuple[int, ...]
    status: str
    score: float
    losses: Losses = ()

    def __post_init__(self):
        _check_scores(self.status, self.score, self.losses)
        if (self.candidate is None) == (not self.label):
            raise ValueError("right would be either a candidate or a label")
        if self.purpose not in ("confirm", "report"):
            raise ValueError(f'purpose is {self.purpose!r}; right would be "confirm" or "report"')


@dataclass(frozen=True)
class Counts:
    """How many candidates a run has: generated = trained + known.

    Attributes:
        generated: All candidates.
        trained: Those that were evaluated, with whatever result.
        known: Those that took the score of an earlier one with the same key.
        diverged: The trained ones that diverged.
        failed: The trained ones that crashed, took too long or ran out of memory.
    """

    generated: int = 0
    trained: int = 0
    known: int = 0
    diverged: int = 0
    failed: int = 0

    def plus(self, status: str, known: bool, count: int = 1) -> "Counts":
        """The counts with so many more candidates of that status."""
        return Counts(
            self.generated + count,
            self.trained + count * (not known),
            self.known + count * known,
            self.diverged + count * (not known and status == "diverged"),
            self.failed + count * (not known and status in _FAILED),
        )


@dataclass(frozen=True)
class RunSummary:
    """One line of `pride list`.

    Attributes:
        name: The run's name.
        state: "running" (a process is writing it), "interrupted", "done" or "broken".
        candidates: How many were generated.
        trained: How many of them were trained.
        best: The best score; None before there is one.
        created: When, in UTC, ISO 8601.
        reason: Why it stopped, or why it cannot be read; empty while there is nothing to say.
    """

    name: str
    state: Literal["running", "interrupted", "done", "broken"]
    candidates: int = 0
    trained: int = 0
    best: float | None = None
    created: str = ""
    reason: str = ""


_COLUMNS = tuple(f.name for f in dataclasses.fields(Outcome))
_FINAL_COLUMNS = tuple(f.name for f in dataclasses.fields(Final))
_SELECT = "SELECT " + ", ".join(f'"{name}"' for name in _COLUMNS) + " FROM outcomes "


def _row(record: Outcome | Final) -> tuple[Any, ...]:
    """A record as SQLite stores it; losses as hexadecimal floats, exact to the bit."""
    return tuple(
        json.dumps(_hexadecimal(value), separators=(",", ":")) if isinstance(value, tuple) else value
        for value in vars(record).values()
    )


def _hexadecimal(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_hexadecimal(part) for part in value]
    return float(value).hex() if isinstance(value, float) else value


def _fields(names: Iterable[str], row: Iterable[Any]) -> dict[str, Any]:
    """The fields of a record from its row. Raises one of `_UNREADABLE` for text of another form."""
    fields = dict(zip(names, row, strict=True))
    for name in ("parents", "rng_seeds"):
        if name in fields:
            fields[name] = tuple(int(number) for number in json.loads(fields[name]))
    tasks = json.loads(fields["losses"])
    fields["losses"] = tuple(tuple(float.fromhex(loss) for loss in task) for task in tasks)
    return fields


_UNREADABLE = (ValueError, TypeError, OverflowError, RecursionError)


def dump_lines(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """Canonical JSON, a line an outcome, without line ends: equal runs give equal bytes.

    Holds index, program, parents, mutation, status, score, losses, key and known_from, and nothing
    that depends on time or place. Floats are hexadecimal.
    """
    for outcome in outcomes:
        fields = {
            name: _hexadecimal(value)
            for name, value in vars(outcome).items()
            if name not in ("seconds", "attempts", "message")
        }
        yield json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)


def environment(device: str) -> dict[str, str]:
    """What a run's results may depend on beside its config: versions, platform and device kind."""
    packages = ("jax", "jaxlib", "optax", "numpy", "ray", "pride")
    return {
        "device": device,
        "platform": platform.platform(),
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in packages},
    }


class RunStore:
    """One run, open to be written by its only writer, or to be read. Close it, or use `with`.

    Attributes:
        name: The run's name.
        folder: Where it lies.
    """

    def __init__(self, folder: Path, lock: int | None):
        """For `create`, `open_to_write` and `open_to_read`; `lock` is the writer's lock file."""
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
            if version > SCHEMA_VERSION:
                raise RunConflict(
                    f"run {self.name} was written by a newer Pride (store version {version}; "
                    f"this one knows {SCHEMA_VERSION}): update Pride to open it"
                )
            if self._lock is None:
                return
            self._db.execute("PRAGMA synchronous = FULL")
            if self._db.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
                raise UsageError(f"{self.folder} lies on a file system that SQLite's WAL cannot use")
            self._counts = self._counted()
            (last,) = self._db.execute('SELECT max("index") FROM outcomes').fetchone()
            if self._counts.generated != (0 if last is None else last + 1):
                raise BadProgramOrData(f"run {self.name} is damaged: outcomes are missing")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turns the database's errors into sentences."""
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

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._lock is None:
            raise ValueError(f"run {self.name} is open to be read, not to be written")
        with self._told():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def commit(self, outcome: Outcome) -> None:
        """Writes the next outcome; it is on the disk when this returns. A done run is so no more.

        Raises:
            ValueError: It is not the next one, or took its score from one with another key.
            StoppedEarly: The disk is full or fails; nothing of the outcome is kept.
        """
        with self._transaction():
            following = self._counts.generated
            if outcome.index != following:
                raise ValueError(f"got outcome {outcome.index}; right would be {following}")
            if outcome.known_from is not None:
                source = 'SELECT key FROM outcomes WHERE "index" = ?'
                if self._db.execute(source, (outcome.known_from,)).fetchone() != (outcome.key,):
                    raise ValueError(f"outcome {outcome.known_from} has another key")
            self._db.execute(_insert("outcomes", _COLUMNS), _row(outcome))
            self._db.execute("DELETE FROM meta WHERE name = 'stop_reason'")
        self._counts = self._counts.plus(outcome.status, outcome.known_from is not None)

    def add_final(self, final: Final) -> None:
        """Writes a second score, one for each program, purpose and set of rng seeds.

        Raises:
            ValueError: There is one already, or no such candidate.
            StoppedEarly: The disk is full or fails.
        """
        if final.candidate is not None and not 0 <= final.candidate < self.counts().generated:
            raise ValueError(f"there is no candidate {final.candidate} to score again")
        try:
            with self._transaction():
                self._db.execute(_insert("finals", _FINAL_COLUMNS), _row(final))
        except sqlite3.IntegrityError:
            raise ValueError("this program has been scored on these rng seeds already") from None

    def change_config(self, resolved: str) -> None:
        """Replace the config as resolved, such as for a larger budget on resume."""
        fresh = self.folder / "resolved.yaml.new"
        _write(fresh, resolved)
        fresh.replace(self.folder / "resolved.yaml")

    def finish(self, reason: str) -> None:
        """Marks the run as done, with the reason for stopping."""
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('stop_reason', ?)", (reason,))

    def outcomes(self, start: int = 0) -> Iterator[Outcome]:
        """The outcomes from index `start` on, in order, read as they are asked for."""
        query = f'{_SELECT} WHERE "index" >= ? ORDER BY "index" LIMIT {_PAGE}'
        page = [None] * _PAGE
        while len(page) == _PAGE:
            page = self._outcomes(query, start)
            yield from page
            start += len(page)

    def _outcomes(self, query: str, *arguments: int) -> list[Outcome]:
        with self._told():
            rows = self._db.execute(query, arguments).fetchall()
        try:
            return [Outcome(**_fields(_COLUMNS, row)) for row in rows]
        except _UNREADABLE as error:
            raise BadProgramOrData(f"{self.folder}/run.db holds no outcome: {error}") from None

    def outcome(self, index: int) -> Outcome:
        """One outcome.

        Raises:
            UsageError: There is none of this index.
        """
        found = self._outcomes(f'{_SELECT} WHERE "index" = ?', index) if index < 2**63 else []
        if not found:
            raise UsageError(
                f"run {self.name} has no candidate {index}; it has {self.counts().generated}, numbered from 0"
            )
        return found[0]

    def counts(self) -> Counts:
        """How many candidates there are, of each sort."""
        return self._counted() if self._lock is None else self._counts

    def _counted(self) -> Counts:
        query = "SELECT status, known_from IS NOT NULL, count(*) FROM outcomes GROUP BY 1, 2"
        counts = Counts()
        with self._told():
            for status, known, count in self._db.execute(query).fetchall():
                counts = counts.plus(status, bool(known), count)
        return counts

    def best(self, count: int = 1) -> list[Outcome]:
        """The outcomes with the best scores, the best first, one a key; of equals the earliest."""
        found: dict[str, Outcome] = {}
        query = (
            f"{_SELECT} WHERE status = 'ok' AND known_from IS NULL "
            f'ORDER BY score DESC, "index" LIMIT {_PAGE} OFFSET ?'
        )
        offset = 0
        while len(found) < count and (page := self._outcomes(query, offset)):
            offset += len(page)
            for outcome in page:
                found.setdefault(outcome.key, outcome)
        return list(found.values())[:count]

    def finals(self) -> list[Final]:
        """The second scores, in the order they were added."""
        with self._told():
            query = f"SELECT {', '.join(_FINAL_COLUMNS)} FROM finals ORDER BY rowid"
            rows = self._db.execute(query).fetchall()
        try:
            return [Final(**_fields(_FINAL_COLUMNS, row)) for row in rows]
        except _UNREADABLE as error:
            raise BadProgramOrData(f"{self.folder}/run.db holds no final: {error}") from None

    @property
    def meta(self) -> Mapping[str, str]:
        """What is noted of the run: `created` (UTC) and, once it is done, `stop_reason`."""
        with self._told():
            return dict(self._db.execute("SELECT name, value FROM meta").fetchall())

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
        except (OSError, *_UNREADABLE) as error:
            raise BadProgramOrData(f"cannot read {self.folder}/env.json: {error}") from None
        if not isinstance(found, dict):
            raise BadProgramOrData(f"{self.folder}/env.json holds no environment")
        return {str(name): str(value) for name, value in found.items()}

    def close(self) -> None:
        """Closes the run, and lets others write it. May be called twice."""
        if self._lock is not None:
            with contextlib.suppress(sqlite3.Error):  # a reader is there, or the disk is full:
                self._db.execute("PRAGMA busy_timeout = 0")  # then the WAL file stays, and is
                self._db.execute("PRAGMA journal_mode = DELETE")  # read by whoever comes next
        self._db.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _insert(table: str, columns: tuple[str, ...]) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    return f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})"


def create(root: str | Path, name: str, config_given: str, config_resolved: str, env: Mapping[str, str]) -> RunStore:
    """Makes a run and opens it to be written.

    The folder is made under another name, then renamed: a run is there wholly or not at all.

    Raises:
        UsageError: The name is not one for a run, or the folder of the runs cannot be written.
        RunConflict: There is such a run.
    """
    folder = _folder(root, name)
    started = Path(root) / f".creating-{name}-{secrets.token_hex(4)}"
    try:
        if os.path.lexists(folder):
            raise FileExistsError(folder)
        started.mkdir(parents=True)
        lock = _lock(started)
        try:
            _write(started / "config.yaml", config_given)
            _write(started / "resolved.yaml", config_resolved)
            _write(started / "env.json", json.dumps(dict(env), indent=2, sort_keys=True) + "\n")
            with contextlib.closing(sqlite3.connect(started / "run.db")) as database:
                database.executescript(_SCHEMA)
                created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
                database.execute("INSERT INTO meta VALUES ('created', ?)", (created,))
                database.commit()
            _sync(started)
            started.rename(folder)  # fails if another process has made such a run meanwhile
            _sync(folder.parent)
        except BaseException:
            os.close(lock)
            shutil.rmtree(started, ignore_errors=True)
            raise
    except OSError as error:
        if os.path.lexists(folder):
            raise RunConflict(
                f"there is a run {name} already. Choose another name, look at it with "
                f"`pride status {name}`, or go on with it: pride resume {name}"
            ) from None
        raise UsageError(f"cannot make a run in {root}: {error.strerror}") from None
    except sqlite3.Error as error:
        raise StoppedEarly(f"cannot make a run in {root}: {error}. Nothing was left there") from error
    return _opened(folder, lock)


def open_to_write(root: str | Path, name: str) -> RunStore:
    """Opens a run to go on with it.

    Raises:
        UsageError: There is no such run.
        RunConflict: Another process is writing it, or a newer Pride made it.
        BadProgramOrData: It is damaged.
    """
    folder = _existing(root, name)
    return _opened(folder, _lock(folder))


def open_to_read(root: str | Path, name: str) -> RunStore:
    """Opens a run to look at it, whether or not it is being written. Changes nothing.

    Raises:
        UsageError: There is no such run.
        RunConflict: A newer Pride made it.
        BadProgramOrData: It is damaged.
    """
    return _opened(_existing(root, name), None)


def list_runs(root: str | Path) -> list[RunSummary]:
    """All runs, by name; one that cannot be read is among them, with the reason."""
    names = sorted(entry.name for entry in Path(root).glob("*") if entry.is_dir())
    return [_summary(root, name) for name in names if _NAME.fullmatch(name)]


def _summary(root: str | Path, name: str) -> RunSummary:
    try:
        with open_to_read(root, name) as store:
            meta, counts, best = store.meta, store.counts(), store.best()
            locked = _is_locked(store.folder)
    except (UsageError, RunConflict, BadProgramOrData) as error:
        return RunSummary(name, "broken", reason=str(error))
    reason = meta.get("stop_reason", "")
    return RunSummary(
        name,
        "running" if locked else "done" if reason else "interrupted",
        counts.generated,
        counts.trained,
        best[0].score if best else None,
        meta.get("created", ""),
        reason,
    )


def _folder(root: str | Path, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{json.dumps(name)} is no name for a run; right would be 1 to 64 letters, digits, "
            "dots, dashes and underscores, a letter or digit first"
        )
    return Path(root) / name


def _existing(root: str | Path, name: str) -> Path:
    folder = _folder(root, name)
    if not folder.is_dir():
        runs = [entry.name for entry in Path(root).glob("[!.]*") if entry.is_dir()]
        close = difflib.get_close_matches(name, runs)
        hint = f"; did you mean {' or '.join(close)}?" if close else "."
        raise UsageError(f"there is no run {name} in {root}{hint} `pride list` shows the runs")
    if not (folder / "run.db").is_file():
        raise BadProgramOrData(f"{folder} is no run: there is no run.db in it")
    return folder


def _opened(folder: Path, lock: int | None) -> RunStore:
    try:
        return RunStore(folder, lock)
    except BaseException:
        if lock is not None:
            os.close(lock)
        raise


def _lock(folder: Path) -> int:
    """Takes the writer's lock; it holds until the descriptor is closed or the process is gone."""
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UsageError(f"cannot write in {folder}: {error.strerror}") from None
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.01)
            continue
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        return lock
    holder = os.pread(lock, 32, 0).decode("ascii", "replace")
    os.close(lock)
    raise RunConflict(
        f"run {folder.name} is being written by process {holder or 'unknown'}; "
        f"wait for it or stop it. Meanwhile: pride status {folder.name}"
    )


def _is_locked(folder: Path) -> bool:
    try:
        lock = os.open(folder / "lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Makes what was created or renamed in the folder outlast a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
