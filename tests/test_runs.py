"""Runs in their folder: made once and completely, opened by one writer, listed in any state."""

import contextlib
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from run_cases import files, outcome, writer

from evolve.errors import RunConflict, UsageError
from evolve.store import folders


@pytest.fixture
def run(tmp_path):
    with folders.create(tmp_path, "run", "given", "resolved", {"jax": "1"}) as store:
        yield store


@pytest.mark.parametrize("name", ["", ".", "..", ".x", "-x", "a/b", "a b", "x" * 65, "x\n", "é"])
def test_names_that_are_none(tmp_path, name):
    for opened in (folders.open_to_read, folders.open_to_write):
        with pytest.raises(UsageError, match="is not a name for a run"):
            opened(tmp_path, name)
    with pytest.raises(UsageError, match="is not a name for a run"):
        folders.create(tmp_path, name, "", "", {})
    assert files(tmp_path) == []


def test_an_existing_run_is_never_made_again(tmp_path, run):
    run.commit(outcome(0))
    (tmp_path / "file").touch()
    for name in ("run", "file"):
        with pytest.raises(RunConflict, match=f"pride resume {name}") as caught:
            folders.create(tmp_path, name, "", "", {})
        assert caught.value.exit_code == 5
    assert list(run.outcomes()) == [outcome(0)]
    assert files(tmp_path) == ["file", "run"]


def test_runs_cannot_be_made_below_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot make a run"):
        folders.create(tmp_path / "file", "run", "", "", {})


def test_a_missing_run_names_what_is_like_it(tmp_path, run):
    for opened in (folders.open_to_read, folders.open_to_write):
        with pytest.raises(UsageError, match=r"did you mean 'run'.*`pride list`"):
            opened(tmp_path, "rum")
    with pytest.raises(UsageError, match="`pride list` shows"):
        folders.open_to_read(tmp_path / "nowhere", "run")


WRITER = """
import sys, run_cases
from evolve.store import folders
with folders.open_to_write(sys.argv[1], "run") as store:
    index = store.counts().generated
    while True:
        store.commit(run_cases.outcome(index))
        index += 1
        print(index, flush=True)
"""


def test_sigkill_loses_nothing_committed_and_a_second_writer_is_refused(tmp_path, run):
    run.close()
    reported, found = 0, []
    for _ in range(3):
        with writer(tmp_path, WRITER) as process:
            assert process.stdout is not None
            for _ in range(40):
                reported = int(process.stdout.readline())
            with pytest.raises(RunConflict, match=f"written by process {process.pid};"):
                folders.open_to_write(tmp_path, "run")
            assert folders.list_runs(tmp_path)[0].state == "running"
            with folders.open_to_read(tmp_path, "run") as reader:
                assert reader.counts().generated >= reported
            process.send_signal(signal.SIGKILL)
            reported = int(([reported, *process.stdout.read().split()])[-1])
        assert folders.list_runs(tmp_path)[0].state == "interrupted"
        before = files(run.folder)
        with folders.open_to_read(tmp_path, "run") as reader:
            found = list(reader.outcomes())
            assert found == [outcome(index) for index in range(len(found))]
            assert reported <= len(found) <= reported + 1
        assert files(run.folder) == before
    with folders.open_to_write(tmp_path, "run") as store:
        store.commit(outcome(len(found)))


def test_a_moved_run_opens(tmp_path, run):
    run.commit(outcome(0))
    run.close()
    (tmp_path / "else #1?%41").mkdir()
    moved = Path(shutil.move(run.folder, tmp_path / "else #1?%41" / "other"))
    with folders.open_to_write(moved.parent, "other") as store:
        store.commit(outcome(1))
        assert store.name == "other"
    with folders.open_to_read(moved.parent, "other") as reader:
        assert reader.counts().generated == 2


def test_list_takes_broken_folders_as_they_are(tmp_path):
    assert folders.list_runs(tmp_path / "nowhere") == []
    folders.create(tmp_path, "good", "", "", {}).close()
    (tmp_path / "empty").mkdir()
    (tmp_path / ".creating-x-1234").mkdir()
    (tmp_path / "README.md").touch()
    for name in ("torn", "text", "folder", "void"):
        shutil.copytree(tmp_path / "good", tmp_path / name)
    content = (tmp_path / "good" / "run.db").read_bytes()
    (tmp_path / "torn" / "run.db").write_bytes(content[:3000])
    (tmp_path / "text" / "run.db").write_text("not a database at all" * 50)
    (tmp_path / "void" / "run.db").write_bytes(b"")
    (tmp_path / "folder" / "run.db").unlink()
    (tmp_path / "folder" / "run.db").mkdir()
    (tmp_path / "torn" / "env.json").write_text("{")
    found = {summary.name: summary for summary in folders.list_runs(tmp_path)}
    assert found.pop("good").state == "interrupted"
    assert sorted(found) == ["empty", "folder", "text", "torn", "void"]
    for summary in found.values():
        assert summary.state == "broken"
        assert summary.reason
    assert files(tmp_path / "empty") == []


