"""Joining a cluster: with its token, with our code, on its accelerators."""

import contextlib
import json
import os
import re
from pathlib import Path

import pytest
from cluster_cases import ROOT, ray_node
from ray_private_cases import is_left_out

from workers import PoolError, ray_address, ray_connection
from workers.ray_connection import EXCLUDES, PACKAGES
from workers.ray_worker import Expected, WorkerMismatchError, check_worker, versions_here

TRAIN = """
import sys, os, programs
from workers import Job, RayPool
with RayPool(1, address=sys.argv[1], on_event=print) as pool:
    pool.submit(Job(4, programs.source_text("sgd"), ("digits_tiny",), (0,)))
    (result,) = pool.wait()
    print(pool.device, result.status, result.message)
"""

ACCELERATORS = """
import os, sys
from workers import Job, RayPool, Result, Status, devices

os.mkfifo("pipe")
pipe = os.path.abspath("pipe")

def visible(jobs):
    (job,) = jobs
    with open(pipe, "rw"[job.index]):  # returns when the other worker has opened it, too
        told = os.environ.get("CUDA_VISIBLE_DEVICES") or os.environ.get("TPU_VISIBLE_CHIPS")
    return [Result(job.index, Status.OK, message=told)]

for real in (devices.GPU, devices.TPU):
    # What Ray calls an accelerator, and JAX, on this machine, the CPU.
    devices.DEVICES = (devices.Device("cpu", real.resource, devices.CPU_ENVIRONMENT, real.request),)
    with RayPool(address=sys.argv[1], evaluate=visible, batch=1, on_event=print) as pool:
        workers, seen = pool.workers, set()
        for index in range(2):
            pool.submit(Job(index, "", (), ()))
        while pool.in_flight:
            seen |= {result.message for result in pool.wait()}
        print(real.name, workers, *sorted(seen))
"""

PROMISED = """
import sys
from workers import Job, PoolError, RayPool
with RayPool(1, address=sys.argv[1], on_event=print) as pool:
    print(pool.device)
    pool.submit(Job(0, "", (), ()))
    try:
        pool.wait()
    except PoolError as error:
        print(error)
"""


ONE_AFTER_ANOTHER = """
import os, sys
from pathlib import Path
from workers import Job, RayPool, Result, Status

def echo(jobs):
    return [Result(job.index, Status.OK) for job in jobs]

for address in (sys.argv[1], None, None, sys.argv[1]):
    with RayPool(1, address=address, evaluate=echo, on_event=print) as pool:
        pool.submit(Job(7, "", (), ()))
        print(pool.wait()[0].index, Path(os.environ["RAY_AUTH_TOKEN_PATH"]).read_text())
"""


@pytest.fixture(scope="module")
def absent(tmp_path_factory):
    """Return a folder whose packages cannot be imported and hide ours on the path of workers."""
    folder = tmp_path_factory.mktemp("absent")
    for package in PACKAGES:
        (folder / package).mkdir()
        (folder / package / "__init__.py").write_text(f"raise ImportError('there is no {package} on this node')\n")
    return str(folder)


@pytest.fixture(scope="module")
def node(absent):
    """Start a cluster that claims two accelerators of each kind and has none of our packages."""
    with ray_node("--num-gpus=2", '--resources={"TPU": 2}', python_path=absent) as started:
        yield started


@pytest.fixture
def script(tmp_path):
    """Return a function that writes a driver, beside runs that must not be sent."""
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "run.db").write_text("private")

    def write(text):
        path = tmp_path / "driver.py"
        path.write_text(text)
        return path

    return write


def on_cpus(text):
    """Make a driver ignore the accelerators, which this machine only claims to have."""
    return f"from workers import devices\ndevices.DEVICES = (devices.CPU,)\n{text}"


