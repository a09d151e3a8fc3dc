"""Checks of what a search needs from folders and file systems, for runs and for compiled functions."""

import fcntl
import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evolve.store.folders import runs_folder
from workers.compile_cache import LOCK, chosen_folder, kind_of_machine, private_folder

_GIB = 2**30
_RUN_BYTES = 2**20 * 100  # of a run with tens of thousands of candidates
_SHARED = ("nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "9p", "afs", "ceph")


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    state: Literal["ok", "warning", "failed"]
    found: str
    advice: str = ""  # what to do about it; empty if all is well


def check_runs() -> Finding:
    """Check that a run can be made, and that its file system supports SQLite's WAL and locks."""
    folder = runs_folder()
    there = _nearest(folder)
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=there) as trial:
            problem = _problem_of_store(Path(trial))
    except OSError as error:
        advice = "make it writable, or name another folder in PRIDE_RUNS"
        return Finding("failed", f"{there}: {error.strerror}", advice)
    kind = _file_system(there)
    found = f"{folder} is writable{f' ({kind})' if kind else ''}"
    if problem:
        return Finding("failed", f"{found}, but {problem}", "name a folder on a local disk in PRIDE_RUNS")
    if kind in _SHARED or kind.startswith("fuse."):
        return Finding("warning", f"{found}, on a network", "look at runs from this machine only, or use a local disk")
    return Finding("ok", f"{found}, with WAL and locks")


def check_disk() -> Finding:
    """Check that there is room for runs, and for Ray's files in /tmp."""
    free = {str(folder): shutil.disk_usage(_nearest(folder)).free for folder in (runs_folder(), Path("/tmp"))}
    found = ", ".join(f"{room / _GIB:.1f} GiB free for {folder}" for folder, room in free.items())
    least = min(free.values())
    if least >= _GIB:
        return Finding("ok", found)
    return Finding("failed" if least < _RUN_BYTES else "warning", found, "make room, or set PRIDE_RUNS")


def check_cache() -> Finding:
    """Check that the folder of compiled functions is private and writable, and report which process writes it."""
    folder = chosen_folder()
    if folder is None:
        return Finding("ok", "off, as PRIDE_CACHE says: each worker compiles for itself")
    try:
        entries = private_folder(private_folder(folder) / kind_of_machine())
        with tempfile.TemporaryFile(dir=entries):
            pass
    except OSError as error:
        advice = "chmod 700 it, or name another folder in PRIDE_CACHE; until then each worker compiles for itself"
        return Finding("warning", f"{error.filename or folder}: {error.strerror}", advice)
    size = sum(path.stat().st_size for path in entries.glob("*-cache"))
    writer = _lock_holder(entries / LOCK)
    return Finding("ok", f"{folder} is private, {size / 2**20:.1f} MiB, {f'written by {writer}' if writer else 'free'}")


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())


def _problem_of_store(folder: Path) -> str | None:
    """Return what a run could not do in a folder, found by trying it there; None if it can do everything."""
    with closing(sqlite3.connect(folder / "run.db")) as database:
        if database.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            return "SQLite has no WAL there"
        database.execute("PRAGMA synchronous = FULL")
        try:
            database.execute("CREATE TABLE trial (value)")
            database.commit()
        except sqlite3.Error as error:
            return f"SQLite fails there: {error}"
    with open(folder / "lock", "w") as first, open(folder / "lock", "w") as second:
        try:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return f"there are no locks: {error.strerror}"
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return None
    return "its locks do not hold: two searches could write one run"


def _file_system(folder: Path) -> str:
    """Return the kind of the file system that a folder lies on; empty if it is not known."""
    try:
        lines = Path("/proc/self/mounts").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    mounts = [(Path(fields[1]), fields[2]) for fields in map(str.split, lines)]
    return max(((len(at.parts), kind) for at, kind in mounts if folder.resolve().is_relative_to(at)), default=(0, ""))[
        1
    ]


def _lock_holder(lock: Path) -> str:
    """Return the process that holds a lock by `flock`, in words; empty if none does or it is not known."""
    try:
        inode = lock.stat().st_ino
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return ""
    for fields in map(str.split, lines):
        if fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(inode):
            return f"process {fields[4]}"
    return ""
