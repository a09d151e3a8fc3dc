"""Workers that die, hang, stop and eat memory; drivers that are killed."""

import functools
import os
import re
import resource
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pool_cases
import pytest
from pool_cases import each, echo, job, only_for

from workers import PoolError, RayPool, Result, Status
from workers.ray_connection import ray_connection

pytestmark = pytest.mark.chaos

PATIENCE_S = 60.0  # how long a test waits for what must happen; no test should need it


def die(job):
    os._exit(7)


def raise_always(job):
    raise LookupError(f"candidate {job.index} is lost")


def kill_itself(job):
    os.kill(os.getpid(), signal.SIGKILL)


def stop_itself(job):
    os.kill(os.getpid(), signal.SIGSTOP)


def leave(job):
    raise SystemExit(3)


def interrupt(job):
    raise KeyboardInterrupt


def spin_in_python(job):
    while True:
        pass


def spin_in_native_code(job):
    re.match(r"(a+)+$", "a" * 64 + "b")


def wait_for_ever(job):
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while True:
        signal.pause()


def eat_memory(job):
    used = int(re.findall(r"VmSize:\s+(\d+)", Path("/proc/self/status").read_text())[0]) * 1024
    limit = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, limit[1]))
    try:
        hoard = []
        while True:
            hoard.append(bytearray(2**24))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)


def only_once(bad, folder, indices, job):
    marker = folder / str(job.index)
    if job.index in indices and not marker.exists():
        marker.touch()
        return bad(job)
    return echo(job)


class Unpicklable(Result):
    def __reduce__(self):
        raise TypeError("not for travel")


def return_unpicklable(job):
    return Unpicklable(job.index, Status.OK)


@pytest.fixture(scope="module", autouse=True)
def ray_here():
    with ray_connection(None, 2, print):
        from ray import cloudpickle

        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        cloudpickle.register_pickle_by_value(pool_cases)
        yield


def run(pool, count, workers=2):
    for index in range(count):
        pool.submit(job(index))
    results = []
    while pool.in_flight:
        arrived = pool.wait(PATIENCE_S)
        assert arrived
        results += arrived
    assert pool.workers == workers
    return sorted(results, key=lambda result: result.index)


REASONS = {
    die: "the worker died",
    kill_itself: "the worker died",
    leave: "the worker died with exit code 3",
    interrupt: "KeyboardInterrupt in the worker",
    raise_always: "LookupError: candidate 5 is lost",
    return_unpicklable: "TypeError: not for travel",
}
ENDLESS = [spin_in_python, spin_in_native_code, wait_for_ever, stop_itself]


@pytest.mark.parametrize("bad", REASONS)
def test_one_bad_candidate_among_many_is_crashed(bad):
    notes = []
    with RayPool(2, evaluate=each(functools.partial(only_for, bad, 5)), on_event=notes.append) as pool:
        results = run(pool, 20)
    assert [result.index for result in results] == list(range(20))
    assert {result.index for result in results if result.status != Status.OK} == {5}
    assert (results[5].status, results[5].attempts) == (Status.CRASHED, 2)
    assert results[5].message == REASONS[bad]
    assert [note.split("(")[0].partition(", ")[2] for note in notes] == [
        "10 candidates together, from 0 to 9: crashed ",
        *(f"candidate 5, attempt {attempt} of 2: crashed " for attempt in (1, 2)),
    ]


@pytest.mark.parametrize("bad", ENDLESS)
def test_one_endless_candidate_among_many_is_a_timeout(bad):
    evaluate = each(functools.partial(only_for, bad, 2))
    with RayPool(2, evaluate=evaluate, batch=2, deadline_s=2.0) as pool:
        results = run(pool, 12)
        assert {result.index for result in results if result.status != Status.OK} == {2}
        assert (results[2].status, results[2].attempts) == (Status.TIMEOUT, 2)
        assert results[2].message == "took longer than 2 s"
        assert {result.attempts for result in results if result.index != 2} == {1}


