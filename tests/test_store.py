"""The run store: what is committed is kept, in order and to the bit, whatever else happens."""

import math
import random
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_cases import files, outcome, writer

from evolve.errors import BadProgramOrData, RunConflict, StoppedEarly, UsageError
from evolve.store import folders
from evolve.store.records import Counts, Final, dump_lines


@pytest.fixture
def run(tmp_path):
    with folders.create(tmp_path, "run", "given", "resolved", {"jax": "1"}) as store:
        yield store


def test_a_run_holds_what_it_was_given(tmp_path):
    with folders.create(tmp_path / "runs", "a.b-c_1", "given", "resolvéd", {"jax": "1"}) as store:
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


def test_commits_are_read_back_and_gone_on_with(tmp_path, run):
    for index in range(5):
        run.commit(outcome(index))
    assert list(run.outcomes()) == [outcome(index) for index in range(5)]
    run.close()
    run.close()
    with folders.open_to_write(tmp_path, "run") as again:
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


def test_counts(tmp_path, run):
    statuses = ["ok", "diverged", "crashed", "timeout", "oom", "ok"]
    for index, status in enumerate(statuses):
        run.commit(outcome(index, status=status))
    run.commit(outcome(6, key="key1", known_from=1, status="diverged"))
    expected = Counts(generated=7, trained=6, known=1, diverged=1, failed=3, training_seconds=3.0)
    with folders.open_to_read(tmp_path, "run") as reader:
        assert run.counts() == reader.counts() == expected
    run.close()
    with folders.open_to_write(tmp_path, "run") as again:
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
    with folders.create(tmp_path, "many", "", "", {}) as store:
        for index in range(1203):
            store.commit(outcome(index, key="same", score=0.0))
        assert [o.index for o in store.outcomes(3)] == list(range(3, 1203))
        assert [o.index for o in store.best(5)] == [0]


def test_finals(run):
    run.commit(outcome(0))
    finals = [
        Final(program="p", candidate=0, purpose="confirm", rng_seeds=(7, 2**70), status="ok", score=0.1,
              losses=((0.1, 0.2),)),
        Final(program="p", candidate=0, purpose="report", rng_seeds=(7, 2**70), status="ok", score=0.1),
        Final(program="p", label="lion", purpose="report", rng_seeds=(7, 8), status="diverged", score=-9.0,
              losses=((math.inf, 0.2),)),
    ]  # fmt: skip
    for final in finals:
        run.add_final(final)
    assert run.finals() == finals
    with pytest.raises(ValueError, match="already"):
        run.add_final(finals[2])
    with pytest.raises(ValueError, match="no candidate 1"):
        run.add_final(Final(program="p", candidate=1, purpose="report", rng_seeds=(), status="ok", score=0.0))
    assert run.finals() == finals


finite = st.floats(allow_nan=False, allow_infinity=False)
losses = st.floats(allow_nan=False).filter(lambda loss: loss != -math.inf)


@given(
    finite, st.lists(st.lists(losses, max_size=4).map(tuple), max_size=3).map(tuple), st.text()
)  # fmt: skip
def test_floats_and_text_round_trip_to_the_bit(tmp_path_factory, score, losses, text):
    root = tmp_path_factory.getbasetemp()
    if not (root / "floats").exists():
        folders.create(root, "floats", "", "", {}).close()
    with folders.open_to_write(root, "floats") as store:
        index = store.counts().generated
        written = outcome(index, score=score, losses=losses, program=text)
        store.commit(written)
        read = store.outcome(index)
    assert read == written
    assert list(dump_lines([read])) == list(dump_lines([written]))


def test_finish_and_going_on(tmp_path, run):
    run.commit(outcome(0))
    run.finish("budget spent")
    assert run.stop_reason == "budget spent"
    run.finish("budget spent again")
    run.close()
    (summary,) = folders.list_runs(tmp_path)
    assert (summary.state, summary.reason) == ("done", "budget spent again")
    with folders.open_to_write(tmp_path, "run") as again:
        assert again.stop_reason == "budget spent again"
        again.begin_session("cpu", "iris by interpreter")
        assert again.stop_reason is None
        again.commit(outcome(1))
    (summary,) = folders.list_runs(tmp_path)
    assert (summary.state, summary.reason, summary.best) == ("interrupted", "", 0.0)


