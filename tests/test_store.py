"""The run store: what is committed stays, in order and to the bit, whatever happens around it."""

import json
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve import store as stores
from evolve.errors import BadProgramOrData, RunConflict, StoppedEarly, UsageError
from evolve.store import Counts, Final, Outcome

PROGRAM = "def train(w, g, lr):\n    update = g * lr\n    return update\n"


def outcome(index, **changes):
    fields = {
        "index": index,
        "key": f"key{index}",
        "program": PROGRAM,
        "parents": (index - 1,) if index else (),
        "mutation": "insert" if index else "seed",
        "status": "ok",
        "score": -0.1 * index,
        "losses": ((0.1, 0.2 + index), (1 / 3, 5e-324)),
        "seconds": 0.5,
    }
    return Outcome(**{**fields, **changes})


@pytest.fixture
def run(tmp_path):
    with stores.create(tmp_path, "run", "given", "resolved", {"jax": "1"}) as store:
        yield store


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_run_holds_what_it_was_given(tmp_path):
    with stores.create(tmp_path / "runs", "a.b-c_1", "given", "resolvéd", {"jax": "1"}) as store:
        assert store.name == "a.b-c_1"
        assert store.environment == {"jax": "1"}
        assert store.counts() == Counts()
        assert list(store.outcomes()) == store.best(3) == store.finals() == []
        assert store.stop_reason is None
        assert store.meta["created"].endswith("+00:00")
    assert (store.folder / "config.yaml").read_text() == "given"
    assert (store.folder / "resolved.yaml").read_text(encoding="utf-8") == "resolvéd"
    assert files(tmp_path / "runs") == ["a.b-c_1"]
    assert files(store.folder) == ["config.yaml", "env.json", "lock", "resolved.yaml", "run.db"]
    for path in store.folder.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()


@pytest.mark.parametrize("name", ["", ".", "..", ".x", "-x", "a/b", "a b", "x" * 65, "x\n", "é"])
def test_names_that_are_none(tmp_path, name):
    for opened in (stores.open_to_read, stores.open_to_write):
        with pytest.raises(UsageError, match="is no name for a run"):
            opened(tmp_path, name)
    with pytest.raises(UsageError, match="is no name for a run"):
        stores.create(tmp_path, name, "", "", {})
    assert files(tmp_path) == []


def test_an_existing_run_is_never_made_again(tmp_path, run):
    run.commit(outcome(0))
    (tmp_path / "file").touch()
    for name in ("run", "file"):
        with pytest.raises(RunConflict, match=f"pride resume {name}") as caught:
            stores.create(tmp_path, name, "", "", {})
        assert caught.value.exit_code == 5
    assert list(run.outcomes()) == [outcome(0)]
    assert files(tmp_path) == ["file", "run"]


def test_runs_cannot_be_made_below_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot make a run"):
        stores.create(tmp_path / "file", "run", "", "", {})


def test_a_missing_run_names_what_is_like_it(tmp_path, run):
    for opened in (stores.open_to_read, stores.open_to_write):
        with pytest.raises(UsageError, match=r"did you mean run\? `pride list`"):
            opened(tmp_path, "rum")
    with pytest.raises(UsageError, match="`pride list` shows"):
        stores.open_to_read(tmp_path / "nowhere", "run")


def test_commits_are_read_back_and_gone_on_with(tmp_path, run):
    for index in range(5):
        run.commit(outcome(index))
    assert list(run.outcomes()) == [outcome(index) for index in range(5)]
    run.close()
    run.close()
    with stores.open_to_write(tmp_path, "run") as again:
        again.commit(outcome(5, key="key2", known_from=2, message="a \0 b ü"))
        assert again.outcome(5).message == "a \0 b ü"
        assert [o.index for o in again.outcomes(start=4)] == [4, 5]
        assert list(again.outcomes(start=9)) == []
        with pytest.raises(UsageError, match="has no candidate 6; it has 6"):
            again.outcome(6)
        for index in (-1, 2**70):
            with pytest.raises(UsageError, match="has no candidate"):
                again.outcome(index)


@pytest.mark.parametrize("index", [0, 1, 3, 4])
def test_only_the_next_outcome_is_taken(run, index):
    for before in range(2):
        run.commit(outcome(before))
    with pytest.raises(ValueError, match="right would be 2"):
        run.commit(outcome(index))
    run.commit(outcome(2))
    assert run.counts().generated == 3