@pytest.mark.parametrize("bad", [die, wait_for_ever])
def test_second_attempt_makes_good(bad, tmp_path):
    evaluate = each(functools.partial(only_once, bad, tmp_path, range(4)))
    with RayPool(2, evaluate=evaluate, batch=1, deadline_s=2.0) as pool:
        results = run(pool, 4)
    assert [result.status for result in results] == ["ok"] * 4
    assert [result.attempts for result in results] == [2] * 4


def report_and_wait(pipe, job):
    pipe.write_text(str(os.getpid()))
    wait_for_ever(job)


def test_a_worker_killed_amid_a_batch_costs_no_attempt(tmp_path):
    pipe, notes = tmp_path / "pipe", []
    os.mkfifo(pipe)
    evaluate = each(functools.partial(only_once, functools.partial(report_and_wait, pipe), tmp_path, {3}))
    killer = threading.Thread(target=lambda: os.kill(int(pipe.read_text()), signal.SIGKILL))
    killer.start()
    with RayPool(1, evaluate=evaluate, on_event=notes.append) as pool:
        assert run(pool, 5, workers=1) == [echo(job(index)) for index in range(5)]
    killer.join()
    assert notes == [
        "worker 1, 5 candidates together, from 0 to 4: crashed (the worker died); each is tried alone; worker replaced"
    ]


@pytest.mark.parametrize(
    ("bad", "status", "reason"),
    [
        (kill_itself, Status.CRASHED, "crashed (the worker died)"),
        (wait_for_ever, Status.TIMEOUT, "timeout (took longer than 10 s)"),
    ],
)
def test_one_bad_candidate_in_a_batch_costs_the_others_nothing(bad, status, reason):
    notes = []
    evaluate = each(functools.partial(only_for, bad, 2))
    with RayPool(1, evaluate=evaluate, deadline_s=2.0, on_event=notes.append) as pool:
        results = run(pool, 5, workers=1)
    assert reason in notes[0]
    assert (results[2].status, results[2].attempts) == (status, 2)
    assert [result for result in results if result.index != 2] == [echo(job(index)) for index in (0, 1, 3, 4)]


def test_every_candidate_deadly():
    with RayPool(2, evaluate=each(die)) as pool:
        assert [result.status for result in run(pool, 6)] == ["crashed"] * 6


def test_memory_bomb_is_oom_and_the_worker_lives_on():
    with RayPool(2, evaluate=each(functools.partial(only_for, eat_memory, 1))) as pool:
        results = run(pool, 8)
    assert results[1].status == Status.OOM
    assert {result.index for result in results if result.status == Status.OK} == set(range(8)) - {1}


@pytest.mark.parametrize("bad", [die, wait_for_ever])
def test_failed_start_is_made_good_by_the_second(bad, tmp_path):
    notes = []
    evaluate = each(functools.partial(only_once, bad, tmp_path, {-1}))
    with RayPool(1, evaluate=evaluate, warm=("any",), startup_deadline_s=5.0, on_event=notes.append) as pool:
        assert [result.status for result in run(pool, 4, workers=1)] == ["ok"] * 4
    (note,) = notes
    assert note.startswith("worker 1 did not start: ")
    assert note.endswith("; started again")


@pytest.mark.parametrize("bad", [die, wait_for_ever])
def test_workers_that_never_start_are_a_pool_error(bad):
    with RayPool(2, evaluate=each(bad), warm=("any",), startup_deadline_s=2.0) as pool:
        pool.submit(job(0))
        with pytest.raises(PoolError, match="no worker can be started: "):
            pool.wait()


