"""A search on Ray equals the unbroken one, whatever happens to its workers and nodes."""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import fault_cases
import guard
import instant
import pytest
import three_nodes
from fault_cases import InstantPool, check_whole, config, found

import workers
from evolve.errors import StoppedEarly
from workers import faults
from workers.ray_connection import ray_connection

pytestmark = pytest.mark.chaos

CANDIDATES = 24
STRUCK = {3, 7}  # the candidates whose worker is struck, on their first attempt


@pytest.fixture(scope="module")
def ray_here():
    with ray_connection(None, 2, print):
        from ray import cloudpickle

        for module in (sys.modules[__name__], instant):
            cloudpickle.register_pickle_by_value(module)
        yield


@pytest.fixture
def unbroken(tmp_path):
    fault_cases.session(tmp_path / "unbroken", "run", config(CANDIDATES), InstantPool())
    return found(tmp_path / "unbroken", "run")


def struck(folder: Path, action: str, evaluated: bool, jobs: Sequence[workers.Job]) -> list[workers.Result]:
    """Evaluate jobs; before or after that, strike the worker with an action, once for each struck candidate."""
    happens = [claimed(folder / str(job.index)) for job in jobs if job.index in STRUCK]
    if any(happens) and not evaluated:
        faults.ACTIONS[action]()
    results = instant.evaluate(jobs)
    if any(happens) and evaluated:
        faults.ACTIONS[action]()
    return results


def claimed(path: Path) -> bool:
    """Return whether this is the first process that claims the file."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


@pytest.mark.parametrize("evaluated", [False, True], ids=["before", "evaluated"])
@pytest.mark.parametrize("action", ["kill", "stop", "error", "spin", "native", "memory", "late"])
def test_what_happens_to_workers_changes_nothing(tmp_path, ray_here, unbroken, action, evaluated):
    """Even if the work was done and only the reply is lost: it is done again, and counted once."""
    notes = []
    (tmp_path / "claims").mkdir()
    evaluate = functools.partial(struck, tmp_path / "claims", action, evaluated)
    with workers.RayPool(2, evaluate=evaluate, deadline_s=3.0, on_event=notes.append) as pool:
        fault_cases.session(tmp_path / "runs", "run", config(CANDIDATES), pool)
    assert found(tmp_path / "runs", "run") == unbroken
    assert len(list((tmp_path / "claims").iterdir())) == len(STRUCK)
    assert bool(notes) == (action != "late")


def test_workers_that_are_lost_for_good_stop_the_search_early(tmp_path, ray_here, unbroken):
    """Nothing can be trained any more; what was committed is kept, and another pool continues the run."""

    def refuse(jobs):
        raise ValueError("no such device")

    pool = workers.RayPool(2, evaluate=refuse, warm=("any",))
    with pool, pytest.raises((workers.PoolError, StoppedEarly), match="no such device"):
        fault_cases.session(tmp_path / "runs", "run", config(CANDIDATES), pool)
    check_whole(tmp_path / "runs", "run", unbroken)
    fault_cases.session(tmp_path / "runs", "run", config(CANDIDATES), InstantPool())
    assert found(tmp_path / "runs", "run") == unbroken


def on_three_nodes(root: Path, lost: str, outlives_s: int) -> tuple[list[str], int, list[str]]:
    """Search on three nodes; return the pool's notes, the exit code, and the processes that were left."""
    command = [sys.executable, three_nodes.__file__, str(root), lost]
    done = subprocess.run(
        [sys.executable, guard.__file__, str(outlives_s), *command], capture_output=True, text=True, check=True
    )
    code, left = json.loads(done.stdout.splitlines()[-1])
    return done.stderr.splitlines(), code, left


@pytest.fixture
def unbroken_on_nodes(tmp_path):
    fault_cases.session(tmp_path / "unbroken", "run", config(three_nodes.CANDIDATES), InstantPool())
    return found(tmp_path / "unbroken", "run")


def test_a_lost_node_changes_nothing(tmp_path, unbroken_on_nodes):
    notes, code, left = on_three_nodes(tmp_path / "nodes", "node", outlives_s=30)
    assert (code, left) == (0, []), notes
    assert any("attempt 1 of 2: crashed" in note for note in notes), notes
    assert found(tmp_path / "nodes", "run") == unbroken_on_nodes


def test_a_lost_head_costs_only_what_was_under_way(tmp_path, unbroken_on_nodes):
    """Ray itself then ends the driver; what was committed is kept, and the run is resumed elsewhere."""
    _, code, _ = on_three_nodes(tmp_path / "nodes", "head", outlives_s=1)
    assert code != 0
    check_whole(tmp_path / "nodes", "run", unbroken_on_nodes)
    assert 0 < len(found(tmp_path / "nodes", "run")[0]) < three_nodes.CANDIDATES
    fault_cases.session(tmp_path / "nodes", "run", config(three_nodes.CANDIDATES), InstantPool())
    assert found(tmp_path / "nodes", "run") == unbroken_on_nodes
