"""The command ``pride``: what it prints, its JSON and its exit codes."""

import ast
import importlib.metadata
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

import programs
from evolve.commands.cli import cli, main

BAD = "def train(w, g, lr):\n    update = sqare(g)\n    return update\n"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of runs with one small finished search in it, called ``small``."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRIDE_RUNS", str(folder))
        overrides = ["--set", "budget.candidates=12", "--set", "rng_seeds=1", "--set", "fresh_rng_seeds=2"]
        assert ended(["search", "smoke", "--name", "small", "--pool", "serial", *overrides]) == 0
    return folder


@pytest.fixture
def runs(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRIDE_RUNS", str(finished))
    return finished


def ended(arguments: list[str]) -> int:
    """Run a command and return its exit code."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return int(stop.value.code or 0)


def printed(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    """Run a command that succeeds and return what it printed on stdout."""
    capsys.readouterr()
    assert ended(arguments) == code
    return capsys.readouterr().out


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run a command that fails; return its exit code and its message, on stderr and without a traceback."""
    capsys.readouterr()
    code = ended(arguments)
    output = capsys.readouterr()
    assert output.out == ""
    assert "Traceback" not in output.err
    return code, output.err


def document(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command with ``--json`` and parse its one document, rejecting NaN tokens."""

    def refuse(token: str) -> None:
        raise AssertionError(f"{token} is not JSON")

    return json.loads(printed([*arguments, "--json"], capsys), parse_constant=refuse)


READ_COMMANDS = [
    ["list"],
    ["status", "small"],
    ["top", "small"],
    ["top", "small", "--pareto"],
    ["show", "lion"],
    ["show", "small:best"],
    ["show", "small:0"],
    ["tasks"],
    ["functions"],
    ["simplify", "adamw", "--rules"],
    ["evaluate", "sgd", "--tasks", "digits_tiny", "--rng-seeds", "2"],
]


@pytest.mark.parametrize("arguments", READ_COMMANDS, ids=" ".join)
def test_read_commands_print_for_people_and_as_json(
    arguments: list[str], runs: Path, capsys: pytest.CaptureFixture[str]
):
    assert printed(arguments, capsys).strip()
    assert document(arguments, capsys)


def test_search_ends_with_one_document(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch):
    monkeypatch.setenv("PRIDE_RUNS", str(tmp_path))
    overrides = ["--set", "budget.candidates=3", "--set", "finalists=1", "--set", "rng_seeds=1"]
    found = document(["search", "smoke", "--name", "tiny", "--pool", "serial", *overrides], capsys)
    assert isinstance(found, dict)
    assert {"run", "best", "counts", "reason"} <= found.keys()
    assert found["run"] == "tiny"
    assert found["reason"] == "3 candidates were put forward"
    assert found["best"].keys() >= {"id", "program", "score"}
    assert programs.parse(found["best"]["program"])
    assert found["counts"]["generated"] == 3


def test_status_tells_state_and_counts(runs: Path, capsys: pytest.CaptureFixture[str]):
    found = document(["status", "small"], capsys)
    assert isinstance(found, dict)
    assert found["state"] == "done"
    assert found["counts"]["generated"] == 12
    assert found["counts"]["trained"] + found["counts"]["known"] == 12
    assert [entry["name"] for entry in found["finalists"]]
    assert {entry["name"] for entry in found["comparison"]} >= {"adamw", "lion", "sgd", "momentum"}


def test_top_is_sorted_and_cut(runs: Path, capsys: pytest.CaptureFixture[str]):
    found = document(["top", "small", "-n", "3"], capsys)
    assert isinstance(found, list)
    assert len(found) == 3
    scores = [entry["search_score"] for entry in found]
    assert scores == sorted(scores, reverse=True)


def test_dump_is_canonical_lines(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    text = printed(["dump", "small"], capsys)
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["index"] for line in lines] == list(range(12))
    assert all({"program", "parents", "mutation", "status", "score"} <= line.keys() for line in lines)
    assert all(float.fromhex(line["score"]) >= 0.0 for line in lines)
    assert ended(["dump", "small", "-o", str(tmp_path / "dump.jsonl")]) == 0
    assert (tmp_path / "dump.jsonl").read_text() == text


def test_resume_of_a_done_run_with_a_larger_budget_goes_on(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PRIDE_RUNS", str(tmp_path))
    common = ["--pool", "serial", "--set", "finalists=1", "--set", "rng_seeds=1", "--set", "fresh_rng_seeds=1"]
    assert ended(["search", "smoke", "--name", "short", *common, "--set", "budget.candidates=4"]) == 0
    assert ended(["search", "smoke", "--name", "long", *common, "--set", "budget.candidates=9"]) == 0
    assert ended(["resume", "short", "--pool", "serial", "--set", "budget.candidates=9"]) == 0
    assert printed(["dump", "short"], capsys) == printed(["dump", "long"], capsys)
    before = {path.name: path.read_bytes() for path in (tmp_path / "short").iterdir()}
    code, sentence = refused(["resume", "short", "--pool", "serial", "--set", "population=99"], capsys)
    assert code == 5
    assert {path.name: path.read_bytes() for path in (tmp_path / "short").iterdir()} == before
    assert "population" in sentence
    assert "99" in sentence


def test_export_writes_a_module(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "found.py"
    assert ended(["export", "small:best", "--to", "optax", "--name", "found", "-o", str(path)]) == 0
    assert path.read_text() == printed(["export", "small:best", "--to", "optax", "--name", "found"], capsys)
    assert "def found(" in path.read_text()


@pytest.mark.parametrize("target", ["optax", "torch", "keras"])
def test_an_exported_module_tells_where_the_program_comes_from(
    runs: Path, target: str, capsys: pytest.CaptureFixture[str]
):
    status = document(["status", "small"], capsys)
    champion = next(row for row in status["comparison"] if row["name"] == f"small:{status['best']['id']}")
    told = ast.get_docstring(ast.parse(printed(["export", "small:best", "--to", target], capsys))) or ""
    version = importlib.metadata.version("pride")
    assert f"    {champion['name']}, exported by Pride {version}\n" in told
    assert f" candidates by Pride {version}, on digits_tiny\n" in told
    assert f"    score in the search {champion['search_score']:.4f} (" in told
    assert re.search(rf"score on \d+ fresh rng seeds, used for no choice, {champion['fresh_score']:.4f}\n", told)
    finalists = {row["name"] for row in status["finalists"]} | {champion["name"]}
    other = next(f"small:{number}" for number in range(12) if f"small:{number}" not in finalists)
    told = printed(["export", other, "--to", target], capsys)
    assert f"    {other}, exported by" in told
    assert "fresh rng seeds" not in told
    wrapped = printed(["export", "lookahead:small:best", "--to", target], capsys)
    assert "score in the search" not in wrapped
    assert "    source: Zhang et al." in wrapped


def test_names_and_headers_of_any_text_are_escaped_in_an_exported_module(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / '""" + print(1) + """\\.opt'
    path.write_text(f'# """\\N{{x}} \x1b[31m é\n{programs.load("lion")}', encoding="utf-8")
    text = printed(["export", str(path), "--to", "optax"], capsys)
    told = ast.get_docstring(ast.parse(text), clean=False) or ""
    assert f"    {path.name}, exported by Pride" in told
    assert '    """\\N{x} \\x1b[31m é\n' in told
    assert text.isascii()


def test_simplify_writes_a_program_that_can_be_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    bloated = tmp_path / "bloated.opt"
    bloated.write_text("def train(g, lr):\n    x = g * 1.0\n    y = cos(x)\n    update = x * lr\n    return update\n")
    simple = tmp_path / "simple.opt"
    text = printed(["simplify", str(bloated), "-o", str(simple), "--rules"], capsys)
    assert "1 dead statement" in text
    assert "x * 1.0 -> x" in text
    assert programs.load(simple) == programs.parse("def train(g, lr):\n    update = g * lr\n    return update\n")


def test_programs_come_from_stdin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(programs.source_text("lion").encode())))
    found = document(["show", "-"], capsys)
    assert isinstance(found, dict)
    assert found["live_state"] == ["m"]
    assert found["key"] == programs.key(programs.load("lion"))


WRONG = {
    "unknown command": (["serch"], 2, "did you mean 'search'"),
    "unknown option": (["list", "--jsn"], 2, "--jsn"),
    "unknown preset": (["search", "smok"], 2, "smoke"),
    "unknown setting": (["search", "smoke", "--set", "populaton=3"], 2, "population"),
    "wrong type": (["search", "smoke", "--set", "population=many"], 2, "population"),
    "not a number": (["search", "smoke", "--set", "budget.seconds=.nan"], 2, "budget.seconds"),
    "unknown task": (["search", "smoke", "--set", "tasks=digit_tiny"], 2, "digits_tiny"),
    "start program above the limit": (["search", "smoke", "--set", "limits.statements=5"], 2, "at least 17"),
    "start program with more state": (["search", "smoke", "--set", "limits.state=1"], 2, "at least 2"),
    "nothing at the address": (["search", "smoke", "--name", "x", "--address", "127.0.0.1:1"], 2, "127.0.0.1:1"),
    "serial with workers": (["search", "smoke", "--pool", "serial", "--workers", "2"], 2, "--pool ray"),
    "wrong run name": (["search", "smoke", "--name", "../x"], 2, "letters"),
    "existing run": (["search", "smoke", "--name", "small", "--pool", "serial"], 5, "pride resume small"),
    "missing run": (["status", "smal"], 2, "small"),
    "missing run to resume": (["resume", "nothing-like-it"], 2, "pride list"),
    "missing candidate": (["show", "small:999"], 2, "999"),
    "not a candidate": (["show", "small:first"], 2, "small:best"),
    "unknown program": (["show", "lino"], 4, "did you mean 'lion'"),
    "missing file": (["show", "no/such.opt"], 4, "no/such.opt"),
    "unknown suite": (["evaluate", "sgd", "--tasks", "frist"], 2, "first"),
    "unknown target": (["export", "lion", "--to", "caffe"], 2, "optax"),
    "bad factory name": (["export", "lion", "--to", "optax", "--name", "1x"], 4, "1x"),
    "unknown command that is like none": (
        ["plot"],
        2,
        "there are bench, doctor, dump, evaluate",
    ),
    "too many rng seeds": (["evaluate", "sgd", "--tasks", "smoke", "--rng-seeds", "1001"], 2, "1<=x<=1000"),
    "unwritable file": (["export", "lion", "--to", "optax", "-o", "/nowhere/x.py"], 2, "/nowhere/x.py"),
}


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case)
def test_wrong_input_gets_a_sentence_and_its_exit_code(case: str, runs: Path, capsys: pytest.CaptureFixture[str]):
    arguments, code, expected = WRONG[case]
    found, sentence = refused(arguments, capsys)
    assert found == code
    assert expected in sentence


