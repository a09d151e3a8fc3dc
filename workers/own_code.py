"""The code of Pride itself: where it lies, and how other processes import it and nothing that lies in their folder."""

import os
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The folder that holds Pride's packages."""


def imports_from(folder: str) -> bool:
    """Return whether this process imports modules from a folder."""
    return any(os.path.abspath(path) == os.path.abspath(folder) for path in sys.path)


def import_paths() -> list[str]:
    """Return the folders that Pride's packages are imported from, unless every Python process here searches them."""
    return [] if str(ROOT) == sysconfig.get_path("purelib") else [str(ROOT)]


def python_module(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of Pride: in `environment()`, whatever the current folder holds."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Return this process's environment variables, by which Python finds Pride's packages even if not installed."""
    paths = [*import_paths(), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
