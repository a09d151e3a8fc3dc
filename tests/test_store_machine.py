"""The run store compared with a model: any order of writing, reading, crashing and reopening."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from fault_cases import AT_REST
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from run_cases import PROGRAM, files, outcome

from evolve.errors import RunConflict
from evolve.store import folders
from evolve.store.records import Counts, Final

STATUSES = ("ok", "hopeless", "diverged", "crashed")


class Store(RuleBasedStateMachine):
    """A run holds what was committed, whichever process reads it, and whatever happened since."""

    def __init__(self):
        super().__init__()
        self.top = Path(tempfile.mkdtemp())
        self.root = self.top / "0"
        self.writer: Any = None  # a RunWriter while the run is being written
        self.readers = []
        self.outcomes, self.finals = [], []
        self.config, self.reason = "config 0", None

    @initialize()
    def create(self):
        self.writer = folders.create(self.root, "run", "given", self.config, {"jax": "1"})

    @precondition(lambda self: self.writer)
    @rule(
        statuses=st.lists(st.sampled_from(STATUSES), min_size=1, max_size=3),
        score=st.floats(-10, 10),
        known=st.booleans(),
    )
    def commit(self, statuses, score, known):
        together = []
        for index, status in enumerate(statuses, len(self.outcomes)):
            earlier = index - 1 if known and index else None
            key = f"key{index}" if earlier is None else [*self.outcomes, *together][earlier].key
            together.append(outcome(index, status=status, score=score, key=key, known_from=earlier))
        self.writer.commit(*together)
        self.outcomes += together

    @precondition(lambda self: self.writer)
    @rule(ahead=st.sampled_from([-2, -1, 1, 2]))
    def refuse_another_than_the_next(self, ahead):
        """Even if the outcomes before it are right: either all are committed, or none."""
        right = outcome(len(self.outcomes), parents=())
        with pytest.raises(ValueError, match="right would be"):
            self.writer.commit(right, outcome(max(0, right.index + ahead + 1), parents=()))

    @precondition(lambda self: self.writer and self.outcomes)
    @rule(purpose=st.sampled_from(["confirm", "report"]), seed=st.integers(0, 2))
    def score_again(self, purpose, seed):
        final = Final(candidate=0, program=PROGRAM, purpose=purpose, rng_seeds=(seed,), status="ok", score=1.0)
        if final in self.finals:
            with pytest.raises(ValueError, match="already"):
                self.writer.add_final(final)
        else:
            self.writer.add_final(final)
            self.finals.append(final)

    @precondition(lambda self: self.writer)
    @rule(number=st.integers(0, 9))
    def change_config(self, number):
        self.config = f"config {number}"
        self.writer.change_config(self.config)

    @precondition(lambda self: self.writer)
    @rule()
    def begin(self):
        self.writer.begin_session("cpu", "iris by interpreter")
        self.reason = None

    @precondition(lambda self: self.writer)
    @rule()
    def finish(self):
        self.writer.finish("enough")
        self.reason = "enough"

    @precondition(lambda self: len(self.readers) < 3)
    @rule()
    def open_reader(self):
        self.readers.append(folders.open_to_read(self.root, "run"))

    @precondition(lambda self: self.readers)
    @rule()
    def close_reader(self):
        self.readers.pop().close()

    @precondition(lambda self: self.writer)
    @rule()
    def refuse_a_second_writer(self):
        with pytest.raises(RunConflict, match="is being written by process"):
            folders.open_to_write(self.root, "run")

    @precondition(lambda self: self.writer)
    @rule()
    def close_writer(self):
        self.writer.close()
        self.writer = None
        if not self.readers:
            assert files(self.root / "run") == AT_REST

    @precondition(lambda self: self.writer)
    @rule(torn=st.binary(max_size=100), leftover=st.booleans())
    def crash(self, torn, leftover):
        """End the writer at once: only what is on the disk at that moment remains.

        A write in progress may be there in part, and so may a file that was to replace another.
        """
        later = self.top / str(int(self.root.name) + 1)
        shutil.copytree(self.root, later, ignore=shutil.ignore_patterns("*-shm"))
        with (later / "run" / "run.db-wal").open("ab") as file:
            file.write(torn)
        if leftover:
            (later / "run" / "resolved.yaml.new").write_text("conf")
        for store in (self.writer, *self.readers):
            store.close()
        self.writer, self.readers, self.root = None, [], later

    @precondition(lambda self: not self.writer)
    @rule()
    def open_writer(self):
        self.writer = folders.open_to_write(self.root, "run")

    @precondition(lambda self: not self.writer and not self.readers)
    @rule()
    def move(self):
        later = self.top / str(int(self.root.name) + 1)
        self.root.rename(later)
        self.root = later

    @invariant()
    def everyone_sees_what_was_committed(self):
        if not self.root.exists():
            return  # not created yet
        counts = Counts()
        for one in self.outcomes:
            counts = counts.with_outcome(one)
        winners = [one for one in self.outcomes if one.status == "ok" and one.known_from is None]
        best = sorted(winners, key=lambda one: (-one.score, one.index))[:2]
        with folders.open_to_read(self.root, "run") as fresh:
            for store in (fresh, *self.readers, *filter(None, [self.writer])):
                assert list(store.outcomes()) == self.outcomes
                assert store.finals() == self.finals
                assert store.counts() == counts
                assert store.best(2) == best
                assert store.stop_reason == self.reason
        assert (self.root / "run" / "resolved.yaml").read_text() == self.config
        (summary,) = folders.list_runs(self.root)
        state = "running" if self.writer else "done" if self.reason else "interrupted"
        assert (summary.state, summary.candidates) == (state, len(self.outcomes))

    def teardown(self):
        for store in (*self.readers, *filter(None, [self.writer])):
            store.close()
        shutil.rmtree(self.top)


TestStore = Store.TestCase
TestStore.settings = settings(
    max_examples=10,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
