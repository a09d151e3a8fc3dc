"""The files that commands write: none that is not Pride's is lost, and what is written can be imported."""

import json
from pathlib import Path

import pytest

from evolve.commands import cli

BLOATED = "def train(g, lr):\n    x = g * 1.0\n    update = x * lr\n    return update\n"
IGNORES = "def train(w, g):\n    update = g * 0.1\n    return update\n"

EXPORTS = {
    target: ["export", "lion", "--to", target, "-o", f"found.{ending}"]
    for target, ending in {"optax": "py", "torch": "py", "keras": "py", "latex": "tex", "text": "opt"}.items()
}
DERIVED = ("opt", "txt", "html", "json")
DERIVATIONS = {
    ending: ["simplify", "bloated.opt", "--rules", "-o", f"out.{ending}"] for ending in ("opt", "txt", "html")
}
DERIVATIONS["json"] = ["simplify", "bloated.opt", "--rules", "-o", "out.json"]
WRITERS = EXPORTS | DERIVATIONS | {"dump": ["dump", "example", "-o", "dump.jsonl"]}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work in an empty folder, with the example among the runs."""
    monkeypatch.setenv("PRIDE_RUNS", str(Path(__file__).parents[1] / "runs"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bloated.opt").write_text(BLOATED)
    return tmp_path


@pytest.fixture
def run(folder, capsys):
    def run(*arguments):
        """Run a command; give its exit code and what it said on stderr."""
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        return int(stop.value.code or 0), capsys.readouterr().err

    return run


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_of_somebody_elses_is_kept(writer, folder, run):
    path = folder / WRITERS[writer][-1]
    path.write_text("my own work\n")
    code, told = run(*WRITERS[writer])
    assert code == 2
    assert f"cannot write {path.name}: it exists, and Pride did not write it" in told
    assert path.read_text() == "my own work\n"
    assert run(*WRITERS[writer], "--force")[0] == 0
    assert path.read_text() != "my own work\n"


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_of_prides_is_written_again(writer, folder, run):
    path = folder / WRITERS[writer][-1]
    path.touch()  # as mktemp does
    assert run(*WRITERS[writer])[0] == 0
    first = path.read_text()
    assert run(*WRITERS[writer])[0] == 0
    assert path.read_text() == first != ""


@pytest.mark.parametrize(
    "text",
    [
        "# An optimizer exported by Pride\n",
        "# name: mine\n# key: none\n" + BLOATED,
        '"""A text about an optimizer found by Pride, as an Optax transformation."""\n',
        '{\n  "name": "x"\n}\n',
        "\x00\x01",
        BLOATED,
    ],
)
def test_what_only_speaks_of_pride_is_somebody_elses(text, folder, run):
    (folder / "found.py").write_text(text)
    assert run(*EXPORTS["optax"])[0] == 2
    assert (folder / "found.py").read_text() == text


def test_a_program_is_not_overwritten_by_what_it_is_simplified_to(folder, run):
    assert run("simplify", "bloated.opt", "--rules", "-o", "bloated.opt")[0] == 2
    assert (folder / "bloated.opt").read_text() == BLOATED


def test_a_derivation_that_was_written_is_read_again(folder, run):
    assert run(*DERIVATIONS["json"])[0] == 0
    assert json.loads((folder / "out.json").read_text())["steps"]
    assert run("simplify", "--replay", "out.json")[0] == 0


def test_a_module_that_python_would_run_by_itself_is_refused(commands):
    done = commands.run("export", "lion", "--to", "optax", "-o", "__main__.py")
    assert done.returncode == 2
    assert "right would be another name" in done.stderr


@pytest.mark.parametrize("name", ["torch", "jax", "jaxlib", "optax", "keras", "numpy", "scipy", "typing", "ray"])
@pytest.mark.parametrize("target", ["optax", "torch"])
def test_a_module_that_would_hide_another_is_refused(name, target, folder, run):
    code, told = run("export", "lion", "--to", target, "-o", f"{name}.py")
    assert code == 2
    assert f"`import {name}` would find it instead of the module {name}" in told
    assert f"my_{name}.py" in told
    assert not (folder / f"{name}.py").exists()
    assert run("export", "lion", "--to", "text", "-o", f"{name}.opt")[0] == 0


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("found.py", "wrote found.py: from found import lion"),
        ("my-opt.py", "called my_opt.py it could: from my_opt import lion"),
        ("2nd.py", "called m_2nd.py it could: from m_2nd import lion"),
        ("lambda.py", "called lambda_.py it could: from lambda_ import lion"),
        ("my opt.txt", "called my_opt.py it could: from my_opt import lion"),
    ],
)
def test_it_is_said_how_a_module_is_imported(file, said, folder, run):
    code, told = run("export", "lion", "--to", "optax", "--name", "lion", "-o", file)
    assert code == 0
    assert said in told
    assert (folder / file).exists()


def test_a_module_may_be_written_again_if_python_can_import_it(folder, run, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    assert run(*EXPORTS["optax"])[0] == 0
    assert run(*EXPORTS["optax"])[0] == 0


@pytest.mark.parametrize("target", EXPORTS)
def test_an_export_says_that_a_learning_rate_has_no_effect(target, folder, run):
    (folder / "ignores.opt").write_text(IGNORES)
    sentence = "ignores.opt does not read lr: a learning rate or schedule has no effect\n"
    assert sentence in run("export", "ignores.opt", "--to", target)[1]
    assert "does not read" not in run("export", "lion", "--to", target)[1]


def test_a_simplification_says_that_a_learning_rate_has_no_effect(folder, run, capsys):
    (folder / "ignores.opt").write_text(IGNORES)
    sentence = "The simplified program does not read lr: a learning rate or schedule has no effect."
    arguments = ["simplify", "ignores.opt", "--rules", "-o", "out.txt", "-o", "out.html"]
    with pytest.raises(SystemExit):
        cli.main(arguments)
    assert sentence in capsys.readouterr().out
    assert sentence in (folder / "out.txt").read_text()
    assert sentence in (folder / "out.html").read_text()