DRIVER = """
import os, signal, sys
from pathlib import Path
from workers import *
from workers.reaper import holders

def evaluate(jobs):
    for job in jobs:
        if job.index == 0:
            os._exit(7)  # of which Ray must print nothing
        if job.index == 1:
            os.kill(os.getpid(), signal.SIGSTOP)
    return [Result(job.index, Status.OK) for job in jobs]

if __name__ == "__main__":
    pool = RayPool(2, evaluate=evaluate)
    for index in range(4):
        pool.submit(Job(index, "", (), ()))
    while pool.in_flight > 1:
        pool.wait()
    directory = Path(os.environ["RAY_AUTH_TOKEN_PATH"]).parent
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    print(directory, *holders(str(directory)), *children.split(), flush=True)
    sys.stdin.readline()
    pool.close()
    print("closed", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def driver(tmp_path):
    """Start a driver with one idle and one stopped worker; yield its process, its directory and its processes."""
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    with subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        directory, *pids = process.stdout.readline().split()
        assert len(set(pids)) >= 8
        yield process, Path(directory), [os.pidfd_open(int(pid)) for pid in set(pids)]
        process.kill()


def all_end(pidfds, seconds):
    """Return whether processes end in time; close all their file descriptors."""
    ended = [bool(select.select([pidfd], [], [], seconds)[0]) for pidfd in pidfds]
    for pidfd in pidfds:
        os.close(pidfd)
    return all(ended)


def test_nothing_is_left_after_close(driver):
    process, directory, pidfds = driver
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "closed\n"
    assert all_end(pidfds, 0.0)
    assert not directory.exists()


@pytest.mark.parametrize("deadly", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_after_a_killed_driver(driver, deadly):
    process, directory, pidfds = driver
    process.send_signal(deadly)
    process.wait()
    assert all_end(pidfds, PATIENCE_S)
    assert not directory.exists()


INTERRUPTED_DRIVER = """
import signal, sys
from workers import *

if __name__ == "__main__":
    path, received = sys.argv[1], []
    signal.signal(signal.SIGINT, lambda *_: received.append(True))  # Ray may swallow a KeyboardInterrupt
    def evaluate(jobs):
        with open(path) as pipe:
            return [Result(job.index, Status.OK, message=pipe.read()) for job in jobs]
    with RayPool(1, evaluate=evaluate) as pool:
        pool.submit(Job(0, "", (), ()))
        print("waiting", flush=True)
        while not received:
            assert pool.wait(0.1) == []
        print("interrupted", pool.in_flight, flush=True)
        (result,) = pool.wait()
        print(result.status, result.message, result.attempts, flush=True)
"""


def test_ctrl_c_reaches_the_driver_and_leaves_the_workers_work_alone(tmp_path):
    script, pipe = tmp_path / "driver.py", tmp_path / "pipe"
    script.write_text(INTERRUPTED_DRIVER)
    os.mkfifo(pipe)
    # As with `make search` in a terminal: another process leads the group that Ctrl-C goes to.
    command = ["sh", "-c", 'trap : INT; "$@"; exit', "sh", sys.executable, str(script), str(pipe)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0) as leader:
        assert leader.stdout
        assert leader.stdout.readline() == "waiting\n"
        with pipe.open("w") as answer:  # opens once the worker has opened it, too
            os.killpg(leader.pid, signal.SIGINT)
            assert leader.stdout.readline() == "interrupted 1\n"
            answer.write("done")
        assert leader.stdout.readline() == "ok done 1\n"


def test_ray_refuses_a_driver_without_the_token(tmp_path):
    import ray

    address = ray.get_runtime_context().gcs_address
    script = (
        "import sys, workers\n"
        "try:\n"
        f"    workers.RayPool(1, address={address!r})\n"
        "except workers.PoolError as error:\n"
        "    print(error)\n"
    )
    environment = {**os.environ, "RAY_AUTH_TOKEN": "0" * 64}
    environment.pop("RAY_AUTH_TOKEN_PATH")
    told = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert told.stdout.startswith(f"cannot join Ray at {address}: it requires a token other"), told
    assert "InvalidAuthToken" in told.stderr


def test_a_second_driver_joins_and_leaves_ray_running(tmp_path):
    import ray

    script = tmp_path / "joiner.py"
    script.write_text(
        "import sys\n"
        "from workers import Job, RayPool, Result, Status\n"
        "def evaluate(jobs):\n"
        "    return [Result(job.index, Status.OK) for job in jobs]\n"
        "with RayPool(1, address=sys.argv[1], evaluate=evaluate) as pool:\n"
        "    pool.submit(Job(4, '', (), ()))\n"
        "    print(pool.wait()[0].index)\n"
    )
    address = ray.get_runtime_context().gcs_address
    told = subprocess.run([sys.executable, script, address], capture_output=True, text=True)
    assert told.stdout == "4\n", told
    with RayPool(2, evaluate=each(echo)) as pool:
        assert len(run(pool, 4)) == 4
