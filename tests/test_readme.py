"""Every block of the pages runs, and prints what the page says."""

import doctest
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner
from parity_table import described
from parity_training import CASES

import programs
import tasks
from evolve.commands.cli import cli
from evolve.commands.export_targets import TARGETS
from evolve.commands.program_commands import functions_command
from evolve.config.files import load_config, presets
from evolve.config.settings import MUTATIONS
from evolve.config.table import config_reference

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "evolve/README.md", "programs/README.md", "tasks/README.md", "workers/README.md")
"""The pages in the order in which they are read: later ones use runs and files of earlier ones."""

TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}
BLOCKS = {page: re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) for page, text in TEXTS.items()}
YAML = [block for blocks in BLOCKS.values() for language, block in blocks if language == "yaml"]


def commands(block: str) -> Iterator[tuple[str, str]]:
    """Yield the commands of a console block, each with what it prints."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def matches(expected: str, got: str) -> bool:
    """Return whether an output is the page's: ``...`` matches anything, all numbers are equal, spaces do not count."""
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(masked(expected), masked(got), options)


def masked(output: str) -> str:
    """Replace the numbers, which may differ on another processor."""
    return re.sub(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?", "#", output)


def test_every_block_is_of_a_kind_that_is_tested():
    blocks = [block for own in BLOCKS.values() for block in own]
    assert {language for language, _ in blocks} == {"sh", "text", "console", "yaml", "python"}
    assert [block for language, block in blocks if language == "sh"] == ["make search\n", "make test\n"]


def test_the_first_page_is_short():
    assert len(TEXTS["README.md"].splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str):
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXTS[page]):
        assert (ROOT / page).parent.joinpath(target).exists(), f"{page} links to {target}"


@pytest.mark.slow
def test_commands_print_what_the_pages_say(tmp_path: Path):
    environment = os.environ | {
        "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}",
        "PRIDE_RUNS": str(tmp_path / "runs"),
    }
    for page, (language, block) in [(page, block) for page, blocks in BLOCKS.items() for block in blocks]:
        if language == "console":
            for command, expected in commands(block):
                done = subprocess.run(
                    ["bash", "-c", f"{{ {command}\n}} 2>&1"],
                    cwd=tmp_path,
                    env=environment,
                    capture_output=True,
                    text=True,
                )
                assert matches(expected, done.stdout), f"{page}: $ {command}\n{done.stdout}"
                assert "Traceback" not in done.stdout
        elif language == "python":
            (tmp_path / "block.py").write_text(block)
            subprocess.run([sys.executable, "block.py"], cwd=tmp_path, env=environment, check=True)


def test_the_settings_are_those_of_the_code():
    assert config_reference() in TEXTS["evolve/README.md"], "python -m evolve.config.table prints the table anew"


def test_the_functions_are_those_of_the_language():
    """The whole table, including the numbers, which the test of the commands masks."""
    printed = CliRunner().invoke(functions_command).stdout
    lines = "".join(f"{line.rstrip()}\n" for line in printed.splitlines())
    assert f"$ pride functions\n{lines}```" in TEXTS["programs/README.md"]


PLACES = {
    "command": (cli.list_commands(click.Context(cli)), "evolve/README.md", "| `pride {}"),
    "task": (tasks.TASKS, "tasks/README.md", "\n{} "),
    "suite": (tasks.SUITES, "tasks/README.md", "\n{} "),
    "mutation": (MUTATIONS, "evolve/README.md", "`mutations.{}`"),
    "export target": (TARGETS, "programs/README.md", "--to {}"),
    "transformation": (programs.TRANSFORMATIONS, "programs/README.md", "`{}`"),
    "preset": (presets(), "evolve/README.md", "`{}`"),
}
"""What users may name: all names, the pages of which one must show each name, and how it is written there."""


@pytest.mark.parametrize("kind", PLACES)
def test_whatever_can_be_named_is_on_a_page(kind: str):
    names, pages, written = PLACES[kind]
    text = "".join(TEXTS[page] for page in pages.split())
    for name in names:
        assert written.format(name) in text, f"the {kind} {name} is on no page; show it in {pages.split()[-1]}"


def test_the_seed_programs_are_those_of_the_language():
    rows = [
        line.strip("| ").split(" | ") for line in TEXTS["programs/README.md"].splitlines() if line.startswith("| `")
    ]
    assert [tuple(cells) for *cells, _ in rows] == [described(name) for name in programs.seed_programs()]
    tolerances = [max(case.rtol for case in CASES if case.program == name) for name in programs.seed_programs()]
    assert all(0.0 <= float(error) <= rtol for (*_, error), rtol in zip(rows, tolerances, strict=True))


@pytest.mark.parametrize("block", YAML)
def test_a_yaml_block_is_a_config(tmp_path: Path, block: str):
    path = tmp_path / "mine.yaml"
    path.write_text(block)
    config = load_config(str(path), known_tasks={*tasks.TASKS, *tasks.SUITES}, known_programs=programs.seed_programs())
    said = yaml.safe_load(block)
    plain = {name: value for name, value in said.items() if isinstance(value, int | float | str) and name != "tasks"}
    assert {name: getattr(config, name) for name in plain} == plain


@pytest.mark.slow
def test_make_search_ends_with_an_exported_module(tmp_path: Path):
    """Run `make search` with the small preset, in this environment and a folder of its own."""
    environment = os.environ | {"PRIDE_RUNS": str(tmp_path)}
    done = subprocess.run(
        ["make", "search", f"VENV={sys.prefix}", "PRESET=smoke", "RUN_NAME=made"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "beside known optimizers" in done.stdout
    module = tmp_path / "made" / "found.py"
    assert str(module) in done.stdout + done.stderr
    trained = subprocess.run(
        [sys.executable, "-c", TRAIN], cwd=module.parent, capture_output=True, text=True, check=True
    )
    before, after = map(float, trained.stdout.split())
    assert after < before


TRAIN = """
import jax, jax.numpy as jnp, optax
from found import found
loss = lambda w: jnp.sum((w - 0.5) ** 2)
w, optimizer = jnp.ones((4, 3)), found()
state, before = optimizer.init(w), loss(w)
for _ in range(20):
    updates, state = optimizer.update(jax.grad(loss)(w), state, w)
    w = optax.apply_updates(w, updates)
print(float(before), float(loss(w)))
"""
