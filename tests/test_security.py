"""What someone else's run must not do to the user who opens it, and what no source does. tests/test_structure.py bans
code that could execute data, tests/test_hostile.py has program texts, tests/test_config.py YAML, tests/test_store.py
databases, tests/test_export.py modules, tests/test_pools.py and tests/test_ray_connection.py clusters.
"""

import ast
import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from cluster_cases import ROOT
from program_cases import first_and_slow

EXAMPLE = ROOT / "runs" / "example"
PACKAGES = ("programs", "tasks", "workers", "evolve")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

PAYLOAD = "import pathlib\npathlib.Path(__file__).with_suffix('.ran').touch()\n"

PROGRAMS = [
    "__import__('os').system('touch ran')",
    "def train(w, g, lr):\n    update = __import__('os').system('touch ran')\n    return update\n",
    "def train(w, g, lr=__import__('os').system('touch ran')):\n    return g\n",
    "@print\ndef train(g):\n    return g\n",
]

CONFIGS = [
    "tasks: !!python/object/apply:os.system ['touch ran']\n",
    "tasks: &a [&b [digits_tiny], *b, *b]\nbudget: *a\n",
    "tasks: [digits_tiny]\nbudget: {candidates: 1}\n__class__: 1\n",
]

WATCHED = """
import json, os, sys

FORBIDDEN = ("subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "socket.", "pickle.",
             "ctypes.dlopen", "sqlite3.enable_load_extension", "sqlite3.load_extension", "shutil.", "os.remove",
             "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.truncate", "webbrowser.")

folder, commands = sys.argv[1], json.loads(sys.argv[2])
watching, seen = False, []

def watch(event, arguments):
    if not watching:
        return
    if event.startswith(FORBIDDEN):
        seen.append([event, repr(arguments)])
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        seen.append([event, repr(arguments)])

sys.addaudithook(watch)
import evolve.commands.cli

def run(command):
    try:
        evolve.commands.cli.main(command)
    except SystemExit as end:
        return end.code

for command in (["show", "lion"], ["list"], ["simplify", "lion", "--rules"], ["export", "lion", "--to", "optax"]):
    run(command)  # so that what follows imports little
watching = True
codes = [run(command) for command in commands]
watching = False
loaded = [name for name, module in sys.modules.items() if str(getattr(module, "__file__", "")).startswith(folder)]
print(json.dumps({"seen": seen, "codes": codes, "loaded": loaded}), file=sys.stderr)
"""


@pytest.fixture
def foreign(tmp_path):
    """Make a run from someone else: the example, with modules beside it that Python might import instead of its own."""
    shutil.copytree(EXAMPLE, tmp_path / "runs" / "example")
    folder = tmp_path / "runs" / "example"
    for name in ("sitecustomize", "usercustomize", "yaml", "json", "programs", "conftest", "__init__", "presets"):
        (folder / f"{name}.py").write_text(PAYLOAD)
        (folder.parent / f"{name}.py").write_text(PAYLOAD)
    return folder


def alter(folder, statement, *arguments):
    with closing(sqlite3.connect(folder / "run.db")) as database:
        database.execute(statement, arguments)
        database.commit()


def opened(folder, commands):
    """Run commands in one process, in the folder of the run; return what it did and what it printed."""
    script = folder.parents[1] / "watched.py"
    script.write_text(WATCHED)
    environment = {"PRIDE_RUNS": str(folder.parent), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-B", script, str(folder.parents[1] / "runs"), json.dumps(commands)]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    *said, report = done.stderr.split("\n")[:-1]
    return json.loads(report), "\n".join([done.stdout, *said])


COMMANDS = [
    ["list"],
    ["status", "example"],
    ["top", "example"],
    ["dump", "example"],
    ["show", "example:0"],
    ["show", "example:best"],
    ["simplify", "example:0", "--rules"],
    ["export", "example:0", "--to", "optax"],
]


def test_opening_a_foreign_run_executes_nothing_and_writes_nothing(foreign):
    before = {path: path.read_bytes() for path in foreign.parent.rglob("*") if path.is_file()}
    did, _ = opened(foreign, COMMANDS)
    assert did == {"seen": [], "codes": [0] * len(COMMANDS), "loaded": []}
    assert {path: path.read_bytes() for path in foreign.parent.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("program", first_and_slow(PROGRAMS, 1))
def test_programs_of_a_foreign_run_are_refused_and_never_executed(foreign, program):
    alter(foreign, "UPDATE outcomes SET program = ?", program)
    did, _ = opened(foreign, COMMANDS[4:])
    assert did == {"seen": [], "codes": [4] * 4, "loaded": []}
    assert list(foreign.parents[1].rglob("*ran")) == []


@pytest.mark.parametrize("config", first_and_slow(CONFIGS, 1))
def test_the_config_of_a_foreign_run_is_refused_and_never_executed(foreign, config):
    (foreign / "resolved.yaml").write_text(config)
    did, _ = opened(foreign, COMMANDS[1:3])
    assert did == {"seen": [], "codes": [4] * 2, "loaded": []}
    assert list(foreign.parents[1].rglob("*ran")) == []


@pytest.mark.slow
def test_a_foreign_run_cannot_write_control_characters_to_the_terminal(foreign):
    alter(foreign, "INSERT OR REPLACE INTO meta VALUES ('stop_reason', ?)", "\x1b]0;owned\x07\x9b2J done")
    alter(foreign, "UPDATE meta SET value = ? WHERE name = 'device'", "cpu\x1b[2J")
    _, printed = opened(foreign, COMMANDS[:4])
    assert "done" in printed
    assert unprintable(printed) == []
    alter(foreign, "UPDATE outcomes SET status = ?", "\x1b]0;owned\x07")
    did, printed = opened(foreign, [["dump", "example"]])
    assert did["codes"] == [4]
    assert "owned" in printed
    assert unprintable(printed) == []


def unprintable(text):
    return [character for character in text if not character.isprintable() and character != "\n"]


def test_no_source_unpacks_an_archive_or_a_file_of_arrays():
    """Data that expands needs a limit: our own cache lies in a private folder, and our own text has a known length."""
    unpacking = {"zipfile", "tarfile", "gzip", "bz2", "lzma", "zlib", "zstandard", "compression"}
    readers = {"load", "loadtxt", "genfromtxt", "fromfile", "memmap", "unpack_archive"}
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found |= {(path.name, module) for module in modules if module.split(".")[0] in unpacking}
            if isinstance(node, ast.Attribute) and node.attr in readers:
                owner = ast.unparse(node.value)
                found |= {(path.name, f"{owner}.{node.attr}")} if owner in ("np", "numpy", "jnp", "shutil") else set()
    assert found == {("compile_cache.py", "zlib"), ("text.py", "zlib")}
