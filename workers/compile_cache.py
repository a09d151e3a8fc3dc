"""JAX's persistent compilation cache, kept intact: what compiles once per task compiles once per machine.

JAX writes an entry in place. A process that is killed while it writes leaves a partial entry, which is never
repaired and warns at every start; if JAX 0.10 limits the size, a partial entry can prevent all later writes.
Therefore one process at a time writes: the one that holds a lock, which the system releases when the process
ends. The writer first removes broken entries, and the oldest entries if all take too much room. All other
processes only read; if an entry is half written, they compile its function themselves.

Loading an entry runs it, so the folder is private. A folder is for one kind of CPU: XLA loads what was
compiled for another kind, with an error in the log, and may crash. What is compiled for one candidate alone
is not kept: see `tasks.compiled_training`.
"""

import errno
import fcntl
import hashlib
import importlib
import math
import os
import platform
import stat
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

LIMIT_BYTES = 64 * 2**20
"""The most that the entries for one kind of CPU may take when a process starts to write; a task takes up to 0.7 MB."""

LOCK = "lock"
"""The name of the lock file, beside the entries."""

OLDEST_JAXLIB = (0, 10, 2)
"""Older versions load an entry with an error in the log, even on the machine that wrote it."""

_CPU_FIELDS = frozenset(
    {
        *("vendor_id", "cpu family", "model", "flags"),  # x86
        *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "Features"),  # ARM
        *("isa", "uarch", "cpu"),  # RISC-V, POWER
    }
)
"""The fields of /proc/cpuinfo that determine what code a CPU can run."""

_ZSTD_MAGIC = bytes.fromhex("28b52ffd")


def open_compile_cache(folder: Path | None = None, on_event: Callable[[str], None] = lambda note: None) -> Path | None:
    """Make JAX keep what this process compiles, or at least load what another process kept.

    Must be called before the first compilation; imports JAX. If JAX already has a folder, the
    user's own or that of an earlier call, nothing changes.

    Args:
        folder: Where to keep compiled functions; None for the folder that `chosen_folder` returns.
        on_event: Called with a note if nothing can be kept.

    Returns:
        The folder that JAX uses, or None if nothing is kept; training works without.
    """
    import jax
    import jaxlib.version

    present = jax.config.values["jax_compilation_cache_dir"]
    if present:
        return Path(present)
    folder = folder or chosen_folder()
    if folder is None:
        return None
    if jaxlib.version.__version_info__ < OLDEST_JAXLIB:
        on_event(f"compiled functions are not kept: jaxlib is {jaxlib.version.__version__}, older than 0.10.2")
        return None
    try:
        entries = private_folder(private_folder(folder) / kind_of_machine())
        writes = _is_only_writer(entries)
        if writes:
            sweep(entries)
    except OSError as error:
        on_event(f"compiled functions are not kept: {error.filename}: {error.strerror}")
        return None
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0 if writes else math.inf)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.config.update("jax_compilation_cache_max_size", -1)
    jax.config.update("jax_persistent_cache_enable_xla_caches", "")  # else XLA keeps files that `sweep` does not limit
    jax.config.update("jax_compilation_cache_dir", str(entries))
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry")
    return entries


def chosen_folder() -> Path | None:
    """Return where the environment says to keep compiled functions, or None for nowhere.

    If PRIDE_CACHE is set, it is that folder, an absolute path; any other value, such as `off` or an
    empty one, means nowhere. If PRIDE_CACHE is not set, it is `pride` in XDG_CACHE_HOME or ~/.cache.
    """
    chosen = os.environ.get("PRIDE_CACHE")
    if chosen is not None:
        return Path(chosen) if Path(chosen).is_absolute() else None
    caches = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not caches.is_absolute():
        try:
            caches = Path.home() / ".cache"
        except RuntimeError:  # there is no home folder
            return None
    return caches / "pride"


def kind_of_machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return a name that machines share if they can run each other's compiled functions.

    It differs between minor versions of Python: JAX's choice of compression depends on the version,
    and from 3.14 on JAX's keys do not show it.

    Args:
        cpuinfo: The file in which the system describes its CPUs; if it is missing, each host is its own kind.
    """
    try:
        first, _, _ = cpuinfo.read_text(encoding="utf-8", errors="replace").strip().partition("\n\n")
        kind = "\n".join(line for line in first.splitlines() if line.partition(":")[0].strip() in _CPU_FIELDS)
    except OSError:
        kind = platform.node()
    digest = hashlib.sha256(f"{sys.version_info[:2]}\n{kind}".encode()).hexdigest()
    return f"{platform.machine()}-{digest[:16]}"


def private_folder(folder: Path) -> Path:
    """Make a folder for this user alone, or make sure that nobody else can write in an existing one.

    Returns:
        The folder.

    Raises:
        OSError: If the folder cannot be made, is a link, belongs to another user, or is writable for others.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise OSError(errno.ENOTDIR, "is a link", str(folder))
    if status.st_uid != os.geteuid():
        raise OSError(errno.EPERM, "belongs to another user", str(folder))
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(errno.EPERM, "other users may write in it", str(folder))
    return folder


def sweep(folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
    """Remove all files except intact entries and the lock, then the oldest entries beyond a limit.

    Args:
        folder: A folder that no other process writes in.
        limit_bytes: The most that the remaining entries may take.
    """
    entries = []  # time of writing in ns, bytes, path
    for path in sorted(folder.iterdir()):
        status = path.lstat()
        if path.name == LOCK or stat.S_ISDIR(status.st_mode):
            continue
        if path.name.endswith("-cache") and stat.S_ISREG(status.st_mode) and _is_whole(path.read_bytes()):
            entries.append((status.st_mtime_ns, status.st_size, path))
        else:
            path.unlink()
    total = 0
    for _, size, path in sorted(entries, reverse=True):
        total += size
        if total > limit_bytes:
            path.unlink()


def _is_whole(entry: bytes) -> bool:
    """Return whether an entry can be decompressed; an entry that is cut off or partly unwritten cannot."""
    if not entry.startswith(_ZSTD_MAGIC):
        try:
            zlib.decompress(entry)
        except zlib.error:
            return False
        return True
    for name in ("compression.zstd", "zstandard"):  # as JAX does
        try:
            zstd = importlib.import_module(name)
        except ImportError:
            continue
        try:
            zstd.decompress(entry)
        except zstd.ZstdError:
            return False
        return True
    return False  # JAX cannot read it either


def _is_only_writer(folder: Path) -> bool:
    """Take the folder's lock until this process ends; return False if another process has it."""
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if isinstance(error, BlockingIOError):
            return False
        raise OSError(error.errno, error.strerror, str(folder / LOCK)) from None
    return True
