"""A function added to a copy of the package: each table that lacks it is named in an error, one after the other."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROW = """\
    _transcendental(
        "softsinc",
        lambda xp, x: x / (1.0 + xp.abs(x)) * xp.sinc(x),
        "_soft({x}) * jnp.sinc({x})",
        "a function for this test",
        source=_PRACTICE,
    ),
)

FUNCTIONS ="""
DEFINITION = '''
def _soft(x):
    """Return x / (1 + |x|)."""
    return x / (1.0 + abs(x))
'''
FORGOTTEN = [
    (
        "the function 'softsinc' has no entry in _SIGNS in programs/algebra/signs.py: right would be a Sign",
        ("algebra/signs.py", '"subtract", "power",', '"subtract", "power", "softsinc",'),
    ),
    (
        "the function 'softsinc' is written as _soft({x}) * jnp.sinc({x}) for JAX, "
        "but programs/exports/keras_dialect.py does not say what sinc is for ops: "
        "right would be a name in _SAME or _NAMES, or an expression in _OWN",
        ("exports/keras_dialect.py", "_OWN = {", '_OWN = {\n    "softsinc": "_soft({x}) * ops.sin({x})",'),
    ),
    (
        "the function 'softsinc' is written as _soft({x}) * ops.sin({x}), but _DEFINITIONS in "
        "programs/exports/keras_dialect.py does not define _soft",
        ("exports/keras_dialect.py", "_DEFINITIONS = {", f'_DEFINITIONS = {{\n    "soft": {DEFINITION!r},'),
    ),
    (
        "the function 'softsinc' has no entry in _FORMS in programs/exports/latex.py: right would be a Form",
        ("exports/latex.py", "_FORMS = {", '_FORMS = {\n    "softsinc": _named("softsinc"),'),
    ),
    (
        "the function 'softsinc' is written as _soft({x}) * jnp.sinc({x}), but DEFINITIONS in "
        "programs/exports/definitions.py does not define _soft",
        ("exports/definitions.py", "DEFINITIONS = {", f'DEFINITIONS = {{\n    "soft": {DEFINITION!r},'),
    ),
    (
        "the function 'softsinc' is written as _soft({x}) * jnp.sinc({x}) for JAX, "
        "but programs/exports/torch_dialect.py does not say what sinc is for torch: "
        "right would be a name in _SAME or _NAMES, or an expression in _OWN",
        ("exports/torch_dialect.py", '| {"power": "pow"}', '| {"power": "pow", "sinc": "sinc"}'),
    ),
    (
        "the function 'softsinc' is written as _soft({x}) * torch.sinc({x}), but _DEFINITIONS in "
        "programs/exports/torch_dialect.py does not define _soft",
        ("exports/torch_dialect.py", "_DEFINITIONS = {", f'_DEFINITIONS = {{\n    "soft": {DEFINITION!r},'),
    ),
]
USES = """
import programs
p = programs.parse("def train(g, lr):\\n    x = softsinc(g)\\n    update = x * lr\\n    return update\\n")
programs.key(p), programs.simplify(p), programs.recognise(p), programs.to_latex(p), programs.encode(p)
assert all("_soft(g)" in export(p) for export in (programs.export_optax, programs.export_torch, programs.export_keras))
"""


@pytest.fixture
def copied(tmp_path):
    shutil.copytree(ROOT / "programs", tmp_path / "programs", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def change(folder, name, old, new):
    path = folder / "programs" / name
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, (name, old)
    path.write_text(text.replace(old, new), encoding="utf-8")


def run(folder, code="import programs"):
    """Run code with the copy of the package; return its last line on stderr."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr.strip().rpartition("\n")[2]


def test_each_table_that_a_new_function_is_missing_in_is_named(copied):
    change(copied, "functions.py", ")\n\nFUNCTIONS =", ROW)
    for sentence, mended in FORGOTTEN:
        assert run(copied) == f"ValueError: {sentence}"
        change(copied, *mended)
    assert run(copied, USES) == ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("jnp.abs({y})", "('x') and the text jnp.abs({y}), but 'x' is not in both"),
        ("jnp.abs({x}) + {y}", "('x') and the text jnp.abs({x}) + {y}, but 'y' is not in both"),
    ],
)
def test_a_row_whose_text_does_not_fit_its_parameters_is_named(copied, text, sentence):
    change(copied, "functions.py", '"jnp.abs({x})"', f'"{text}"')
    wanted = sentence.replace("('x')", "(x)")
    assert run(copied) == f"ValueError: the function 'abs' in programs/functions.py has the parameters {wanted}"


def test_an_entry_of_no_function_is_named(copied):
    change(copied, "algebra/signs.py", '"subtract", "power",', '"subtract", "power", "powder",')
    assert run(copied) == (
        "ValueError: _SIGNS in programs/algebra/signs.py has an entry for 'powder', "
        "which is not a function of programs/functions.py"
    )


def test_a_function_with_more_parameters_than_the_machine_takes_is_named(copied):
    change(copied, "engines/operations.py", "MAX_OPERANDS = 3", "MAX_OPERANDS = 2")
    assert run(copied) == (
        "ValueError: the function 'interp' has 3 parameters, but the machine of programs/engines/operations.py "
        "takes at most 2"
    )
