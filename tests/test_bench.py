"""The command ``pride bench``: its rows, what it rejects, and which packages it does not need."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from evolve.bench import benches
from evolve.bench.benches import BENCHES, Device, Row
from evolve.commands.cli import main

ROOT = Path(__file__).parents[1]

WITHOUT = """
import sys
for name in ("ray", "pydantic", "pydantic_core"):
    sys.modules[name] = None  # so that importing it fails
from importlib import metadata
found = metadata.distribution
def distribution(name):
    if name.lower() == "pride":
        raise metadata.PackageNotFoundError(name)
    return found(name)
metadata.distribution = distribution
from evolve.commands.cli import main
main(sys.argv[1:])
"""


def ended(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return int(stop.value.code or 0)


def run_without(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT, "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_command_starts_without_ray_pydantic_and_an_installed_pride():
    done = run_without("irs")
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean 'iris'" in done.stderr


@pytest.mark.slow
def test_rows_as_json_without_ray_pydantic_and_an_installed_pride():
    """The one real run of the smallest bench, too: the fastest task, with each contender timed once."""
    done = run_without("iris", "--device", "cpu", "--repetitions", "1", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["name"] for row in rows] == ["iris/compiler", "iris/whole_loop", "iris/floor", "iris/from_text"]
    for row in rows:
        assert list(row) == ["name", "value", "unit", "baseline", "ratio"]
        assert row["value"] > 0
        assert math.isclose(row["ratio"], row["value"] / row["baseline"], rel_tol=1e-6)
    assert rows[0]["ratio"] > 1
    assert "measuring iris (1 of 1)" in done.stderr


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch):
    """Restore the environment that the command sets after the test."""
    monkeypatch.setattr(os, "environ", dict(os.environ))


def test_people_get_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def measure(device: Device) -> Iterator[Row]:
        assert device == Device("cpu", 3)
        yield Row("iris/compiler", 2500.4, "candidates/s", 10.0, 250.04)
        yield Row("iris/never", math.inf, "weights x steps", 5e7, math.inf)

    monkeypatch.setitem(BENCHES, "iris", replace(BENCHES["iris"], measure=measure))
    assert ended(["bench", "iris", "--device", "cpu", "--repetitions", "3"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0][-3:] == ["(medians", "of", "3)"]
    assert lines[1] == ["bench/against", "value", "baseline", "unit", "ratio"]
    assert lines[2] == ["iris/compiler", "2500", "10", "candidates/s", "250"]
    assert lines[3] == ["iris/never", "inf", "50000000", "weights", "x", "steps", "inf"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["irs"], "did you mean 'iris'"),
        (["iris", "nothing_like_it"], "digits_mlp"),
        (["--device", "gpu"], "no gpu here"),
        (["--device", "gup"], "'gup'"),
        (["--repetitions", "0"], "--repetitions"),
    ],
    ids=" ".join,
)
def test_wrong_input_gets_a_sentence(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]):
    assert ended(["bench", *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert expected in output.err
    assert "Traceback" not in output.err


def test_without_a_name_those_that_suit_the_device_are_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for name, row in BENCHES.items():
        monkeypatch.setitem(BENCHES, name, replace(row, measure=lambda device: iter(())))
    assert ended(["bench", "--device", "cpu", "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out) == []
    named = [line.split()[1] for line in output.err.splitlines()]
    assert named == ["digits_mlp", "digits_vit", "iris", "lanes", "break_even"]


def test_the_help_lists_every_bench(capsys: pytest.CaptureFixture[str]):
    assert ended(["bench", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown and bench.summary in shown for name, bench in BENCHES.items())


def test_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]):
    assert ended(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in ("bench", "dump", "evaluate", "search", "show", "tasks"))


@pytest.mark.slow
def test_what_an_accelerator_measures_runs_on_a_cpu_too(monkeypatch: pytest.MonkeyPatch):
    """With lanes side by side, on the smallest task and with few candidates."""
    monkeypatch.setitem(benches._COUNTS["gpu"], "iris", benches._Counts(16, 1))
    monkeypatch.setitem(benches._POPULATIONS, "gpu", (1, 16))
    monkeypatch.setitem(benches._LANES, "gpu", {"iris": (4, 16)})
    device = Device("gpu", 1)
    measures = [benches._engines("iris", from_text=True), benches._populations("iris"), benches._lanes]
    rows = [row for measure in measures for row in measure(device)]
    assert [row.name for row in rows] == [
        *("iris/compiler", "iris/whole_loop", "iris/floor", "iris/from_text"),
        *("iris_populations/1/one", "iris_populations/1/floor", "iris_populations/16/one", "iris_populations/16/floor"),
        "lanes/iris",
    ]
    assert all(row.value > 0 and row.ratio > 0 for row in rows)
