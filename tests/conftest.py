"""Shared set-up: strict dtype promotion, the same hypothesis examples on every run, no kept compilations."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ["PRIDE_CACHE"] = "off"

from pathlib import Path

import hypothesis
import jax
import pytest
from command_cases import Commands

jax.config.update("jax_numpy_dtype_promotion", "strict")

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
hypothesis.settings.load_profile("ci")


@pytest.fixture(scope="session")
def compile_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder that processes of tests may share for what they compile."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture
def commands(tmp_path: Path, compile_cache: Path) -> Commands:
    """Give `pride`, in processes of its own, with a folder of runs for the test alone."""
    return Commands(tmp_path, compile_cache)


def pytest_terminal_summary(terminalreporter):
    """Print how closely the programs agreed with what they were compared with, where that was measured."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    rows = sorted(cells for report in reports for name, cells in report.user_properties if name == "parity")
    if rows:
        rows.insert(0, ("program", "compared with", "steps", "largest relative error", "tolerance", "why"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        terminalreporter.section("parity")
        for cells in rows:
            line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
            terminalreporter.write_line(line.rstrip())