def test_a_reader_sees_each_commit_changes_nothing_and_cannot_write(tmp_path, run):
    run.commit(outcome(0))
    with folders.open_to_read(tmp_path, "run") as reader:
        half_read = reader.outcomes()
        assert next(half_read) == outcome(0)
        before = files(run.folder)
        for index in range(1, 4):
            run.commit(outcome(index))
            assert reader.outcome(index) == outcome(index)
        assert files(run.folder) == before
        assert not any(hasattr(reader, write) for write in ("commit", "add_final", "finish", "change_config"))
        run.close()
        with folders.open_to_write(tmp_path, "run") as again:
            again.commit(outcome(4))
        assert reader.counts().generated == 5
    folders.open_to_write(tmp_path, "run").close()
    before = {path.name: path.read_bytes() for path in run.folder.iterdir()}
    with folders.open_to_read(tmp_path, "run") as reader:
        assert len(list(reader.outcomes())) == 5
        assert files(run.folder) == sorted(before)
    assert {path.name: path.read_bytes() for path in run.folder.iterdir()} == before
    assert "run.db-wal" not in before


FULL_DISK = """
import resource, sys, run_cases
from evolve.store import folders
from evolve.errors import StoppedEarly
with folders.open_to_write(sys.argv[1], "run") as store:
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    for index in range(10_000):
        try:
            store.commit(run_cases.outcome(index))
        except StoppedEarly as error:
            print(index, error.exit_code, error)
            break
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    store.commit(run_cases.outcome(index))
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
    with folders.open_to_read(tmp_path, "run") as reader:
        assert list(reader.outcomes()) == [outcome(i) for i in range(int(index) + 1)]


def alter(run, statement):
    run.close()
    database = sqlite3.connect(run.folder / "run.db")
    database.executescript(statement)
    database.close()


@pytest.mark.parametrize(
    ("statement", "error", "said"),
    [
        ("PRAGMA user_version = 99", RunConflict, "a newer Pride"),
        ("PRAGMA user_version = 1", RunConflict, "an older Pride"),
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
    for opened in (folders.open_to_read, folders.open_to_write):
        with pytest.raises(error, match=said):
            opened(tmp_path, "run")
    (summary,) = folders.list_runs(tmp_path)
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
    with folders.open_to_read(tmp_path, "run") as reader, pytest.raises(BadProgramOrData):
        list(reader.outcomes())
    assert [summary.name for summary in folders.list_runs(tmp_path)] == ["run"]


def test_missing_outcomes_are_noticed(tmp_path, run):
    for index in range(3):
        run.commit(outcome(index))
    alter(run, 'DELETE FROM outcomes WHERE "index" = 1')
    with pytest.raises(BadProgramOrData, match="outcomes are missing"):
        folders.open_to_write(tmp_path, "run")


def test_a_torn_environment_is_said_so(tmp_path, run):
    for text in ("{", "[]", "[" * 100_000):
        (run.folder / "env.json").write_text(text)
        with pytest.raises(BadProgramOrData, match=r"env\.json"):
            _ = run.environment
    (run.folder / "env.json").unlink()
    with pytest.raises(BadProgramOrData, match=r"env\.json"):
        _ = run.environment


def test_a_group_is_committed_wholly_or_not_at_all(run):
    run.commit(outcome(0), outcome(1), outcome(2, key="key1", known_from=1), seconds=12.5)
    assert (run.counts().generated, run.seconds) == (3, 12.5)
    with pytest.raises(ValueError, match="got outcome 5; right would be 4"):
        run.commit(outcome(3), outcome(5), seconds=13.0)
    with pytest.raises(ValueError, match="outcome 3 has another key"):
        run.commit(outcome(3), outcome(4, known_from=3))
    assert (run.counts().generated, run.seconds) == (3, 12.5)
    assert [o.index for o in run.outcomes()] == [0, 1, 2]
    run.commit(outcome(3))
    assert run.seconds == 12.5


def test_the_pareto_front_is_what_nothing_else_beats(tmp_path, run):
    rng = random.Random(0)
    sizes = [(rng.randint(1, 6), rng.randint(0, 3), rng.randint(0, 8) / 4) for _ in range(120)]
    for index, (statements, state_slots, score) in enumerate(sizes):
        status = "ok" if index % 7 else "hopeless"
        run.commit(outcome(index, statements=statements, state_slots=state_slots, score=score, status=status))
    ok = [o for o in run.outcomes() if o.status == "ok"]

    def beats(one, other):
        costs = [(-o.score, o.statements, o.state_slots) for o in (one, other)]
        return costs[0] != costs[1] and all(a <= b for a, b in zip(*costs, strict=True))

    unbeaten = [o for o in ok if not any(beats(other, o) for other in ok)]
    firsts = {(o.score, o.statements, o.state_slots): o.index for o in reversed(unbeaten)}
    with folders.open_to_read(tmp_path, "run") as reader:
        front = reader.pareto()
    assert {o.index for o in front} == set(firsts.values())
    assert [o.score for o in front] == sorted((o.score for o in front), reverse=True)
