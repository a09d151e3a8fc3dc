"""Print how the exports of the seed programs fare in Optax's own contract tests, and why what did not pass did not.

Run it as ``python tests/contract_table.py``, or with ``--help``; all seed programs take about ten minutes. It is a
process of its own, since Optax's tests of sharding need eight devices.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
# Nearly all of a test's time is XLA's compiling: without optimizing, a quarter of it remains.
os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
)

from contract_cases import Outcome, Subject, run_contract
from contract_settings import reason_known, settings
from program_cases import import_module, random_mutants

import programs

RESULTS = ("passed", "refused", "skipped", "failed")
COLUMNS = ("program", *RESULTS, "why")


def subjects(names: list[str], mutants: int, folder: Path) -> Iterator[Subject]:
    """Export seed programs, with settings for training, and mutated programs, with their own."""
    for name in names:
        factory = import_module(programs.export_optax(programs.load(name), name="opt"), folder, f"seed_{name}").opt
        yield Subject(name, factory, settings(name, factory))
    for number, mutant in enumerate(random_mutants(mutants, edits=8) if mutants else []):
        factory = import_module(programs.export_optax(mutant, name="opt"), folder, f"mutant_{number}").opt
        yield Subject(f"mutant {number}", factory)


def row(name: str, outcomes: list[Outcome]) -> tuple[str, ...]:
    """Give the cells of a program's row: how many tests had each result, and the reasons that are not a refusal."""
    counts = [sum(each.result == result for each in outcomes) for result in RESULTS]
    others = [each for each in outcomes if each.result in ("skipped", "failed")]
    reasons = [f"`{each.test}`: {reason_known(name, each.test) or each.reason[:160]}" for each in others]
    return name, *map(str, counts), "; ".join(reasons).replace("|", "/")


def main(arguments: list[str]) -> None:
    """Run the tests and print a table, or every outcome as a line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("programs", nargs="*")
    parser.add_argument("--mutants", type=int, default=0, help="how many mutated programs to test too")
    parser.add_argument("--short", action="store_true", help="leave out the tests that train for thousands of steps")
    parser.add_argument("--only", default="", help="a regular expression to be found in the names of tests")
    parser.add_argument("--json", action="store_true", help="print every outcome as a line of JSON")
    given = parser.parse_args(arguments)
    names = given.programs or ([] if given.mutants else list(programs.seed_programs()))
    with tempfile.TemporaryDirectory() as folder:
        if not given.json:
            print(f"| {' | '.join(COLUMNS)} |\n| {' | '.join('---' for _ in COLUMNS)} |", flush=True)
        for subject in subjects(names, given.mutants, Path(folder)):
            outcomes = run_contract([subject], long=not given.short, only=given.only)
            if given.json:
                for outcome in outcomes:
                    print(json.dumps(asdict(outcome)), flush=True)
            else:
                print(f"| {' | '.join(row(subject.name, list(outcomes)))} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