def test_a_known_score_needs_an_earlier_outcome_of_this_key(run):
    run.commit(outcome(0))
    with pytest.raises(ValueError, match="another key"):
        run.commit(outcome(1, known_from=0))
    with pytest.raises(ValueError, match="right would be earlier"):
        outcome(1, known_from=1)
    run.commit(outcome(1, key="key0", known_from=0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"score": math.nan},
        {"score": math.inf},
        {"losses": ((0.1, math.nan),)},
        {"losses": ((-math.inf,),)},
        {"seconds": math.nan},
        {"status": "fine"},
        {"parents": (3,)},
        {"parents": (-1,)},
    ],
)
def test_records_that_cannot_be(wrong):
    with pytest.raises(ValueError, match="right would be"):
        outcome(3, **wrong)


def test_counts(tmp_path, run):
    statuses = ["ok", "diverged", "crashed", "timeout", "oom", "ok"]
    for index, status in enumerate(statuses):
        run.commit(outcome(index, status=status))
    run.commit(outcome(6, key="key1", known_from=1, status="diverged"))
    expected = Counts(generated=7, trained=6, known=1, diverged=1, failed=3)
    with stores.open_to_read(tmp_path, "run") as reader:
        assert run.counts() == reader.counts() == expected
    run.close()
    with stores.open_to_write(tmp_path, "run") as again:
        assert again.counts() == expected


def test_best_gives_each_key_once_and_no_failures(run):
    scores = [1.0, 3.0, 3.0, 2.0, 9.0, 3.0]
    keys = ["a", "b", "c", "d", "e", "b"]
    for index, (score, key) in enumerate(zip(scores, keys, strict=True)):
        status = "timeout" if key == "e" else "ok"
        run.commit(outcome(index, score=score, key=key, status=status))
    run.commit(outcome(6, score=3.0, key="b", known_from=1))
    assert [o.index for o in run.best(3)] == [1, 2, 3]
    assert [o.index for o in run.best(99)] == [1, 2, 3, 0]
    assert [o.index for o in run.best()] == [1]


def test_more_outcomes_than_a_page(tmp_path):
    with stores.create(tmp_path, "many", "", "", {}) as store:
        for index in range(1203):
            store.commit(outcome(index, key="same", score=0.0))
        assert [o.index for o in store.outcomes(3)] == list(range(3, 1203))
        assert [o.index for o in store.best(5)] == [0]


def test_finals(run):
    run.commit(outcome(0))
    finals = [
        Final(candidate=0, purpose="confirm", rng_seeds=(7, 2**70), status="ok", score=0.1,
              losses=((0.1, 0.2),)),
        Final(candidate=0, purpose="report", rng_seeds=(7, 2**70), status="ok", score=0.1),
        Final(label="lion", purpose="report", rng_seeds=(7, 8), status="diverged", score=-9.0,
              losses=((math.inf, 0.2),)),
    ]  # fmt: skip
    for final in finals:
        run.add_final(final)
    assert run.finals() == finals
    with pytest.raises(ValueError, match="already"):
        run.add_final(finals[2])
    with pytest.raises(ValueError, match="no candidate 1"):
        run.add_final(Final(candidate=1, purpose="report", rng_seeds=(), status="ok", score=0.0))
    assert run.finals() == finals
    for wrong in ({}, {"candidate": 0, "label": "lion"}, {"label": "x", "purpose": "fun"}):
        fields = {"purpose": "report", "rng_seeds": (1,), "status": "ok", "score": 0.0, **wrong}
        with pytest.raises(ValueError, match="right would be"):
            Final(**fields)


finite = st.floats(allow_nan=False, allow_infinity=False)
losses = st.floats(allow_nan=False).filter(lambda loss: loss != -math.inf)


@given(
    finite, st.lists(st.lists(losses, max_size=4).map(tuple), max_size=3).map(tuple), st.text()
)  # fmt: skip
def test_floats_and_text_round_trip_to_the_bit(tmp_path_factory, score, losses, text):
    root = tmp_path_factory.getbasetemp()
    if not (root / "floats").exists():
        stores.create(root, "floats", "", "", {}).close()
    with stores.open_to_write(root, "floats") as store:
        index = store.counts().generated
        written = outcome(index, score=score, losses=losses, program=text)
        store.commit(written)
        read = store.outcome(index)
    assert read == written
    assert list(stores.dump_lines([read])) == list(stores.dump_lines([written]))


def test_dump_is_canonical_and_tells_nothing_of_time_or_place(run):
    run.commit(outcome(0, program="é\n", score=0.1, losses=((0.5, math.inf), ())))
    run.commit(
        outcome(1, key="key0", known_from=0, status="timeout", score=-1.0, losses=(), seconds=9.0,
                attempts=2, message="worker 7")
    )  # fmt: skip
    assert list(stores.dump_lines(run.outcomes())) == [
        '{"index":0,"key":"key0","known_from":null,"losses":[["0x1.0000000000000p-1","inf"],[]],'
        '"mutation":"seed","parents":[],"program":"\\u00e9\\n","score":"0x1.999999999999ap-4",'
        '"status":"ok"}',
        '{"index":1,"key":"key0","known_from":0,"losses":[],"mutation":"insert","parents":[0],'
        f'"program":{json.dumps(PROGRAM)},"score":"-0x1.0000000000000p+0","status":"timeout"}}',
    ]


