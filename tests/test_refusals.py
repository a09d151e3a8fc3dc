"""Runs that cannot be resumed: written by another process, with an edited config, or made by other versions."""

import json
import subprocess
import sys

import fault_cases
import pytest
from fault_cases import CONFIG, InstantPool

from evolve.commands.running import Placement, resume
from evolve.config.files import to_yaml
from evolve.errors import RunConflict
from evolve.store import folders
from evolve.store.run_configs import made_config

SERIAL = Placement("serial", None, None)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return the folder of a run that can be resumed."""
    monkeypatch.setenv("PRIDE_RUNS", str(tmp_path))
    fault_cases.session(tmp_path, "run", CONFIG, InstantPool())
    return tmp_path / "run"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def check_refused(folder, said, problems, overrides=()):
    """Check that the run is refused in these words, and stays as it is."""
    before = contents(folder)
    with pytest.raises(RunConflict, match=said) as refused:
        resume("run", overrides, SERIAL)
    assert refused.value.exit_code == 5
    assert list(refused.value.problems) == problems
    assert contents(folder) == before


EDITED = {
    "population": ({"population": 6}, ["population: 5, now 6"]),
    "mutations": (
        {"mutations": CONFIG.mutations.model_copy(update={"insert": 2.0})},
        ["mutations.insert: 1.0, now 2.0"],
    ),
    "two": ({"population": 6, "start": "sgd"}, ['start: "adamw", now "sgd"', "population: 5, now 6"]),
}


@pytest.mark.parametrize("case", EDITED)
def test_an_edited_config_is_refused_with_what_differs(run, case):
    update, problems = EDITED[case]
    (run / "resolved.yaml").write_text(to_yaml(CONFIG.model_copy(update=update)), encoding="utf-8")
    check_refused(run, "was made with other settings", problems)


def test_another_setting_is_refused_with_what_differs(run):
    check_refused(run, "was made with other settings", ["population: 5, now 6"], ["population=6"])


def test_what_the_run_was_made_with_is_known_whatever_became_of_the_file(run):
    (run / "resolved.yaml").write_text("{", encoding="utf-8")
    with folders.open_to_read(run.parent, "run") as store:
        assert made_config(store) == CONFIG


@pytest.mark.parametrize("name", ["jax", "numpy", "python", "pride"])
def test_other_versions_are_refused_with_what_differs(run, name):
    environment = json.loads((run / "env.json").read_text())
    there = environment[name]
    (run / "env.json").write_text(json.dumps({**environment, name: "0.0.1"}))
    check_refused(run, "was made elsewhere", [f"{name}: 0.0.1 then, {there} now"])


def test_a_second_driver_is_refused_and_the_first_goes_on(run):
    with folders.open_to_write(run.parent, "run") as store:
        check_refused(run, "is being written by process", [])
        store.finish("still writing")
    with folders.open_to_read(run.parent, "run") as store:
        assert store.stop_reason == "still writing"


RACE = """
import sys
from evolve.store import folders
from evolve.errors import UserError
print("ready", flush=True)
sys.stdin.readline()
try:
    with folders.create(sys.argv[1], "run", sys.argv[1], "", {}) as store:
        store.finish("made")
        print("made", flush=True)
except UserError as error:
    print(error.exit_code, flush=True)
"""


@pytest.mark.chaos
def test_of_several_drivers_that_make_a_run_at_once_one_does(tmp_path):
    command = [sys.executable, "-c", RACE, str(tmp_path)]
    for _ in range(2):
        drivers = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
        ]
        for driver in drivers:
            assert driver.stdout
            assert driver.stdout.readline() == "ready\n"
        for driver in drivers:
            assert driver.stdin
            driver.stdin.write("\n")
            driver.stdin.flush()
        told = sorted(driver.communicate()[0].strip() for driver in drivers)
        assert told == ["5", "5", "5", "made"]
        (summary,) = folders.list_runs(tmp_path)
        assert (summary.state, summary.reason) == ("done", "made")
        assert [path.name for path in tmp_path.iterdir()] == ["run"]
        for path in (tmp_path / "run").iterdir():
            path.unlink()
        (tmp_path / "run").rmdir()
