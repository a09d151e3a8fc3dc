"""Standard streams that are closed, or that nobody reads any more: what is left of the exit code."""

import errno
import json
import os
import signal
import subprocess
import sys

import pytest
from command_cases import PRIDE, SMALL

from evolve.commands import cli, run_commands
from evolve.commands.running import Ended


def ended_by(action, monkeypatch):
    """Run `pride list` with another action instead; give its exit code."""
    monkeypatch.setattr(run_commands, "list_runs", lambda folder: action())
    with pytest.raises(SystemExit) as stop:
        cli.main(["list"])
    return stop.value.code


def raises(error):
    raise error


@pytest.mark.parametrize("code", [1, 3, 77])
def test_a_command_that_exits_keeps_its_code(monkeypatch, code):
    assert ended_by(lambda: sys.exit(code), monkeypatch) == code


def test_a_pipe_that_is_not_stdout_is_a_failure(monkeypatch, capfd):
    assert ended_by(lambda: raises(BrokenPipeError(errno.EPIPE, "a socket of a cluster")), monkeypatch) == 1
    assert "a socket of a cluster" in capfd.readouterr().err


def call(commands, redirection, *arguments, stderr=subprocess.PIPE):
    """Run a command in a shell, with what comes after it in a shell's words; give its exit code and its stderr."""
    line = f'"$@" {redirection}; exit ${{PIPESTATUS[0]}}'
    command = ["bash", "-c", line, "bash", *PRIDE, *arguments]
    done = subprocess.run(command, env=commands.variables(), stdout=subprocess.PIPE, stderr=stderr, text=True)
    return done.returncode, done.stderr or ""


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&-", "| true"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "sgd"],
        *(pytest.param(each, marks=pytest.mark.slow) for each in (["tasks"], ["--help"], ["list", "--help"])),
    ],
    ids=" ".join,
)
def test_streams_that_are_closed_are_no_failure(commands, redirection, arguments):
    assert call(commands, redirection, *arguments) == (0, "")


def test_a_wrong_command_says_so_even_if_stdout_is_closed(commands):
    code, told = call(commands, ">&-", "show", "lino")
    assert code == 4
    assert "did you mean 'lion'" in told


def test_a_wrong_command_keeps_its_code_if_nobody_reads_why(commands):
    assert call(commands, "2>&1 | true", "show", "lino")[0] == 4
    assert call(commands, "2>&1 | true", "list", "--jsn")[0] == 2


@pytest.mark.slow
@pytest.mark.parametrize("redirection", [">&-", "| head -1", "2>&1 | head -1"])
def test_a_finished_search_ends_well_if_nobody_reads_what_it_found(commands, redirection):
    code, told = call(commands, redirection, "search", "smoke", "--name", "x", *SMALL, "--pool", "serial")
    assert code == 0
    assert "bug" not in told
    assert '"state": "done"' in commands.run("status", "x", "--json").stdout


def test_a_replay_that_fails_keeps_its_code_if_nobody_reads_its_lines(commands, tmp_path):
    assert commands.ended("simplify", "lion_raw", "--rules", "-o", str(tmp_path / "lion.json")) == 0
    derivation = json.loads((tmp_path / "lion.json").read_text())
    step = derivation["steps"][-2]
    step["program"] = step["program"].replace("0.9", "0.7")
    (tmp_path / "wrong.json").write_text(json.dumps(derivation))
    code, told = call(commands, "| true", "simplify", "--replay", str(tmp_path / "wrong.json"), "--rules")
    assert code == 4
    assert "do not hold" in told


def test_a_simplification_writes_its_files_if_nobody_reads_its_steps(commands, tmp_path):
    read, write = os.pipe()
    os.close(read)
    arguments = [*PRIDE, "simplify", "lion_raw", "--rules", "-o", str(tmp_path / "lion.opt")]
    done = subprocess.run(arguments, env=commands.variables(), stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "lion.opt").read_text().startswith("# name: lion_raw, simplified\n")


def test_an_interrupted_search_keeps_its_code_if_nobody_reads_what_it_found(commands, monkeypatch):
    example = os.path.join(os.path.dirname(__file__), "..", "runs")
    monkeypatch.setenv("PRIDE_RUNS", example)
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as unread:
        monkeypatch.setattr(sys, "stdout", unread)
        assert run_commands._report_search(Ended("example", "interrupted", signal.SIGINT), False) == 130
