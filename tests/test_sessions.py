"""Sessions of a search as the commands start, interrupt and resume them, with evaluations that train nothing."""

import dataclasses
import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import instant
import pytest

import workers
from evolve.commands.cli import main
from evolve.config.settings import Config
from evolve.store.finals import fresh_rng_seeds
from evolve.store.folders import open_to_read

SEARCH = ["search", "smoke", "--name", "one", "--pool", "serial", "--set", "finalists=2", "--set", "fresh_rng_seeds=2"]
CANDIDATES = ["--set", "budget.candidates=12"]
CONFIRM = fresh_rng_seeds(
    Config.model_validate({"tasks": "iris", "budget": {"seconds": 1}, "fresh_rng_seeds": 2}), "confirm"
)


def timed_out(job: workers.Job) -> workers.Result:
    return workers.Result(job.index, workers.Status.TIMEOUT, message="took longer than 60 s")


@dataclasses.dataclass
class Pride:
    """The command, with a folder of runs and pools of its own.

    Attributes:
        root: The folder.
        capsys: Catches what is printed.
        evaluate_one: Evaluates a job.
        before: Called whenever a pool is about to be opened.
        opened: How many pools were.
        arithmetic: What pools say that theirs is.
    """

    root: Path
    capsys: pytest.CaptureFixture[str]
    evaluate_one: Callable[[workers.Job], workers.Result] = instant.evaluate_one
    before: Callable[[], object] = lambda: None
    opened: int = 0
    arithmetic: workers.Arithmetic = workers.UNKNOWN

    def evaluate(self, jobs: Sequence[workers.Job]) -> list[workers.Result]:
        return [self.evaluate_one(job) for job in jobs]

    def make_pool(self, *given: Any) -> workers.Pool:
        self.opened += 1
        self.before()
        return workers.SerialPool(self.evaluate, measure=lambda: self.arithmetic)

    def run(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        """Run a command that ends with this exit code; return what it printed on stdout and on stderr."""
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        found = self.capsys.readouterr()
        assert int(stop.value.code or 0) == code, found.err
        return found.out, found.err

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code)[0])

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.root / "one").iterdir()}