def test_finish_and_going_on(tmp_path, run):
    run.commit(outcome(0))
    run.finish("budget spent")
    assert run.stop_reason == "budget spent"
    run.finish("budget spent again")
    run.close()
    (summary,) = stores.list_runs(tmp_path)
    assert (summary.state, summary.reason) == ("done", "budget spent again")
    with stores.open_to_write(tmp_path, "run") as again:
        assert again.stop_reason == "budget spent again"
        again.commit(outcome(1))
        assert again.stop_reason is None
    (summary,) = stores.list_runs(tmp_path)
    assert (summary.state, summary.reason, summary.best) == ("interrupted", "", 0.0)


def test_a_reader_sees_each_commit_changes_nothing_and_cannot_write(tmp_path, run):
    run.commit(outcome(0))
    with stores.open_to_read(tmp_path, "run") as reader:
        half_read = reader.outcomes()
        assert next(half_read) == outcome(0)
        before = files(run.folder)
        for index in range(1, 4):
            run.commit(outcome(index))
            assert reader.outcome(index) == outcome(index)
        assert files(run.folder) == before
        for write in (lambda: reader.commit(outcome(4)), lambda: reader.finish("x")):
            with pytest.raises(ValueError, match="open to be read"):
                write()
        run.close()
        with stores.open_to_write(tmp_path, "run") as again:
            again.commit(outcome(4))
        assert reader.counts().generated == 5
    stores.open_to_write(tmp_path, "run").close()
    before = {path.name: path.read_bytes() for path in run.folder.iterdir()}
    with stores.open_to_read(tmp_path, "run") as reader:
        assert len(list(reader.outcomes())) == 5
        assert files(run.folder) == sorted(before)
    assert {path.name: path.read_bytes() for path in run.folder.iterdir()} == before
    assert "run.db-wal" not in before


WRITER = """
import sys, test_store
from evolve import store as stores
with stores.open_to_write(sys.argv[1], "run") as store:
    index = store.counts().generated
    while True:
        store.commit(test_store.outcome(index))
        index += 1
        print(index, flush=True)
"""


