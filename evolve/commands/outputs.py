"""The files that commands write, checked before the work whose result goes there."""

import importlib.util
import keyword
import re
import sys
from pathlib import Path

import click

from evolve.errors import UsageError

_HEAD_LENGTH = 4096  # characters at the beginning of a file, which tell what wrote it
_HEADS = (
    r'"""\w+: an optimizer (exported|found) by Pride, as ',  # a module
    r"[#%] (?s:.*)^[#%] key: [0-9a-f]{64}$",  # a program as text or equations
    r"# name: .*, simplified\n# .*, (exported|written) by Pride ",
    r"A derivation by Pride ",
    r'\{\n  "name": .*\n  "pride": "',  # a derivation as a JSON document
    r'<!doctype html>(?s:.*)<meta name="generator" content="Pride ',
    r'\{"index":\d+,"key":"[0-9a-f]{64}"',  # a dump
)
_OURS = re.compile("|".join(f"(?:{head})" for head in _HEADS), re.MULTILINE)
_IMPORTED = {"jax", "jaxlib", "keras", "numpy", "optax", "torch"}
"""What exported modules import, and what that cannot do without, whether or not it is installed here."""


def check_output(output: str, force: bool) -> None:
    """Refuse to write a file that cannot be written, or that exists and is not of Pride's making.

    Raises:
        UsageError: If its folder does not exist, or if it has other contents and is not to be overwritten by force.
    """
    path = Path(output)
    if not path.parent.is_dir():
        raise UsageError(f"cannot write {output}: there is no folder {path.parent}")
    if not force and path.is_file() and not _is_ours(path):
        raise UsageError(
            f"cannot write {output}: it exists, and Pride did not write it; "
            "right would be another file, or --force to overwrite it"
        )


def check_module(output: str) -> None:
    """Refuse a name for a module under which it would be imported instead of another one.

    Raises:
        UsageError: If Python or a package that is installed has a module of the name.
    """
    name = Path(output).stem
    if Path(output).suffix != ".py" or not name.isidentifier():
        return
    if name == "__main__" or name in _IMPORTED or name in sys.stdlib_module_names or _is_elsewhere(name, Path(output)):
        raise UsageError(
            f"cannot write {output}: beside it, `import {name}` would find it instead of the module {name}; "
            f"right would be another name, such as my_{name}.py"
        )


def how_to_import(output: str, name: str) -> str:
    """Return how a module that was written is imported, or what its file would have to be called for that."""
    path = Path(output)
    if path.suffix == ".py" and _is_module_name(path.stem):
        return f"from {path.stem} import {name}"
    other = re.sub(r"\W", "_", path.stem)
    other = other if _is_module_name(other) else f"{other}_" if keyword.iskeyword(other) else f"m_{other}"
    return f"Python cannot import a file of this name; called {other}.py it could: from {other} import {name}"


def write(text: str, output: str | None) -> None:
    """Write to the file that was named, or to stdout if none was.

    Raises:
        UsageError: If the file cannot be written.
    """
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from error


def _is_ours(path: Path) -> bool:
    """Return whether Pride wrote a file, or it is empty; a file that cannot be read is somebody else's."""
    try:
        with path.open(encoding="utf-8") as file:
            head = file.read(_HEAD_LENGTH)
    except (OSError, UnicodeDecodeError):
        return False
    return not head or _OURS.match(head) is not None


def _is_module_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)


def _is_elsewhere(name: str, path: Path) -> bool:
    """Return whether a module of this name can be imported here from another file than the one at a path."""
    spec = importlib.util.find_spec(name)  # executes nothing, as the name has no dots
    return spec is not None and (spec.origin is None or Path(spec.origin).resolve() != path.resolve())
