"""The structure of the code itself: imports go one way, and nothing that could execute data is used."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("programs", "tasks", "workers", "evolve")  # each may import the ones before it
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
FILES = [*SOURCES, *sorted((ROOT / "tests").rglob("*.py"))]


def name_of(path):
    return str(path.relative_to(ROOT))


def imported(tree):
    """Return the dotted names of all modules imported anywhere in a file, including inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_go_one_way(path):
    package = path.relative_to(ROOT).parts[0]
    allowed = PACKAGES[: PACKAGES.index(package) + 1]
    for module in imported(ast.parse(path.read_text(encoding="utf-8"))):
        top = module.split(".")[0]
        assert top, f"{module}: imports are absolute"
        assert top not in PACKAGES or top in allowed, f"{package} may not import {module}"
        assert top not in ("tests", "conftest", "pytest", "hypothesis"), f"{module} is for tests"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_data_differ_between_versions_of_python(path):
    assert "pydoc_data" not in {module.split(".")[0] for module in imported(ast.parse(path.read_text("utf-8")))}


ROOMS = {
    "programs": {
        "core": (),
        "algebra": ("core",),
        "understanding": ("core", "algebra"),
        "exports": ("core", "algebra", "understanding"),
        "engines": ("core",),
    },
    "evolve": {
        "errors": (),
        "config": ("errors",),
        "store": ("errors", "config"),
        "scores": ("errors", "config", "store"),
        "search": ("errors", "config", "store", "scores"),
        "simplify": ("errors", "config", "store", "scores"),
        "bench": ("errors", "config", "store", "scores"),
        "commands": ("errors", "config", "store", "scores", "search", "simplify", "bench"),
    },
}
"""The rooms of a package, each with the rooms it may import; files beside the folders are `core` or own rooms."""


def room_of(package, parts):
    """Return the room of a module, given the parts of its name below its package; None for the package itself."""
    rooms = ROOMS[package]
    if parts and parts[0] in rooms:
        return parts[0]
    return "core" if parts and "core" in rooms else None


@pytest.mark.parametrize("package", ROOMS)
def test_rooms_import_one_way(package):
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT / package).with_suffix("").parts
        if parts == ("__init__",):
            continue
        room = room_of(package, parts)
        assert room, f"{name_of(path)} lies in no room; there are {', '.join(ROOMS[package])}"
        for module in imported(ast.parse(path.read_text(encoding="utf-8"))):
            top, *below = module.split(".")
            other = room_of(package, below) if top == package else room
            allowed = (room, None, *ROOMS[package][room])
            assert other in allowed, f"{name_of(path)} imports {module}; {room} may import {', '.join(allowed[2:])}"


def test_no_two_files_differ_by_an_ending():
    stems = sorted({path.stem for path in SOURCES if path.stem != "__init__"})
    endings = ("s", "ing", "er", "ation", "ed")
    close = [(stem, stem + ending) for stem in stems for ending in endings if stem + ending in stems]
    assert close == [], "give files names that nobody takes for each other"


RAY_PRIVATE = re.compile(r"\bray(\.\w+)*\._(?!_)")
RAY_PRIVATE_FILES = ("workers/ray_private.py", "tests/ray_private_cases.py", "tests/test_structure.py")


def private_parts_of_ray(text):
    """Return the private modules and names of Ray that the text of a file names or imports."""
    named = [match[0] for match in RAY_PRIVATE.finditer(text)]
    return [*named, *filter(RAY_PRIVATE.match, imported(ast.parse(text)))]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_private_parts_of_ray_are_used_in_one_file(path):
    if path.relative_to(ROOT).as_posix() not in RAY_PRIVATE_FILES:
        found = private_parts_of_ray(path.read_text(encoding="utf-8"))
        assert not found, f"{found[0]}: what Ray does not document belongs in workers/ray_private.py, with its bound"


@pytest.mark.parametrize(
    "line",
    [
        "from ray._private import worker",
        "from ray import _raylet",
        "import ray.autoscaler._private.util as util",
        'importlib.import_module("ray._raylet")',
        "ray._private.worker.x = 1",
    ],
)
def test_private_parts_of_ray_are_seen(line):
    assert private_parts_of_ray(line)


