"""JAX's compilation cache: which process writes, what is kept, what is repaired, and that bits stay the same.

JAX's settings last as long as a process, so whatever turns the cache on runs in a separate process.
"""

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from workers.compile_cache import (
    LOCK,
    chosen_folder,
    kind_of_machine,
    open_compile_cache,
    private_folder,
    sweep,
)

TRAIN = """
import sys, json
from pathlib import Path
import jax
from jax import monitoring
import programs, tasks
from workers import Job, evaluate
from workers.compile_cache import open_compile_cache

events = []
monitoring.register_event_listener(lambda name, **_: events.append(name.rpartition("/")[2]))
folder = open_compile_cache(Path(sys.argv[1]))
assert open_compile_cache(Path(sys.argv[1])) == folder
jobs = [Job(index, programs.source_text(name), ("iris",), (0,)) for index, name in enumerate(("sgd", "adamw"))]
interpreted = [result.losses[0][0] for result in evaluate(jobs)]
compiled = [tasks.train(tasks.get("iris"), programs.to_optax(programs.load(name)), 0).loss for name in ("sgd", "adamw")]
print(json.dumps({
    "hits": events.count("cache_hits"),
    "misses": events.count("cache_misses"),
    "losses": [loss.hex() for loss in interpreted + compiled],
    "still_writes": jax.config.values["jax_persistent_cache_min_compile_time_secs"] == 0,
}))
"""

ADD = """
import sys
from pathlib import Path
import jax, jax.numpy as jnp
from jax import monitoring
from workers.compile_cache import open_compile_cache

jnp.ones(3)  # compiled before there is a cache
events = []
monitoring.register_event_listener(lambda name, **_: events.append(name.rpartition("/")[2]))
open_compile_cache(Path(sys.argv[1]))
{before}
total = jax.jit(lambda x: jnp.sin(x).sum()).lower(jnp.ones(8)).compile()(jnp.ones(8))
print(float(total).hex(), events.count("cache_hits"), events.count("cache_misses"), flush=True)
{after}
"""

OWN = """
import sys
from pathlib import Path
import jax
from workers.compile_cache import open_compile_cache

settings = dict(jax.config.values)
print(open_compile_cache(Path(sys.argv[1])), jax.config.values != settings)
"""

DIE_WRITING = """
import os, pathlib, signal
def write_half(path, data):
    with path.open("wb") as file:
        file.write(data[: len(data) // 2])
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
pathlib.Path.write_bytes = write_half
"""


def start(script, folder, **environment):
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


def run(script, folder, **environment):
    """Run a script that must succeed without messages on stderr; return what it prints."""
    with start(script, folder, **environment) as process:
        told, complaints = process.communicate()
    assert (process.returncode, complaints) == (0, "")
    return told


def add(folder, before="", after="", **environment):
    total, hits, misses = run(ADD.format(before=before, after=after), folder, **environment).split()
    return total, int(hits), int(misses)


