"""The runs in their folder: making a run, opening one for writing or reading, and listing them all.

A run's folder holds the config as given and as resolved, the versions it was made with, `run.db` and
a lock. The one writer holds the lock (`flock`, which the system releases when the process dies); anyone
may read meanwhile. A run's folder holds no absolute path, so that it can be moved.
"""

import datetime
import fcntl
import importlib.metadata
import json
import os
import platform
import re
import secrets
import shutil
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path

import programs
from evolve.errors import BadProgramOrData, RunConflict, StoppedEarly, UsageError
from evolve.store.reader import RunReader
from evolve.store.records import RunSummary
from evolve.store.writer import RunStore, create_database, write_file
from workers import faults

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LOCK_TRIES = 20  # at 0.01 s: `list_runs` holds a lock for an instant to check whether it is free


def runs_folder() -> Path:
    """Return the folder that searches write to: PRIDE_RUNS, or runs/ in the current folder."""
    return Path(os.environ.get("PRIDE_RUNS") or "runs")


def environment() -> dict[str, str]:
    """Return what a run's results may depend on besides its config and the device: versions and platform."""
    packages = ("jax", "jaxlib", "optax", "numpy", "ray", "pride")
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in packages},
    }


def check_new(root: str | Path, name: str) -> Path:
    """Return the folder that a new run of this name gets.

    Raises:
        UsageError: If the name is not valid for a run.
        RunConflict: If there is such a run.
    """
    folder = _folder(root, name)
    if os.path.lexists(folder):
        raise RunConflict(
            f"there is a run {name} already. Choose another name, look at it with "
            f"`pride status {name}`, or continue it: pride resume {name}"
        )
    return folder


def create(root: str | Path, name: str, config_given: str, config_resolved: str, env: Mapping[str, str]) -> RunStore:
    """Make a run and open it for writing.

    The folder is made under another name, then renamed: a run exists completely or not at all.

    Raises:
        UsageError: If the name is not valid for a run, or the folder of the runs cannot be written.
        RunConflict: If there is such a run.
    """
    folder = check_new(root, name)
    started = Path(root) / f".creating-{name}-{secrets.token_hex(4)}"
    try:
        started.mkdir(parents=True)
        lock = None
        try:
            lock = _lock(started)
            write_file(started / "config.yaml", config_given)
            write_file(started / "resolved.yaml", config_resolved)
            write_file(started / "env.json", json.dumps(dict(env), indent=2, sort_keys=True) + "\n")
            created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            create_database(started / "run.db", {"created": created, "config": config_resolved})
            _sync(started)
            faults.hit("file.rename")
            started.rename(folder)  # fails if another process has made such a run meanwhile
            _sync(folder.parent)
        except BaseException:
            if lock is not None:
                os.close(lock)
            shutil.rmtree(started, ignore_errors=True)
            raise
    except OSError as error:
        check_new(root, name)  # it may have been made meanwhile
        raise UsageError(f"cannot make a run in {root}: {error.strerror}") from None
    except sqlite3.Error as error:
        raise StoppedEarly(f"cannot make a run in {root}: {error}. Nothing was left there") from error
    return _opened(folder, lock)


def open_to_write(root: str | Path, name: str) -> RunStore:
    """Open a run to continue it.

    Raises:
        UsageError: If there is no such run.
        RunConflict: If another process is writing it, or a newer Pride made it.
        BadProgramOrData: If it is damaged.
    """
    folder = _existing(root, name)
    lock = _lock(folder)
    (folder / "resolved.yaml.new").unlink(missing_ok=True)  # of a writer that was killed
    return _opened(folder, lock)


def open_to_read(root: str | Path, name: str) -> RunReader:
    """Open a run for reading, whether or not it is being written. Changes nothing.

    Raises:
        UsageError: If there is no such run.
        RunConflict: If another version of Pride made it.
        BadProgramOrData: If it is damaged.
    """
    return RunReader(_existing(root, name))


def check_unlocked(root: str | Path, name: str) -> None:
    """Raise if a process is writing a run. Changes nothing.

    Raises:
        UsageError: If there is no such run.
        RunConflict: If it is being written.
    """
    folder = _existing(root, name)
    if _is_locked(folder):
        raise _being_written(folder, (folder / "lock").read_text(encoding="ascii", errors="replace"))


def list_runs(root: str | Path) -> list[RunSummary]:
    """Return summaries of all runs, by name; a run that cannot be read is among them, with the reason.

    A folder whose name is not one for a run is left out only if there is no run in it.
    """
    folders = sorted(entry for entry in Path(root).glob("[!.]*") if entry.is_dir())
    return [
        summarise(root, folder.name)
        for folder in folders
        if _NAME.fullmatch(folder.name) or (folder / "run.db").is_file()
    ]


def summarise(root: str | Path, name: str) -> RunSummary:
    """Return the summary of one run; a run that cannot be read is broken, with the reason."""
    try:
        with open_to_read(root, name) as store:
            meta, counts, best = store.meta, store.counts(), store.best()
            locked = _is_locked(store.folder)
    except (UsageError, RunConflict, BadProgramOrData) as error:
        return RunSummary(name, "broken", reason=str(error))
    done = "stop_reason" in meta
    reason = meta["stop_reason"] if done else "" if locked else meta.get("interruption", "")
    return RunSummary(
        name,
        "running" if locked else "done" if done else "interrupted",
        counts.generated,
        counts.trained,
        best[0].score if best else None,
        meta.get("created", ""),
        reason,
    )


def _folder(root: str | Path, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{json.dumps(name)} is not a name for a run; right would be 1 to 64 letters, digits, "
            f"dots, dashes and underscores, a letter or digit first{_name_at(root, Path(name))}"
        )
    return Path(root) / name


def _name_at(root: str | Path, path: Path) -> str:
    """Return a hint if a path was given instead of a run's name: what the run there is called."""
    if not _NAME.fullmatch(path.name) or not (path / "run.db").is_file():
        return ""
    elsewhere = "" if path.parent.resolve() == Path(root).resolve() else f", with PRIDE_RUNS={path.parent}"
    return f". The run at {path} is called {path.name}{elsewhere}"


def _existing(root: str | Path, name: str) -> Path:
    folder = _folder(root, name)
    if not folder.is_dir():
        runs = [entry.name for entry in Path(root).glob("[!.]*") if entry.is_dir()]
        hint = programs.did_you_mean(name, runs)
        raise UsageError(f"there is no run {name} in {root}{hint}; `pride list` shows the runs")
    if not (folder / "run.db").is_file():
        raise BadProgramOrData(f"{folder} is not a run: there is no run.db in it")
    return folder


def _opened(folder: Path, lock: int) -> RunStore:
    try:
        return RunStore(folder, lock)
    except BaseException:
        os.close(lock)
        raise


def _lock(folder: Path) -> int:
    """Return a descriptor that holds the writer's lock, until it is closed or the process ends."""
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
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
    raise _being_written(folder, holder)


def _being_written(folder: Path, holder: str) -> RunConflict:
    return RunConflict(
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


def _sync(folder: Path) -> None:
    """Make what was created or renamed in the folder survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        faults.hit("file.sync")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