def test_every_package_is_looked_at():
    assert {path.relative_to(ROOT).parts[0] for path in SOURCES} == set(PACKAGES)


LIGHT = """
import sys, programs
assert not {"jax", "optax", "tasks", "workers", "evolve"} & set(sys.modules)
p = programs.load("lion")
programs.key(p), programs.fingerprint(p), programs.simplify(p), programs.export_optax(p), programs.check(p)
programs.EDITS, programs.parse(str(p))
assert "jax" not in sys.modules
programs.to_optax(p)
assert "jax" in sys.modules
"""


def test_reading_programs_does_not_import_jax():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_public_name_exists():
    names = "import programs\nfor name in programs.__all__: getattr(programs, name)\n"
    done = subprocess.run([sys.executable, "-c", names], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


BANNED_BUILTINS = {"eval", "exec", "compile", "__import__"}
BANNED_MODULES = {"pickle", "_pickle", "cPickle", "cloudpickle", "marshal", "shelve", "dill", "joblib"}
BANNED_METHODS = {
    "os": {"system", "popen"},
    "yaml": {"unsafe_load", "unsafe_load_all", "full_load", "full_load_all", "load_all", "Loader", "UnsafeLoader"},
    "builtins": BANNED_BUILTINS,
    "jnp": {"load"},
}


def is_true(node):
    return not (isinstance(node, ast.Constant) and node.value is False)


def own_safe_loaders(tree):
    """Return the classes of a file that derive from yaml.SafeLoader."""
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "yaml.SafeLoader" for base in node.bases)
    }


def offences(tree):
    """Yield what could execute data: builtins, modules, and calls of libraries."""
    loaders = own_safe_loaders(tree)
    for module in imported(tree):
        if module.split(".")[0] in BANNED_MODULES:
            yield f"imports {module}"
        owner, _, method = module.rpartition(".")
        if method in BANNED_METHODS.get(owner, ()):
            yield f"imports {module}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in BANNED_BUILTINS:
            yield f"line {node.lineno}: {node.id}"
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            if node.attr in BANNED_METHODS.get(owner, ()):
                yield f"line {node.lineno}: {owner}.{node.attr}"
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        if called == "yaml.load":
            loader = given.get("Loader", node.args[1] if len(node.args) > 1 else None)
            if loader is None or ast.unparse(loader) not in loaders:
                yield f"line {node.lineno}: yaml.load without a loader of our own"
        if "allow_pickle" in given and is_true(given["allow_pickle"]):
            yield f"line {node.lineno}: allow_pickle"
        if "shell" in given and is_true(given["shell"]):
            yield f"line {node.lineno}: shell"
        if None in given and called.startswith("subprocess."):
            yield f"line {node.lineno}: {called} with arguments that cannot be seen here"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_executes_data(path):
    assert list(offences(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "line",
    [
        "eval('1')",
        "run = exec",
        "compile('1', '', 'eval')",
        "__import__('os')",
        "import builtins; builtins.eval('1')",
        "from builtins import exec as run",
        "import pickle",
        "import pickle as harmless",
        "from pickle import loads",
        "from cloudpickle import dumps",
        "import ray.x, marshal",
        "def f():\n    import shelve",
        "import dill.source",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.FullLoader)",
        "yaml.load(text, yaml.SafeLoader)",
        "yaml.unsafe_load(text)",
        "yaml.full_load(text)",
        "from yaml import full_load",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "subprocess.run('ls', shell=True)",
        "subprocess.run('ls', **options)",
        "Popen('ls', shell=1)",
        "os.system('ls')",
        "from os import system",
    ],
)
def test_the_ban_sees(line):
    assert list(offences(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "re.compile('a')",
        "lowered.compile()",
        "np.load(path, allow_pickle=False)",
        "class _Loader(yaml.SafeLoader):\n    pass\nyaml.load(text, Loader=_Loader)",
        "subprocess.run(['ls'], shell=False)",
        "model.eval()",
        "yaml.safe_load(text)",
    ],
)
def test_the_ban_lets_pass(line):
    assert list(offences(ast.parse(line))) == []