def entries(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*/*-cache")}


def is_whole(entry):
    try:
        zlib.decompress(entry)
    except zlib.error:
        return False
    return True


@pytest.mark.slow
def test_a_second_process_compiles_only_the_updates_and_gets_the_same_bits(tmp_path):
    cold, warm = (json.loads(run(TRAIN, tmp_path)) for _ in range(2))
    assert (cold["hits"], warm["misses"], cold["still_writes"]) == (0, 0, True)
    assert cold["misses"] == warm["hits"] > 3
    assert cold["losses"] == warm["losses"]
    kept = {name.partition("-")[0] for name in entries(tmp_path)}
    assert {"jit_begin", "jit_gradient", "jit_held_out", "jit_train_all"} <= kept
    assert "jit_update" not in kept
    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o700]


@pytest.mark.slow
def test_one_process_at_a_time_writes(tmp_path):
    with start(ADD.format(before="", after="input()"), tmp_path) as writer:
        assert writer.stdout
        assert writer.stdout.readline().split()[1:] == ["0", "2"]
        written = entries(tmp_path)
        (broken,) = tmp_path.glob("*/jit__lambda*-cache")
        broken.write_bytes(broken.read_bytes()[:-1])
        assert add(tmp_path)[1:] == (1, 0)  # reads, but neither repairs nor writes
        assert not is_whole(entries(tmp_path)[broken.name])
        writer.kill()
    assert add(tmp_path)[1:] == (1, 1)  # the lock is free again
    assert entries(tmp_path).keys() == written.keys()
    assert all(map(is_whole, entries(tmp_path).values()))


@pytest.mark.chaos
def test_what_a_killed_process_half_wrote_is_mended(tmp_path):
    with start(ADD.format(before=DIE_WRITING, after=""), tmp_path) as process:
        assert process.communicate()[0] == ""
    assert process.returncode == -9
    assert [is_whole(entry) for entry in entries(tmp_path).values()] == [False]
    total, hits, misses = add(tmp_path)
    assert (hits, misses) == (0, 2)
    assert all(map(is_whole, entries(tmp_path).values()))
    assert add(tmp_path) == (total, 2, 0)


@pytest.mark.chaos
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99])
def test_entries_cut_off_anywhere_are_mended(tmp_path, kept):
    total, _, _ = add(tmp_path)
    written = entries(tmp_path)
    for path in tmp_path.glob("*/*-cache"):
        os.truncate(path, int(path.stat().st_size * kept))
    assert add(tmp_path) == (total, 0, 2)
    assert entries(tmp_path).keys() == written.keys()
    assert add(tmp_path) == (total, 2, 0)


def test_a_cache_of_the_users_own_is_left_as_it_is(tmp_path):
    told = run(OWN, tmp_path / "ours", JAX_COMPILATION_CACHE_DIR=str(tmp_path / "own"))
    assert told == f"{tmp_path / 'own'} False\n"
    assert not (tmp_path / "ours").exists()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_sweep_leaves_whole_entries_the_lock_and_folders(tmp_path):
    whole = zlib.compress(bytes(range(100)))
    for length in range(len(whole)):
        (tmp_path / f"jit_cut-{length}-cache").write_bytes(whole[:length])
    (tmp_path / "jit_flipped-cache").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    (tmp_path / "jit_zeros-cache").write_bytes(bytes(len(whole)))
    (tmp_path / "jit_orphan-atime").write_bytes(bytes(8))
    (tmp_path / ".lockfile").touch()
    (tmp_path / "whole-but-no-entry").write_bytes(whole)
    (tmp_path / "jit_link-cache").symlink_to(tmp_path / "jit_whole-cache")
    (tmp_path / "jit_whole-cache").write_bytes(whole)
    (tmp_path / LOCK).touch()
    (tmp_path / "a-folder-cache").mkdir()
    sweep(tmp_path)
    assert names(tmp_path) == ["a-folder-cache", "jit_whole-cache", LOCK]


def test_the_oldest_entries_leave_first(tmp_path):
    whole = zlib.compress(b"code")
    for age, name in enumerate(("new", "middle", "old", "oldest")):
        (tmp_path / f"{name}-cache").write_bytes(whole)
        os.utime(tmp_path / f"{name}-cache", ns=(0, 10 - age))
    sweep(tmp_path, 2 * len(whole))
    assert names(tmp_path) == ["middle-cache", "new-cache"]
    sweep(tmp_path, 2 * len(whole) - 1)
    assert names(tmp_path) == ["new-cache"]
    sweep(tmp_path, 0)
    assert names(tmp_path) == []