PROGRAM_COMMANDS = [["show"], ["simplify"], ["export", "--to", "optax"], ["evaluate", "--tasks", "smoke"]]


@pytest.mark.parametrize("command", PROGRAM_COMMANDS, ids=" ".join)
def test_a_bad_program_is_shown_with_line_and_caret(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "bad.opt"
    path.write_text(BAD)
    code, sentence = refused([*command, str(path)], capsys)
    assert code == 4
    assert "line 2, column 14" in sentence
    assert "did you mean 'square'" in sentence
    assert re.search(r"\n +update = sqare\(g\)\n +\^", sentence)


def test_all_errors_of_a_config_come_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "mine.yaml"
    path.write_text("tasks: smoke\npopulatoin: 5\ntournament: 0\nbudget: {candidates: ten}\nrng_seed: 1\nrng_seed: 2\n")
    code, sentence = refused(["search", str(path)], capsys)
    assert code == 2
    for expected in ("populatoin", "population", "tournament", "budget.candidates", "rng_seed", "line 6"):
        assert expected in sentence


def test_nothing_is_left_of_a_refused_search(runs: Path, capsys: pytest.CaptureFixture[str]):
    before = sorted(entry.name for entry in runs.iterdir())
    refused(["search", "smoke", "--name", "other", "--set", "population=1"], capsys)
    assert sorted(entry.name for entry in runs.iterdir()) == before


@pytest.mark.parametrize("arguments", [["functions"], ["show", "adamw"], ["functions", "--json"]], ids=" ".join)
def test_a_reader_that_has_gone_is_no_failure(arguments: list[str]):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", "from evolve.commands.cli import main; main()", *arguments]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_is_said(tmp_path: Path):
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-c", "from evolve.commands.cli import main; main()", "functions"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 3
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_encoding_without_special_characters_is_enough():
    command = [sys.executable, "-c", "from evolve.commands.cli import main; main()", "top", "example", "-n", "1"]
    folder = Path(__file__).parents[1] / "runs"
    changed = {"PYTHONIOENCODING": "ascii", "PRIDE_RUNS": str(folder)}
    done = subprocess.run(command, env=os.environ | changed, capture_output=True, text=True)
    assert done.returncode == 0
    assert "0.2138 ? 0.0464" in done.stdout


def test_the_example_run_can_be_looked_into_and_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    folder = Path(__file__).parents[1] / "runs"
    before = {path.name: path.read_bytes() for path in (folder / "example").iterdir()}
    monkeypatch.setenv("PRIDE_RUNS", str(folder))
    assert "beside known optimizers" in printed(["status", "example"], capsys)
    assert len(printed(["dump", "example"], capsys).splitlines()) == 40
    assert {path.name: path.read_bytes() for path in (folder / "example").iterdir()} == before


def test_scores_to_reuse_must_be_those_of_a_run(runs: Path, capsys: pytest.CaptureFixture[str]):
    code, told = refused(["search", "smoke", "--name", "new", "--pool", "serial", "--reuse", "smal"], capsys)
    assert code == 2
    assert "there is no run smal" in told
    assert "did you mean 'small'?" in told
    assert not (runs / "new").exists()


def test_scores_of_a_run_are_reused(runs: Path, capsys: pytest.CaptureFixture[str]):
    overrides = ["--set", "budget.candidates=12", "--set", "rng_seeds=1", "--set", "fresh_rng_seeds=2"]
    capsys.readouterr()
    assert ended(["search", "smoke", "--name", "again", "--pool", "serial", "--reuse", "small", *overrides]) == 0
    assert "score(s) came from small" in capsys.readouterr().err
    assert printed(["dump", "again"], capsys) == printed(["dump", "small"], capsys)
    shutil.rmtree(runs / "again")


def test_the_help_names_every_command_with_a_whole_sentence(capsys: pytest.CaptureFixture[str], monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = printed(["--help"], capsys).partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines] == cli.list_commands(click.Context(cli))
    assert all(line.endswith(".") and not line.endswith("...") for line in lines)


@pytest.mark.parametrize("command", cli.list_commands(click.Context(cli)))
def test_every_option_says_what_it_does(command: str):
    found = cli.get_command(click.Context(cli), command)
    assert found is not None
    assert found.help
    for option in found.params:
        assert isinstance(option, click.Argument) or option.help, f"{command} {option.opts[0]}"
