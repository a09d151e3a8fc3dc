"""No command executes files of the folder that it is called in."""

import importlib.metadata
import os
import subprocess
import sys

import pytest
from cluster_cases import ROOT

PRIDE = [sys.executable, "-P", "-c", "from evolve.commands.cli import main; main()"]  # as the command `pride` starts
OURS = ("programs", "tasks", "workers", "evolve")
NAMES = {*OURS, *sys.stdlib_module_names, *importlib.metadata.packages_distributions(), "sitecustomize"}
SMALL = ["smoke", "--set", "budget.candidates=3", "--set", "rng_seeds=1", "--set", "finalists=1"]
SMALL += ["--set", "fresh_rng_seeds=1", "--set", "compare=[sgd]"]


@pytest.fixture
def hostile(tmp_path):
    """Return a folder with a file for every module that can be imported; each leaves a trace if it is executed."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name in filter(str.isidentifier, NAMES):
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'a').write({name!r} + '\\n')\n")
    return folder


def call(folder, *command):
    """Run a command in the folder; return its exit code and its output, and check that it executed no file there."""
    variables = {"PYTHONPATH": str(ROOT), "PRIDE_RUNS": str(folder.parent / "runs"), "PRIDE_CACHE": "off"}
    done = subprocess.run(command, cwd=folder, env=os.environ | variables, capture_output=True, text=True)
    executed = folder.parent / "executed"
    assert not executed.exists(), f"{executed.read_text()}\n{done.stdout}\n{done.stderr}"
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "lion"],
        ["export", "lion", "--to", "optax"],
        ["list"],
        pytest.param(["evaluate", "sgd", "--tasks", "digits_tiny", "--rng-seeds", "1"], marks=pytest.mark.slow),
        pytest.param(["search", *SMALL, "--pool", "serial"], marks=pytest.mark.slow),
        pytest.param(["simplify", "lion", "--rules"], marks=pytest.mark.slow),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_in_a_hostile_folder_executes_nothing_there(hostile, arguments):
    code, told = call(hostile, *PRIDE, *arguments)
    assert code == 0, told


def test_the_doctors_processes_in_a_hostile_folder_execute_nothing_there(hostile):
    ask = "from evolve.commands import doctor; print(doctor.check_devices())"
    assert "JAX computes on the cpu" in call(hostile, sys.executable, "-P", "-c", ask)[1]


@pytest.mark.slow
def test_the_doctor_in_a_hostile_folder_executes_nothing_there(hostile):
    told = call(hostile, *PRIDE, "doctor")[1]
    assert "starts on 127.0.0.1, asks for a token: yes" in told


@pytest.mark.slow
def test_a_search_on_ray_in_a_hostile_folder_executes_nothing_there(hostile):
    code, told = call(hostile, *PRIDE, "search", *SMALL, "--workers", "1")
    assert code == 0, told


@pytest.mark.slow
def test_below_uv_run_the_current_folder_does_not_travel_to_the_workers(hostile):
    """Ray looks for an ancestor process called `uv run`; here it is a shell called `uv` with the script `run`."""
    command = '"$PYTHON" -P -c "from evolve.commands.cli import main; main()" search "$@" --workers 1\nexit $?\n'
    (hostile / "run").write_text(command)
    settings = {"PYTHONPATH": str(ROOT), "PRIDE_RUNS": str(hostile.parent / "runs"), "PRIDE_CACHE": "off"}
    done = subprocess.run(
        ["uv", "run", *SMALL],
        executable="/bin/bash",
        cwd=hostile,
        env=os.environ | settings | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )
    assert not (hostile.parent / "executed").exists()
    assert done.returncode == 0, done.stderr