@pytest.mark.parametrize("module", ["compression.zstd", "zstandard", None])
def test_entries_are_read_with_what_jax_uses(tmp_path, monkeypatch, module):
    class ZstdError(Exception):
        pass

    def decompress(entry):
        if not entry.endswith(b"end"):
            raise ZstdError("cut off")

    for name in ("compression.zstd", "zstandard"):
        found = SimpleNamespace(decompress=decompress, ZstdError=ZstdError) if name == module else None
        monkeypatch.setitem(sys.modules, name, found)
    magic = bytes.fromhex("28b52ffd")
    (tmp_path / "jit_whole-cache").write_bytes(magic + b"to the end")
    (tmp_path / "jit_cut-cache").write_bytes(magic + b"to the")
    sweep(tmp_path)
    assert names(tmp_path) == (["jit_whole-cache"] if module else [])


def a_link(cache):
    cache.parent.mkdir()
    cache.symlink_to(cache.parent)
    return "is a link"


def of_someone_else(cache):
    cache.mkdir(parents=True)
    return "belongs to another user"


def open_to_others(cache):
    cache.mkdir(parents=True)
    cache.chmod(0o770)
    return "other users may write in it"


def a_file(cache):
    cache.parent.mkdir()
    cache.touch()
    return "File exists"


def below_a_file(cache):
    cache.parent.touch()
    return "Not a directory"


@pytest.mark.parametrize("make", [a_link, of_someone_else, open_to_others, a_file, below_a_file])
def test_no_cache_where_the_folder_is_not_ours_alone(tmp_path, monkeypatch, make):
    user = os.geteuid() + (make is of_someone_else)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    cache = tmp_path / "home" / "cache"
    reason = make(cache)
    settings = dict(jax.config.values)
    notes = []
    assert open_compile_cache(cache, notes.append) is None
    assert notes == [f"compiled functions are not kept: {cache}: {reason}"]
    assert jax.config.values == settings


def test_no_cache_where_the_lock_is_a_link(tmp_path):
    entries = private_folder(private_folder(tmp_path) / kind_of_machine())
    (entries / LOCK).symlink_to(tmp_path / "target")
    notes = []
    assert open_compile_cache(tmp_path, notes.append) is None
    assert len(notes) == 1
    assert not (tmp_path / "target").exists()


def test_no_cache_with_a_jaxlib_that_complains_of_its_own_entries(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxlib.version.__version__", "0.10.1")
    monkeypatch.setattr("jaxlib.version.__version_info__", (0, 10, 1))
    notes = []
    assert open_compile_cache(tmp_path, notes.append) is None
    assert notes == ["compiled functions are not kept: jaxlib is 0.10.1, older than 0.10.2"]
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"PRIDE_CACHE": "/a/b", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/a/b"),
        ({"PRIDE_CACHE": "", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, None),
        ({"PRIDE_CACHE": "off", "HOME": "/h"}, None),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/pride"),
        ({"XDG_CACHE_HOME": "x", "HOME": "/h"}, "/h/.cache/pride"),
        ({"HOME": "/h"}, "/h/.cache/pride"),
    ],
)
def test_the_environment_chooses_the_folder(monkeypatch, environment, folder):
    for name in ("PRIDE_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert chosen_folder() == (folder and Path(folder))


def test_there_may_be_no_home(monkeypatch):
    def fail():
        raise RuntimeError("no home")

    monkeypatch.delenv("PRIDE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", fail)
    assert chosen_folder() is None
    assert open_compile_cache() is None


X86 = "processor\t: {number}\nvendor_id\t: GenuineIntel\nmodel\t\t: 167\ncpu MHz\t\t: {mhz}\nflags\t\t: fpu {flags}\n\n"


def test_machines_are_of_a_kind_if_their_cpus_run_the_same_code(tmp_path):
    def kind(text):
        (tmp_path / "cpuinfo").write_text(text)
        return kind_of_machine(tmp_path / "cpuinfo")

    one = kind(X86.format(number=0, mhz=2600, flags="avx2"))
    assert one == kind(X86.format(number=0, mhz=800, flags="avx2") + X86.format(number=1, mhz=900, flags="avx2"))
    assert one != kind(X86.format(number=0, mhz=2600, flags="avx2 avx512f"))
    assert one != kind_of_machine(tmp_path / "none")
    assert kind_of_machine() == kind_of_machine()