@pytest.fixture
def pride(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Pride:
    monkeypatch.setenv("PRIDE_RUNS", str(tmp_path))
    made = Pride(tmp_path, capsys)
    monkeypatch.setattr("evolve.commands.running.make_pool", made.make_pool)
    return made


def fails_to_confirm(job: workers.Job) -> workers.Result:
    return timed_out(job) if job.rng_seeds == CONFIRM else instant.evaluate_one(job)


def test_a_finalist_that_failed_has_no_score_and_is_trained_again_on_resume(pride: Pride):
    pride.evaluate_one = fails_to_confirm
    found = pride.json(*SEARCH, *CANDIDATES)
    assert [(each["status"], each["fresh_score"]) for each in found["finalists"]] == [("timeout", None)] * 2
    (best, *_) = pride.json("top", "one")
    assert found["best"]["program"] == best["program"]
    table, _ = pride.run("status", "one")
    assert "timeout" in table
    assert "0.0000" not in table
    dump, _ = pride.run("dump", "one")

    pride.evaluate_one = instant.evaluate_one
    again = pride.json("resume", "one", "--pool", "serial", "--set", "deadline_seconds=600")
    assert [each["status"] for each in again["finalists"]] == ["ok"] * 2
    assert all(each["fresh_score"] > 0.0 for each in again["finalists"])
    assert again["state"] == "done"
    assert pride.run("dump", "one")[0] == dump


def test_a_finalist_that_fails_does_not_win_over_one_that_did_badly(pride: Pride):
    """A failure of the machine is no score of 0, which may be more than others have."""

    def evaluate_one(job: workers.Job) -> workers.Result:
        result = instant.evaluate_one(job)
        if job.rng_seeds != CONFIRM:
            return result
        return timed_out(job) if job.index == 0 else workers.Result(job.index, workers.Status.OK, -1.0, result.losses)

    pride.evaluate_one = evaluate_one
    found = pride.json(*SEARCH, *CANDIDATES)
    champion, failed = found["finalists"]
    assert (champion["fresh_score"], failed["fresh_score"]) == (-1.0, None)
    assert champion["name"] == f"one:{found['best']['id']}"


def test_evaluate_gives_no_score_to_what_could_not_be_trained(pride: Pride, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("workers.evaluate", lambda jobs: [timed_out(job) for job in jobs])
    (found,) = pride.json("evaluate", "sgd", "--tasks", "digits_tiny")
    assert (found["status"], found["fresh_score"]) == ("timeout", None)


def test_a_budget_that_is_used_up_changes_nothing_and_says_so(pride: Pride):
    pride.run(*SEARCH, *CANDIDATES)
    before, opened = pride.files(), pride.opened
    out, said = pride.run("resume", "one", "--pool", "serial", "--set", "budget.candidates=5")
    assert "used up already (5 candidates were put forward)" in said
    assert "run one is finished (12 candidates were put forward)" in said
    assert "one:" in out
    assert (pride.files(), pride.opened) == (before, opened)


@pytest.mark.parametrize("other", ["arithmetic", "device"])
def test_a_refused_resume_leaves_the_run_as_it_was(pride: Pride, monkeypatch: pytest.MonkeyPatch, other: str):
    pride.run(*SEARCH, *CANDIDATES)
    with open_to_read(pride.root, "one") as store:
        before = (pride.root / "one" / "resolved.yaml").read_text(), store.meta
    if other == "arithmetic":
        pride.arithmetic = workers.Arithmetic("bbbb", "that processor")
    else:
        monkeypatch.setattr(workers.SerialPool, "device", "gpu")
    _, said = pride.run("resume", "one", "--pool", "serial", "--set", "budget.candidates=20", code=5)
    assert "run one was trained" in said
    with open_to_read(pride.root, "one") as store:
        assert ((pride.root / "one" / "resolved.yaml").read_text(), store.meta) == before


def test_a_search_that_was_complete_before_its_last_scores_says_so(pride: Pride, monkeypatch: pytest.MonkeyPatch):
    def score_slowly(job: workers.Job) -> workers.Result:
        if job.rng_seeds == CONFIRM:
            monkeypatch.setattr("evolve.search.driver.used_up", lambda *given: "100 seconds were used")
        return instant.evaluate_one(job)

    pride.evaluate_one = score_slowly
    rounds = "rounds=[{islands: 1, candidates: 12}]"
    pride.run(*SEARCH, "--set", rounds, "--set", "budget={seconds: 100}")
    assert pride.json("status", "one")["reason"] == "every round is complete"


def test_a_finished_run_opens_no_pool(pride: Pride):
    searched, _ = pride.run(*SEARCH, *CANDIDATES)
    before, opened = pride.files(), pride.opened
    out, said = pride.run("resume", "one")
    assert out == searched
    assert "run one is finished (12 candidates were put forward): nothing is left to do" in said
    assert (pride.files(), pride.opened) == (before, opened)
    pride.run("resume", "one", "--set", "finalists=3")
    assert pride.opened == opened + 1
    assert len(pride.json("status", "one")["finalists"]) == 3


def test_a_finished_run_takes_settings_that_need_no_training(pride: Pride):
    pride.run(*SEARCH, *CANDIDATES)
    opened = pride.opened
    found = pride.json("resume", "one", "--set", "compare=[sgd]")
    assert [entry["name"] for entry in found["comparison"] if ":" not in entry["name"]] == ["sgd"]
    assert pride.opened == opened


def test_a_search_ends_with_its_state(pride: Pride):
    assert pride.json(*SEARCH, *CANDIDATES)["state"] == "done"


def test_the_run_is_there_before_its_workers(pride: Pride):
    """So that a search that is killed meanwhile can be resumed."""
    there: list[bool] = []
    pride.before = lambda: there.append((pride.root / "one" / "run.db").is_file())
    pride.run(*SEARCH, *CANDIDATES)
    assert there == [True]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_workers_start_ends_at_once_and_the_run_can_be_resumed(
    pride: Pride, number: signal.Signals, code: int
):
    pride.before = lambda: os.kill(os.getpid(), number)
    out, said = pride.run(*SEARCH, *CANDIDATES, code=code)
    assert out == ""
    assert "interrupted; to continue: pride resume one" in said
    assert "finishing what is under way" not in said
    found = pride.json("status", "one")
    assert (found["state"], found["reason"]) == ("interrupted", signal.strsignal(number))
    out, _ = pride.run("status", "one")
    assert out.endswith("nothing was trained\n")
    pride.before = lambda: None
    assert pride.json("resume", "one", "--pool", "serial")["state"] == "done"


def test_a_signal_that_python_ignores_in_a_callback_is_raised_again(pride: Pride):
    class Trap:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            sum(range(1_000))

    def start() -> None:
        Trap()
        signal.pause()  # until the exception comes

    pride.before = start
    _, said = pride.run(*SEARCH, *CANDIDATES, code=130)
    assert "interrupted; to continue" in said
    assert "Traceback" not in said


def test_status_shows_the_best_so_far_while_a_search_runs(pride: Pride):
    shown: list[str] = []

    def evaluate_one(job: workers.Job) -> workers.Result:
        if job.index >= 8 and not shown:
            pride.capsys.readouterr()
            with pytest.raises(SystemExit):
                main(["status", "one"])
            shown.append(pride.capsys.readouterr().out)
        return instant.evaluate_one(job)

    pride.evaluate_one = evaluate_one
    pride.run(*SEARCH, *CANDIDATES)
    (running,) = shown
    assert "state   running" in running
    assert "Best of one" in running
    assert "one:0" in running
    assert "scored again" not in running
    assert "beside known optimizers" not in running


def test_a_start_that_cannot_be_trained_is_the_reason_in_the_list(pride: Pride):
    pride.evaluate_one = timed_out
    _, said = pride.run(*SEARCH, *CANDIDATES, code=3)
    (listed,) = pride.json("list")
    assert listed["state"] == "interrupted"
    assert "cannot be trained: took longer than 60 s" in listed["reason"]
    assert listed["reason"] in said


def test_workers_that_do_not_start_are_the_reason_in_the_list(pride: Pride):
    def fail() -> None:
        raise workers.PoolError("Ray does not start: out of luck")

    pride.before = fail
    pride.run(*SEARCH[:-6], *CANDIDATES, code=3)
    (listed,) = pride.json("list")
    assert (listed["state"], listed["reason"]) == ("interrupted", "Ray does not start: out of luck")
    pride.before = lambda: None
    pride.run("resume", "one")
    (listed,) = pride.json("list")
    assert listed["reason"] == "12 candidates were put forward"


def test_a_cluster_that_cannot_be_joined_leaves_nothing(pride: Pride):
    def fail() -> None:
        raise workers.PoolError("cannot join Ray")

    pride.before = fail
    pride.run(*SEARCH[:4], *CANDIDATES, "--address", "127.0.0.1:1", code=2)
    assert list(pride.root.iterdir()) == []


def test_a_hurdle_that_the_start_does_not_pass_is_said_at_once(pride: Pride):
    def hopeless(job: workers.Job) -> workers.Result:
        below = "0.98 on digits_tiny, below the hurdle of 80"
        return workers.Result(job.index, workers.Status.HOPELESS, 0.5, message=below)

    pride.evaluate_one = hopeless
    out, said = pride.run(*SEARCH, *CANDIDATES, "--set", "hurdle=80", code=2)
    assert out == ""
    assert "hurdle: adamw, which the search starts from, scores 0.98 on digits_tiny, below the hurdle of 80" in said
    assert list(pride.root.iterdir()) == []


def test_a_search_that_trained_nothing_says_so(pride: Pride):
    out, _ = pride.run(*SEARCH, "--set", "budget.seconds=1e-9")
    assert out == "nothing was trained\n"
    with open_to_read(pride.root, "one") as store:
        assert store.finals() == []


def test_a_search_in_which_nothing_trained_to_the_end_says_so(pride: Pride):
    pride.evaluate_one = lambda job: workers.Result(job.index, workers.Status.DIVERGED)
    out, _ = pride.run(*SEARCH, *CANDIDATES)
    assert out == "no candidate trained to the end\n"


def test_there_is_no_score_before_the_first(pride: Pride):
    _, said = pride.run(*SEARCH, *CANDIDATES)
    first = next(line for line in said.splitlines() if line.startswith("one: "))
    assert "no score yet" in first
    assert "best 0.0000" not in said


def test_a_program_that_is_compiled_for_its_size_is_said_and_counted(pride: Pride):
    def evaluate_one(job: workers.Job) -> workers.Result:
        result = instant.evaluate_one(job)
        return dataclasses.replace(result, message=workers.TOO_LARGE) if job.index in (0, 3, 4) else result

    pride.evaluate_one = evaluate_one
    _, said = pride.run(*SEARCH, *CANDIDATES)
    assert said.count("candidate 0 is too large for the interpreter, so it is compiled") == 1
    assert said.count("too large") == 1
    compiled = pride.json("status", "one")["compiled"]
    assert 1 < compiled <= 3
    assert f"{compiled} program(s) were too large for the interpreter" in pride.run("status", "one")[0]