def test_list_names_a_run_whose_folder_was_renamed_to_no_name_for_a_run(tmp_path):
    for name in ("first", "second"):
        folders.create(tmp_path, name, "", "", {}).close()
    (tmp_path / "first").rename(tmp_path / "my run")
    (tmp_path / "second").rename(tmp_path / ("x" * 80))
    (tmp_path / "some notes").mkdir()
    found = {summary.name: summary for summary in folders.list_runs(tmp_path)}
    assert set(found) == {"my run", "x" * 80}
    assert {summary.state for summary in found.values()} == {"broken"}
    assert found["my run"].reason.startswith('"my run" is not a name for a run; right would be 1 to 64 letters')


@pytest.mark.parametrize("given", ["runs/first", "runs/first/", "./runs/first", "{}/runs/first"])
def test_a_path_instead_of_a_name_gets_a_hint(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    folders.create("runs", "first", "", "", {}).close()
    given = given.format(tmp_path)
    with pytest.raises(UsageError, match=r"The run at .*first is called first$"):
        folders.open_to_read("runs", given)
    with pytest.raises(UsageError, match=r"is called first, with PRIDE_RUNS=.*runs$"):
        folders.open_to_read("other", given)
    with pytest.raises(UsageError, match=r"a letter or digit first$"):
        folders.open_to_read("runs", "runs/none")


KILLED_WHILE_CREATING = """
import os, signal, sys
from pathlib import Path
from evolve.store import folders
Path.rename = lambda *names: os.kill(os.getpid(), signal.SIGKILL)
folders.create(sys.argv[1], "half", "", "", {})
"""


def test_a_run_whose_creation_was_killed_is_not_there(tmp_path):
    process = writer(tmp_path, KILLED_WHILE_CREATING)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert len(files(tmp_path)) == 1
    assert folders.list_runs(tmp_path) == []
    folders.create(tmp_path, "half", "", "", {}).close()
    assert [summary.name for summary in folders.list_runs(tmp_path)] == ["half"]


def test_environment_holds_versions():
    environment = folders.environment()
    assert set(environment) >= {"python", "jax", "jaxlib", "optax", "numpy", "ray", "pride"}
    assert json.loads(json.dumps(environment)) == environment


def test_a_foreign_lock_is_not_followed_to_another_file(tmp_path, run):
    run.close()
    (tmp_path / "precious").write_text("mine")
    (run.folder / "lock").unlink()
    (run.folder / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(UsageError, match="cannot write in"):
        folders.open_to_write(tmp_path, "run")
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_run_stays_on_one_kind_of_device_and_with_its_engines(tmp_path, run):
    assert run.trained_by == {}
    run.begin_session("cpu", "iris by interpreter")
    run.begin_session("cpu", "iris by interpreter")
    assert run.trained_by == {"device": "cpu", "engines": "iris by interpreter"}
    with pytest.raises(RunConflict, match="trained on cpu, iris by interpreter, and scores may differ on gpu"):
        run.begin_session("gpu", "iris by interpreter")
    with pytest.raises(RunConflict, match="iris by interpreter"):
        run.begin_session("cpu", "iris by compiler")


def test_an_existing_run_is_known_before_anything_is_made(tmp_path, run):
    with pytest.raises(RunConflict, match="pride resume run"):
        folders.check_new(tmp_path, "run")
    assert folders.check_new(tmp_path, "other") == tmp_path / "other"


@pytest.fixture
def archive() -> Iterator[Path]:
    """Yield a folder that every user can reach, as pytest's own cannot."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextlib.contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """Make a folder unwritable, even for root, who is another user meanwhile."""
    user = os.geteuid()
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o755)


def test_a_killed_run_can_be_read_from_an_archive_without_its_index(archive, monkeypatch):
    copies = archive / ".copies"
    copies.mkdir()
    copies.chmod(0o777)
    monkeypatch.setattr(tempfile, "tempdir", str(copies))
    folders.create(archive, "run", "given", "resolved", {}).close()
    with writer(archive, WRITER) as process:
        assert process.stdout is not None
        reported = [int(process.stdout.readline()) for _ in range(40)][-1]
        process.send_signal(signal.SIGKILL)
        reported = int(([reported, *process.stdout.read().split()])[-1])
    folder = archive / "run"
    assert "run.db-wal" in files(folder)
    (folder / "run.db-shm").unlink()
    before = files(folder)
    with unwritable(folder):
        (listed,) = folders.list_runs(archive)
        assert (listed.state, listed.reason) == ("interrupted", "")
        assert listed.candidates >= reported
        with folders.open_to_read(archive, "run") as reader:
            assert list(reader.outcomes()) == [outcome(index) for index in range(listed.candidates)]
            with pytest.raises(UsageError, match="cannot write in"):
                folders.open_to_write(archive, "run")
    assert files(copies) == []
    assert files(folder) == before
    with folders.open_to_write(archive, "run") as store:
        store.commit(outcome(listed.candidates))