def writer(root, code=WRITER):
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(__file__)}
    return subprocess.Popen(
        [sys.executable, "-c", code, str(root)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def test_sigkill_loses_nothing_committed_and_a_second_writer_is_refused(tmp_path, run):
    run.close()
    reported = 0
    for _ in range(3):
        with writer(tmp_path) as process:
            assert process.stdout is not None
            for _ in range(40):
                reported = int(process.stdout.readline())
            with pytest.raises(RunConflict, match=f"written by process {process.pid};"):
                stores.open_to_write(tmp_path, "run")
            assert stores.list_runs(tmp_path)[0].state == "running"
            with stores.open_to_read(tmp_path, "run") as reader:
                assert reader.counts().generated >= reported
            process.send_signal(signal.SIGKILL)
            reported = int(([reported, *process.stdout.read().split()])[-1])
        assert stores.list_runs(tmp_path)[0].state == "interrupted"
        before = files(run.folder)
        with stores.open_to_read(tmp_path, "run") as reader:
            found = list(reader.outcomes())
            assert found == [outcome(index) for index in range(len(found))]
            assert reported <= len(found) <= reported + 1
        assert files(run.folder) == before
    with stores.open_to_write(tmp_path, "run") as store:
        store.commit(outcome(len(found)))


FULL_DISK = """
import resource, sys, test_store
from evolve import store as stores
from evolve.errors import StoppedEarly
with stores.open_to_write(sys.argv[1], "run") as store:
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    for index in range(10_000):
        try:
            store.commit(test_store.outcome(index))
        except StoppedEarly as error:
            print(index, error.exit_code, error)
            break
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    store.commit(test_store.outcome(index))
"""


def test_a_full_disk_keeps_what_was_committed(tmp_path, run):
    run.close()
    process = writer(tmp_path, FULL_DISK)
    said, errors = process.communicate()
    assert process.returncode == 0, errors
    index, code, sentence = said.split(" ", 2)
    assert int(code) == StoppedEarly.exit_code == 3
    assert "Every committed outcome is kept" in sentence
    assert "pride resume run" in sentence
    with stores.open_to_read(tmp_path, "run") as reader:
        assert list(reader.outcomes()) == [outcome(i) for i in range(int(index) + 1)]


def test_a_moved_run_opens(tmp_path, run):
    run.commit(outcome(0))
    run.close()
    (tmp_path / "else #1?%41").mkdir()
    moved = shutil.move(run.folder, tmp_path / "else #1?%41" / "other")
    with stores.open_to_write(moved.parent, "other") as store:
        store.commit(outcome(1))
        assert store.name == "other"
    with stores.open_to_read(moved.parent, "other") as reader:
        assert reader.counts().generated == 2


def alter(run, statement):
    run.close()
    database = sqlite3.connect(run.folder / "run.db")
    database.executescript(statement)
    database.close()


@pytest.mark.parametrize(
    ("statement", "error", "said"),
    [
        ("PRAGMA user_version = 99", RunConflict, "newer Pride"),
        ("PRAGMA application_id = 1", BadProgramOrData, "not written by Pride"),
        ("CREATE VIEW v AS SELECT 1", BadProgramOrData, "not written by Pride"),
        (
            "CREATE TRIGGER t AFTER INSERT ON outcomes BEGIN DELETE FROM outcomes; END",
            BadProgramOrData,
            "not written by Pride",
        ),
    ],
)
def test_a_database_of_another_sort_is_refused(tmp_path, run, statement, error, said):
    alter(run, statement)
    for opened in (stores.open_to_read, stores.open_to_write):
        with pytest.raises(error, match=said):
            opened(tmp_path, "run")
    (summary,) = stores.list_runs(tmp_path)
    assert summary.state == "broken"
    assert said in summary.reason


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE outcomes SET losses = '[[\"x\"]]'",
        "UPDATE outcomes SET losses = '[[NaN]]'",
        "UPDATE outcomes SET losses = '{'",
        "UPDATE outcomes SET losses = replace(hex(zeroblob(50000)), '0', '[')",
        "UPDATE outcomes SET parents = '[5]'",
        "UPDATE outcomes SET status = 'fine'",
        "UPDATE outcomes SET score = 9e999",
    ],
)
def test_rows_that_pride_did_not_write_are_said_so(tmp_path, run, statement):
    run.commit(outcome(0))
    alter(run, statement)
    with stores.open_to_read(tmp_path, "run") as reader, pytest.raises(BadProgramOrData):
        list(reader.outcomes())
    assert [summary.name for summary in stores.list_runs(tmp_path)] == ["run"]


def test_missing_outcomes_are_noticed(tmp_path, run):
    for index in range(3):
        run.commit(outcome(index))
    alter(run, 'DELETE FROM outcomes WHERE "index" = 1')
    with pytest.raises(BadProgramOrData, match="outcomes are missing"):
        stores.open_to_write(tmp_path, "run")


def test_list_takes_broken_folders_as_they_are(tmp_path):
    assert stores.list_runs(tmp_path / "nowhere") == []
    stores.create(tmp_path, "good", "", "", {}).close()
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
    found = {summary.name: summary for summary in stores.list_runs(tmp_path)}
    assert found.pop("good").state == "interrupted"
    assert sorted(found) == ["empty", "folder", "text", "torn", "void"]
    for summary in found.values():
        assert summary.state == "broken"
        assert summary.reason
    assert files(tmp_path / "empty") == []


KILLED_WHILE_CREATING = """
import os, signal, sys
from pathlib import Path
from evolve import store as stores
Path.rename = lambda *names: os.kill(os.getpid(), signal.SIGKILL)
stores.create(sys.argv[1], "half", "", "", {})
"""


def test_a_run_whose_creation_was_killed_is_not_there(tmp_path):
    process = writer(tmp_path, KILLED_WHILE_CREATING)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert len(files(tmp_path)) == 1
    assert stores.list_runs(tmp_path) == []
    stores.create(tmp_path, "half", "", "", {}).close()
    assert [summary.name for summary in stores.list_runs(tmp_path)] == ["half"]


def test_a_torn_environment_is_said_so(tmp_path, run):
    for text in ("{", "[]", "[" * 100_000):
        (run.folder / "env.json").write_text(text)
        with pytest.raises(BadProgramOrData, match=r"env\.json"):
            _ = run.environment
    (run.folder / "env.json").unlink()
    with pytest.raises(BadProgramOrData, match=r"env\.json"):
        _ = run.environment


def test_environment_holds_versions():
    environment = stores.environment("cpu")
    assert environment["device"] == "cpu"
    assert set(environment) >= {"python", "jax", "jaxlib", "optax", "numpy", "ray", "pride"}
    assert json.loads(json.dumps(environment)) == environment
