"""The docstring of an exported module: its facts, its safety with any text, and an example that runs."""

import ast
import subprocess
import sys

import pytest
from program_cases import import_module, program

import programs

HOSTILE = {
    "triple quotes": 'run"""\nimport os\n"""',
    "four quotes": '""""',
    "five quotes and a backslash": '"""""\\',
    "a backslash at the end": "C:\\new\\",
    "an escape sequence": "\\x41\\u0042\\N{DIGIT ONE}\\",
    "lines": "first\nsecond\r\nthird\x0bfourth\x85fifth\u2028sixth",
    "control characters": "\x00\x07\x1b[31mred\x1b[0m\x7f",
    "letters of others": "Éire, Ελλάδα, 日本, 🦁",
    "marks that turn the direction": "\u202eabc\u2066",
    "half a pair": "\ud800",
    "braces and percents": "{name} {0} %s %(x)s {{",
    "code": 'import os; os.system("true")  # noqa',
    "nothing": "",
}


def docstring(text):
    """Return a module's docstring, which is its first statement and the only one that is a string."""
    module = ast.parse(text)
    texts = [each for each in module.body if isinstance(each, ast.Expr)]
    assert texts == module.body[:1]
    return ast.get_docstring(module, clean=False) or ""


def printable(line):
    return "".join(x if x.isprintable() else x.encode("unicode_escape").decode("ascii") for x in line)


@pytest.mark.parametrize("name", HOSTILE)
def test_provenance_of_any_text_is_a_line_of_the_docstring(name, tmp_path):
    plain = programs.export_optax(programs.load("lion"), name="opt")
    text = programs.export_optax(programs.load("lion"), name="opt", provenance=("before", HOSTILE[name], "after"))
    assert text.isascii()
    assert import_module(text, tmp_path).__doc__ == docstring(text)
    lines = f"    before\n    {printable(HOSTILE[name])}".rstrip(" ") + "\n    after\n"
    assert f"Where it comes from:\n\n{lines}\n" in docstring(text)
    assert ast.dump(ast.Module(ast.parse(text).body[1:], [])) == ast.dump(ast.Module(ast.parse(plain).body[1:], []))


def test_the_docstring_holds_the_program_and_its_facts():
    subject = program(
        "w, g, m, n, s, lr",
        "m = interp(g, m, 0.9)",
        "n = interp(norm(g), n, 0.9)",
        "s = max(global_norm(g), s)",
        "dead = cosh(w)",
        "update = m / n",
        "update = clip(update, s)",
        returns="update, m, n, s",
    )
    found = docstring(programs.export_optax(subject, name="opt"))
    assert "    m = interp(g, m, 0.9)\n" in found
    assert "dead" not in found
    facts = dict(
        line.strip().split(maxsplit=1) for line in found.split("Its facts:\n\n")[1].split("\n\n")[0].split("\n")
    )
    assert facts == {
        "key": programs.key(subject),
        "statements": "7, all live",
        "state": "m (one number per weight), n (one number per weight array), s (one number)",
        "reads": "g",
        "rate": "learning_rate is not read: a learning rate or schedule has no effect",
        "elementwise": "no: norm, global_norm, clip",
    }
    assert "Where it comes from" not in found


def test_of_an_elementwise_program_the_docstring_says_so(tmp_path):
    found = import_module(programs.export_optax(programs.load("sgd"), name="opt"), tmp_path).__doc__
    assert "elementwise  yes" in found
    assert "is not read" not in found
    assert "state        none" in found


def example(text):
    """Return the lines of the example in a module's docstring."""
    lines = docstring(text).split("Example:\n\n")[1].splitlines()
    end = next(place for place, line in enumerate(lines) if line and not line.startswith("    "))
    return "\n".join(line[4:] for line in lines[:end])


@pytest.mark.parametrize("name", ["lion", "dowg", "muon"])
def test_the_example_runs(name, tmp_path):
    text = programs.export_optax(programs.load(name), name="found", provenance=("a run",))
    (tmp_path / "found.py").write_text(text, encoding="utf-8")
    shown = example(text) + '\nprint(weights["bias"].shape, float(weights["bias"][0]) < 0.0)\n'
    done = subprocess.run([sys.executable, "-W", "error", "-c", shown], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("(3,) True\n", "")
