"""Exported modules in the contract tests that Optax runs over its own optimizers, in a process with eight devices."""

import collections
import json
import subprocess
import sys
from pathlib import Path

import pytest
from contract_settings import LONG_FAILURES
from program_cases import SEEDS

PARTS = 4  # processes over which the seed programs are spread
SHORT = {"passed": 27, "refused": 2}  # how many of a program's tests there are; the refused ones pass split
LONG = {"passed": 35, "refused": 4}


def outcomes(*arguments):
    """Run the contract tests; give the lines of every program."""
    table = Path(__file__).parent / "contract_table.py"
    done = subprocess.run(
        [sys.executable, table, "--json", *arguments], capture_output=True, text=True, check=False, cwd=table.parent
    )
    assert done.returncode == 0, done.stderr
    found = collections.defaultdict(list)
    for line in done.stdout.splitlines():
        outcome = json.loads(line)
        found[outcome["subject"]].append(outcome)
    return found


def assert_contract_is_kept(found, counts, known=()):
    """Assert that nothing fails, but that programs known to may, and only where they are trained."""
    failed = [each for lines in found.values() for each in lines if each["result"] not in ("passed", "refused")]
    unknown = [each for each in failed if each["subject"] not in known or "test_optimiz" not in each["test"]]
    assert not unknown
    for name, lines in found.items():
        count = collections.Counter(each["result"] for each in lines)
        assert count["refused"] == counts["refused"]
        assert count["passed"] == counts["passed"] - sum(each["subject"] == name for each in failed)
        assert all("complex" in each["test"] for each in lines if each["result"] == "refused")


def test_lion_keeps_optaxs_contract():
    found = outcomes("lion", "--short")
    assert list(found) == ["lion"]
    assert_contract_is_kept(found, SHORT)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_every_seed_program_keeps_optaxs_contract(part):
    names = SEEDS[part::PARTS]
    found = outcomes(*names)
    assert sorted(found) == sorted(names)
    assert_contract_is_kept(found, LONG, known=LONG_FAILURES)


@pytest.mark.slow
def test_mutated_programs_keep_optaxs_contract():
    found = outcomes("--mutants", "24", "--short")
    assert len(found) == 24
    assert_contract_is_kept(found, SHORT)
