"""What `pride export --to` writes as text and as LaTeX."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from program_cases import SEEDS

import programs
from evolve.commands.export_targets import TARGETS
from evolve.commands.program_commands import export_command
from evolve.commands.references import NamedProgram


def exported(*arguments: str, text: str = "") -> str:
    return CliRunner().invoke(export_command, arguments, input=text, catch_exceptions=False).stdout


@pytest.mark.parametrize("name", SEEDS)
def test_the_text_is_the_program_without_what_is_dead(name):
    text = TARGETS["text"].write(NamedProgram(name, programs.load(name)), "")
    read = programs.parse(text)
    facts = programs.check(read)
    assert programs.key(read) == programs.key(programs.load(name))
    assert all(facts.live)
    assert facts.live_state == read.state
    assert set(read.parameters) == set(read.state) | facts.inputs


def test_the_text_is_headed_by_the_facts():
    head = [line for line in exported("lion_raw", "--to", "text").splitlines() if line.startswith("#")]
    assert head == [
        "# name: Lion, raw",
        '# source: Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023, https://arxiv.org/abs/2302.06675',
        "# The raw winner of the search, as recalled.",
        f"# key: {programs.key(programs.load('lion_raw'))}",
        "# statements: 12",
        "# state: v; 1 number(s) for each weight",
    ]


def test_a_program_without_a_header_goes_by_its_name():
    text = exported("-", "--to", "text", text="def train(g):\n    update = sign(g)\n    return update\n")
    assert text.startswith("# name: ")
    assert "# state: none; 0 number(s) for each weight\ndef train(g):\n" in text


def test_latex_is_below_comments():
    lines = exported("lion", "--to", "latex").splitlines()
    begin = lines.index(r"\begin{aligned}")
    assert all(line.startswith("% ") for line in lines[:begin])
    assert lines[0] == "% name: Lion"
    assert "\n".join(lines[begin:]) + "\n" == programs.to_latex(programs.load("lion"))


@pytest.mark.parametrize("target", ["text", "latex"])
@pytest.mark.parametrize("end", ["\r", "\x0b", "\x0c", "\x1b", "\x85", "\u2028"])
def test_a_header_cannot_leave_its_comment(target, end):
    text = TARGETS[target].write(NamedProgram("x", programs.load("sgd"), f"name: evil{end}\\input{{secret}}"), "")
    assert end not in text
    marked = [line for line in text.splitlines() if "secret" in line]
    assert [line[0] for line in marked] == ["#" if target == "text" else "%"]


def test_a_file_is_written(tmp_path: Path):
    path = tmp_path / "lion.tex"
    result = CliRunner().invoke(export_command, ["lion", "--to", "latex", "-o", str(path)], catch_exceptions=False)
    assert result.stdout == ""
    assert result.stderr == f"wrote {path}\n"
    assert path.read_text() == exported("lion", "--to", "latex")


def test_the_module_names_its_factory(tmp_path: Path):
    path = tmp_path / "found.py"
    arguments = ["lion", "--to", "optax", "--name", "mine", "-o", str(path)]
    assert CliRunner().invoke(export_command, arguments).stderr == f"wrote {path}: from found import mine\n"
    text = path.read_text()
    head, tail = text.split("Where it comes from:")
    assert "lion, exported by Pride" in tail
    plain = programs.export_optax(programs.load("lion"), "mine")
    assert plain.startswith(head.rstrip())
    assert text.endswith(plain[plain.index("from typing") :])


def test_the_help_lists_every_target():
    text = CliRunner().invoke(export_command, ["--help"]).stdout
    assert all(row.name in text and row.summary in text for row in TARGETS.values())