def files(folder):
    """Return the paths of all files below a folder except those that Python writes when it imports."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}


@pytest.mark.slow
def test_code_travels_to_workers_that_have_none_and_nothing_else_does(node, script):
    told = node.driver(script(on_cpus(TRAIN)))
    assert told.stdout == "cpu ok \n", told
    packages = [path for path in node.folder.glob("session_latest/runtime_resources/*/_ray_pkg_*") if path.is_dir()]
    assert {name for package in packages for name in files(package)} == {
        f"{package}/{name}" for package in PACKAGES for name in files(ROOT / package)
    }
    assert list(node.folder.rglob("run.db")) == []


ISLANDS = """
import sys
from evolve.commands.cli import main
settings = ["rounds=[{islands: 2, candidates: 10}]", "budget.candidates=20", "rng_seeds=1", "fresh_rng_seeds=2"]
options = [part for setting in settings for part in ("--set", setting)]
main(["search", "smoke", "--name", "there", "--address", sys.argv[1], "--json", *options])
"""


@pytest.mark.slow
def test_a_search_with_islands_runs_where_no_node_has_our_packages(absent, script):
    with ray_node("--num-gpus=0", python_path=absent) as node:
        path = script(ISLANDS)
        told = node.driver(path, PRIDE_RUNS=str(path.parent / "runs"))
    assert told.returncode == 0, told
    document = json.loads(told.stdout)
    assert (document["run"], document["counts"]["generated"]) == ("there", 20)


@pytest.mark.slow
def test_each_worker_has_an_accelerator_for_itself(node, script):
    told = node.driver(script(ACCELERATORS))
    assert told.stdout == "gpu 2 0 1\ntpu 2 0 1\n", told


@pytest.mark.slow
def test_one_process_joins_and_starts_clusters_each_with_its_own_token(node, script):
    told = node.driver(script(on_cpus(ONE_AFTER_ANOTHER)))
    answers = [line.split() for line in told.stdout.splitlines()]
    assert [answer[0] for answer in answers] == ["7"] * 4, told
    tokens = [answer[1] for answer in answers]
    assert tokens[0] == tokens[3] == node.token.read_text()
    assert len(set(tokens)) == 3


@pytest.mark.slow
def test_a_worker_that_trains_on_less_than_promised_is_an_error(node, script):
    told = node.driver(script(PROMISED))
    device, *notes, error = told.stdout.splitlines()
    assert device == "gpu", told
    assert len(notes) == 2
    assert error.startswith("no worker can be started: WorkerMismatchError: node ")
    assert error.endswith(
        "has a GPU according to Ray, but its JAX computes on the cpu: install pride[cuda] on every such node, "
        "or start Ray there without it"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("0" * 64, "it requires a token other than "),
        ("", "which holds no token"),
        (None, "which holds no token"),
    ],
)
def test_a_driver_without_the_right_token_is_told_so(node, script, tmp_path, token, said):
    if token is not None:
        (tmp_path / "token").write_text(token)
    told = node.driver(script(TRAIN), RAY_AUTH_TOKEN_PATH=str(tmp_path / "token"))
    assert f"PoolError: cannot join Ray at {node.address}: " in told.stderr
    assert said in told.stderr


def test_a_cluster_without_a_token_is_joined_with_a_warning(monkeypatch):
    notes = []
    monkeypatch.setattr(ray_connection, "show_token", lambda address: None)
    monkeypatch.setattr(ray_connection, "_initialised", lambda failure, **settings: contextlib.nullcontext())
    for mode, wanted in (("token", 0), ("disabled", 1)):
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
        with ray_connection._join("127.0.0.2:6379", notes.append):
            assert len(notes) == wanted
    assert notes == ["Ray at 127.0.0.2:6379 asks for no token: whoever can reach it can run code on it"]


def test_users_settings_for_other_clusters_do_not_open_one_started_here(monkeypatch):
    """Ray would obey RAY_AUTH_MODE=disabled, and prefer another token to the file's."""
    seen = {}

    @contextlib.contextmanager
    def initialised(failure, **settings):
        seen.update({name: os.environ.get(name) for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}, **settings)
        seen["token"] = Path(os.environ["RAY_AUTH_TOKEN_PATH"]).read_text()
        yield

    monkeypatch.setattr(ray_connection, "_initialised", initialised)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "known to others")
    with ray_connection._start_here(1):
        pass
    assert (seen["RAY_AUTH_MODE"], seen["RAY_AUTH_TOKEN"]) == (None, None)
    assert re.fullmatch("[0-9a-f]{64}", seen["token"])
    assert (seen["_node_ip_address"], seen["include_dashboard"]) == ("127.0.0.1", False)
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    assert os.environ["RAY_AUTH_TOKEN"] == "known to others"


def test_nothing_listening_is_told_at_once():
    with pytest.raises(PoolError, match=r"^cannot join Ray at 127\.0\.0\.1:1: ConnectionRefusedError: "):
        ray_address.check_reachable("127.0.0.1:1")


def test_what_was_compiled_does_not_travel_and_what_is_needed_does():
    for package in PACKAGES:
        left_out = is_left_out(ROOT / package, EXCLUDES)
        assert left_out(ROOT / package / "__pycache__" / "some.cpython-311.pyc")
        assert not any(left_out(ROOT / package / name) for name in files(ROOT / package))


def test_a_worker_as_expected_is_taken():
    check_worker(Expected("cpu", versions_here()))


def test_a_worker_with_other_packages_is_refused():
    wanted = versions_here() | {"optax": "0.0.1"}
    with pytest.raises(WorkerMismatchError, match=r"has optax [0-9.]+ instead of 0\.0\.1, which the driver has"):
        check_worker(Expected("cpu", wanted))


@pytest.mark.parametrize(("device", "extra"), [("gpu", "cuda"), ("tpu", "tpu")])
def test_a_worker_without_the_promised_device_is_refused(device, extra):
    with pytest.raises(WorkerMismatchError, match=rf"its JAX computes on the cpu: install pride\[{extra}\]"):
        check_worker(Expected(device, versions_here()))
