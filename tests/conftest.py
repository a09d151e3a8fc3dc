"""Shared set-up: strict dtype promotion, the same hypothesis examples on every run, no kept compilations."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ["PRIDE_CACHE"] = "off"

from pathlib import Path
from typing import Any

import hypothesis
import jax
import pytest
from command_cases import Commands
from xdist.scheduler import LoadFileScheduling

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
hypothesis.settings.load_profile("ci")


FIRST = (
    *("test_pools", "test_cheating", "test_tasks", "test_interpreter", "test_parity"),
    *("test_export", "test_functions", "test_transformations", "test_hostile", "test_security"),
)
"""The files that take longest: they run first, so that no process runs one of them alone at the end."""

SAME_PROCESS = ("test_cheating", "test_cli", "test_evaluation", "test_workers")
"""The files that train on digits_tiny and iris: a process compiles the machine of each task once, for seconds."""


class _Scheduling(LoadFileScheduling):
    """Gives each process one file at a time, and those of `SAME_PROCESS` together."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "the same process" if Path(file).stem in SAME_PROCESS else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Return a scheduler that hands out files in the order of collection, if whole files are (`--dist loadfile`)."""
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return _Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first."""
    ranks = {file: rank for rank, file in enumerate(FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(FIRST)))


@pytest.fixture(scope="session")
def compile_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which processes of tests may share what they compile."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture
def commands(tmp_path: Path, compile_cache: Path) -> Commands:
    """Return `pride`, run in separate processes, with a folder of runs for the test alone."""
    return Commands(tmp_path, compile_cache)


def pytest_terminal_summary(terminalreporter):
    """Print how closely the programs agreed with their references, if that was measured."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    rows = sorted(cells for report in reports for name, cells in report.user_properties if name == "parity")
    if rows:
        rows.insert(0, ("program", "compared with", "steps", "largest relative error", "tolerance", "why"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        terminalreporter.section("parity")
        for cells in rows:
            line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
            terminalreporter.write_line(line.rstrip())
