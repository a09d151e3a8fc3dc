"""Fault injection: how faults are planned, and "fail the n-th hit, for every n" for everything that writes a run.

The table of faults is workers/FAULTS.md.
"""

import ast
import collections
import errno
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import fault_cases
import pytest
import sqlite_faults
from fault_cases import AT_REST, KILLED, Server, check_whole, found

from workers import faults

ROOT = Path(__file__).parent.parent
CANDIDATES = 8  # in the searches in which every hit fails once
STORE_HOOKS = sorted(hook for hook in faults.HOOKS if not hook.startswith("worker."))


@pytest.fixture
def planned(monkeypatch):
    """Return a function that plans faults in this process, instead of those in the environment."""

    def plan(text):
        monkeypatch.setenv(faults.VARIABLE, text)
        faults.plan.cache_clear()
        faults.hits.clear()

    yield plan
    monkeypatch.undo()
    faults.plan.cache_clear()
    faults.hits.clear()


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, server):
    root = tmp_path_factory.mktemp("unbroken")
    assert server.run(root, "run", candidates=CANDIDATES) == 0
    return found(root, "run")


def hooks_in_the_code():
    """Return the hooks that the code hits."""
    for package in ("workers", "evolve"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "faults.hit":
                    (hook,) = node.args
                    yield ast.literal_eval(hook)


def test_the_table_of_hooks_is_that_of_the_code():
    assert set(hooks_in_the_code()) == set(faults.HOOKS)


def test_a_search_hits_every_hook(tmp_path, planned):
    planned("store.commit:1000000:error")
    fault_cases.session(tmp_path, "run", fault_cases.config(CANDIDATES), fault_cases.InstantPool())
    assert set(faults.hits) == set(faults.HOOKS)
    assert faults.hits["search.propose"] == CANDIDATES


def test_without_a_plan_nothing_is_counted(tmp_path, planned):
    planned("")
    fault_cases.session(tmp_path, "run", fault_cases.config(CANDIDATES), fault_cases.InstantPool())
    assert not faults.hits


def test_a_plan_is_read_as_it_is_written():
    text = "store.commit:7:kill,worker.reply:1:late"
    plan = faults.parse(text)
    assert plan == (faults.Fault("store.commit", 7, "kill"), faults.Fault("worker.reply", 1, "late"))
    assert ",".join(map(str, plan)) == text
    assert faults.parse("") == ()


@pytest.mark.parametrize("text", ["store:1:kill", "store.commit:0:kill", "store.commit:1:kil", "kill", "a:b:c:d"])
def test_what_is_no_plan_is_said_to_be_none(text):
    with pytest.raises(ValueError, match=r"right would be hook:hit:action, with a hook such as store\.commit"):
        faults.parse(text)


def test_a_plan_names_hooks_that_there_are(planned):
    planned("store.commit:1:kill")
    faults.check_plan()
    planned("store.comit:1:kill")
    with pytest.raises(ValueError, match=r"got the hook 'store\.comit'; right would be one of file\.rename"):
        faults.check_plan()


def test_a_hook_is_declared_once():
    with pytest.raises(ValueError, match=r"got store\.commit a second time"):
        faults.declare({"store.commit": "again"})


@pytest.mark.slow
def test_a_plan_that_is_none_is_a_wrong_usage(tmp_path):
    environment = {**os.environ, faults.VARIABLE: "store.commit", "PRIDE_RUNS": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "evolve.commands.cli", "search", "smoke", "--pool", "serial"],
        env=environment, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("pride: PRIDE_FAULTS: got 'store.commit'; right would be")
    assert list(tmp_path.iterdir()) == []


def test_drawn_faults_follow_from_the_rng_seed_and_reach_all():
    def drawn(rng_seed):
        rng = random.Random(rng_seed)
        return [faults.draw(rng, STORE_HOOKS, faults.ACTIONS, 3) for _ in range(500)]

    assert drawn(0) == drawn(0) != drawn(1)
    assert {fault.hook for fault in drawn(0)} == set(STORE_HOOKS)
    assert {fault.action for fault in drawn(0)} == set(faults.ACTIONS)
    assert {fault.hit for fault in drawn(0)} == {1, 2, 3}


RAISED = {
    "error": (RuntimeError, "planned"),
    "disk": (OSError, re.escape(os.strerror(errno.ENOSPC))),
    "database": (Exception, "database or disk is full"),
    "memory": (MemoryError, None),
}


@pytest.mark.parametrize("action", RAISED)
def test_actions_that_raise(action, planned):
    error, said = RAISED[action]
    planned(f"store.begin:2:{action}")
    faults.hit("store.begin")
    faults.hit("store.commit")
    with pytest.raises(error, match=said):
        faults.hit("store.begin")
    faults.hit("store.begin")


HIT = "from workers import faults; print('begun', flush=True); faults.hit('store.begin'); print('over')"


@pytest.mark.parametrize("action", sorted(faults.ACTIONS.keys() - RAISED))
def test_actions_that_do_not(action):
    """A process that ends itself, one that continues later, and those that must be ended."""
    environment = {**os.environ, faults.VARIABLE: f"store.begin:1:{action}"}
    with subprocess.Popen([sys.executable, "-c", HIT], env=environment, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout
        assert process.stdout.readline() == b"begun\n"
        if action == "stop":
            _, status = os.waitpid(process.pid, os.WUNTRACED)
            assert os.WSTOPSIG(status) == signal.SIGSTOP
        if action in ("stop", "spin", "native"):
            process.kill()
        assert process.stdout.read() == (b"over\n" if action == "late" else b"")
        assert process.wait() == (0 if action == "late" else -signal.SIGKILL)


@pytest.mark.chaos
@pytest.mark.parametrize("action", ["kill", "disk", "database", "error"])
@pytest.mark.parametrize("hook", STORE_HOOKS)
def test_every_hit_of_a_hook_may_fail(tmp_path, server, unbroken, hook, action):
    """The n-th hit fails, for every n until none does: the run is whole or absent, and is resumed to the same end."""
    codes = collections.Counter()
    number, code = 0, None
    while code != 0:
        number += 1
        root = tmp_path / str(number)
        code = server.run(root, "run", candidates=CANDIDATES, plan=f"{hook}:{number}:{action}")
        codes[code] += 1
        if code != 0:
            check_whole(root, "run", unbroken)
            assert server.run(root, "run", candidates=CANDIDATES) == 0
        assert found(root, "run") == unbroken
        assert sorted(path.name for path in (root / "run").iterdir()) == AT_REST
    assert number > 1
    if action == "kill":
        assert set(codes) == {0, KILLED}
    if (action, hook) in (("database", "store.begin"), ("database", "store.commit"), ("database", "store.committed")):
        assert set(codes) == {0, 3}


@pytest.mark.chaos
@pytest.mark.parametrize("action", sqlite_faults.ACTIONS)
def test_every_system_call_of_sqlite_may_fail(tmp_path, server, unbroken, action):
    """The same for each write, truncation and removal of a file by SQLite, torn or on a full disk."""
    _, calls = server.run_counting(tmp_path / "all", "run", candidates=CANDIDATES, sqlite=[10**9, action])
    assert calls > 50
    codes = collections.Counter()
    for number in range(1, calls + 1):
        root = tmp_path / str(number)
        codes[server.run(root, "run", candidates=CANDIDATES, sqlite=[number, action])] += 1
        check_whole(root, "run", unbroken)
        assert server.run(root, "run", candidates=CANDIDATES) == 0
        assert found(root, "run") == unbroken
        assert sorted(path.name for path in (root / "run").iterdir()) == AT_REST
    assert set(codes) == ({KILLED} if action == "torn" else {0, 3}), codes


ROW = re.compile(r"\| (test_\w+)::(\w+)( \(fast\))? \|$")


def rows():
    """Return the table's rows: the test's file, its name, and whether it is among the fast ones."""
    lines = (ROOT / "workers" / "FAULTS.md").read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("| ") and not line.startswith("| fault ")]
    found = [ROW.search(line) for line in table]
    assert None not in found, table[found.index(None)]
    return [(row[1], row[2], bool(row[3])) for row in found if row]


@pytest.mark.parametrize(("file", "name", "fast"), sorted(set(rows())))
def test_every_row_of_the_table_is_a_test(file, name, fast):
    source = (ROOT / "tests" / f"{file}.py").read_text(encoding="utf-8")
    body = {node.name: node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
    if name.startswith("Test"):
        assert f"\n{name} = " in source
        marked = False
    else:
        marked = any("pytest.mark.chaos" in ast.unparse(mark) for mark in body[name].decorator_list)
    assert (marked or "\npytestmark = pytest.mark.chaos" in source) is not fast
