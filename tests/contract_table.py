"""Print how the exports of the seed programs fare in Optax's own contract tests, with the reason for every failure.

Run it as ``python tests/contract_table.py``, or with ``--help``; all seed programs take about ten minutes. It runs
in a separate process, since Optax's tests of sharding need eight devices.
"""

import argparse
import dataclasses
import itertools
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
# XLA's compilation takes nearly all of a test's time; without optimization it takes a quarter of that.
os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
)

import numpy as np
from contract_cases import Outcome, Subject, run_contract
from contract_settings import WITHOUT_RATE, reason_known, settings
from export_cases import Reference
from program_cases import import_module, random_mutants

import programs

# Weights and gradients of Optax's tests of injected settings and of gradient accumulation.
CONTRACT_INPUTS = (
    ([-np.ones((2, 3)), np.ones((2, 5, 2))], [np.ones((2, 3)), -np.ones((2, 5, 2))]),
    ([np.array([1.0, 2.0])], [np.array([2.0, 4.0])]),
)
RESULTS = ("passed", "refused", "skipped", "failed")
COLUMNS = ("program", *RESULTS, "why")


def subjects(names: list[str], mutants: Iterable[tuple[int, programs.Program]], folder: Path) -> Iterator[Subject]:
    """Export seed programs with settings for training, and mutated programs with their own settings."""
    for name in names:
        factory = import_module(programs.export_optax(programs.load(name), name="opt"), folder, f"seed_{name}").opt
        yield Subject(name, factory, settings(name, factory))
    for number, mutant in mutants:
        factory = import_module(programs.export_optax(mutant, name="opt"), folder, f"mutant_{number}").opt
        rate = "" if "lr" in programs.check(mutant).inputs else f" {WITHOUT_RATE}"
        yield Subject(f"mutant {number}{rate}", factory)


def with_float32_numbers(program: programs.Program) -> programs.Program:
    """Round a program's numbers to float32, as injected settings are."""
    statements = tuple(
        each._replace(arguments=tuple(x if isinstance(x, str) else float(np.float32(x)) for x in each.arguments))
        for each in program.statements
    )
    return dataclasses.replace(program, statements=statements)


def first_steps(program: programs.Program, dtype: str) -> list[np.ndarray]:
    """Return the updates and the state of a program's first two steps on the inputs of Optax's tests."""
    found: list[np.ndarray] = []
    for weights, gradients in CONTRACT_INPUTS:
        reference = Reference(program, [np.shape(w) for w in weights], dtype)
        for _ in range(2):
            found += reference(weights, gradients, 1.0)
            found += itertools.chain(*(arrays for _, arrays in reference.state.values()))
    return found


def is_calm(program: programs.Program) -> bool:
    """Return whether a program's first steps on the inputs of Optax's tests are finite, and not decided by rounding.

    Some tests check values: that 0 times an update is 0, and that a setting that is a float32, as injected ones
    are, gives the same update and state to 1e-5 as a Python number.
    """
    exact = first_steps(program, "float64")
    others = (first_steps(program, "float32"), first_steps(with_float32_numbers(program), "float64"))
    return all(
        np.isfinite(x).all() and np.isfinite(y).all() and np.allclose(x, y, rtol=5e-6, atol=0.0)
        for other in others
        for x, y in zip(exact, other, strict=True)
    )


def calm_mutants(count: int) -> Iterator[tuple[int, programs.Program]]:
    """Yield the first `count` calm ones of the random mutants of seed programs, with their numbers."""
    drawn = enumerate(random_mutants(3 * count, edits=8)) if count else iter(())
    return itertools.islice((each for each in drawn if is_calm(each[1])), count)


def row(name: str, outcomes: list[Outcome]) -> tuple[str, ...]:
    """Return the cells of a program's row: how many tests had each result, and the reasons except refusals."""
    counts = [sum(each.result == result for each in outcomes) for result in RESULTS]
    others = [each for each in outcomes if each.result in ("skipped", "failed")]
    reasons = [f"`{each.test}`: {reason_known(name, each.test) or each.reason[:160]}" for each in others]
    return name, *map(str, counts), "; ".join(reasons).replace("|", "/")


def main(arguments: list[str]) -> None:
    """Run the tests and print a table, or each outcome as a line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("programs", nargs="*")
    parser.add_argument("--mutants", type=int, default=0, help="how many calm mutated programs to test as well")
    parser.add_argument("--any", action="store_true", help="also test mutated programs that are not calm")
    parser.add_argument("--short", action="store_true", help="leave out the tests that train for thousands of steps")
    parser.add_argument("--only", default="", help="a regular expression that the names of the tests must contain")
    parser.add_argument("--json", action="store_true", help="print each outcome as a line of JSON")
    given = parser.parse_args(arguments)
    names = given.programs or ([] if given.mutants else list(programs.seed_programs()))
    mutants = enumerate(random_mutants(given.mutants, edits=8)) if given.any else calm_mutants(given.mutants)
    with tempfile.TemporaryDirectory() as folder:
        if not given.json:
            print(f"| {' | '.join(COLUMNS)} |\n| {' | '.join('---' for _ in COLUMNS)} |", flush=True)
        for subject in subjects(names, mutants, Path(folder)):
            outcomes = run_contract([subject], long=not given.short, only=given.only)
            if given.json:
                for outcome in outcomes:
                    print(json.dumps(dataclasses.asdict(outcome)), flush=True)
            else:
                print(f"| {' | '.join(row(subject.name, list(outcomes)))} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
