"""Exported modules in the contract tests that Optax runs on its own optimizers, in a process with eight devices."""

import collections
import json
import subprocess
import sys
from pathlib import Path

import pytest
from contract_settings import WITHOUT_RATE, reason_known
from program_cases import SEEDS

PARTS = 4  # processes over which the seed programs are spread
SHORT = (2, 27)  # how many of a program's tests are refused, and how many are not
LONG = (4, 35)


def outcomes(*arguments):
    """Run the contract tests; return the lines of every program."""
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


def assert_contract_is_kept(found, counts):
    """Assert that every test of every program passes, is refused because of complex weights, or is known to fail."""
    for name, lines in found.items():
        others = [each for each in lines if each["result"] not in ("passed", "refused")]
        assert not [each for each in others if not reason_known(name, each["test"])]
        count = collections.Counter(each["result"] for each in lines)
        assert (count["refused"], count["passed"] + len(others)) == counts
        assert count["skipped"] == name.endswith(WITHOUT_RATE)
        assert all("complex" in each["test"] for each in lines if each["result"] == "refused")


@pytest.mark.slow
def test_lion_shards_keeps_float64_and_takes_arguments_meant_for_others():
    found = outcomes("lion", "--short", "--only", "sharding_test|float64_test|extra_args")
    assert list(found) == ["lion"]
    assert_contract_is_kept(found, (0, 6))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_every_seed_program_keeps_optaxs_contract(part):
    """All tests for some programs, and the short ones for the others; the table runs all tests for all programs."""
    names = SEEDS[part::PARTS]
    found = outcomes(*names, *(["--short"] if part else []))
    assert sorted(found) == sorted(names)
    assert_contract_is_kept(found, SHORT if part else LONG)


@pytest.mark.slow
def test_mutated_programs_keep_optaxs_contract():
    """All short tests, over those mutants whose values are not decided by rounding."""
    found = outcomes("--mutants", "20", "--short")
    assert len(found) == 20
    assert_contract_is_kept(found, SHORT)


@pytest.mark.slow
def test_any_mutated_program_keeps_what_optaxs_contract_says_of_types():
    # Only tests of types: some mutants give NaN, and 0 * NaN is not the pause that MultiSteps needs.
    found = outcomes("--mutants", "12", "--any", "--short", "--only", "extra_args|dtype|schedule|sharding_test")
    assert len(found) == 12
    assert_contract_is_kept(found, (2, 21))
