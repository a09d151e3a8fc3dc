"""What does not grow with the number of candidates: compilations and memory, each measured in a new process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent / "benchmarks"


def measured(call: str) -> dict:
    """Call a function of bench_memory in a new process, and return its result."""
    done = subprocess.run(
        [sys.executable, "-c", f"import json, bench_memory as bench; print(json.dumps(bench.{call}))"],
        cwd=BENCHMARKS,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_task_compiles_its_training_once_and_a_new_program_nothing():
    compiled = measured("compilations(1_000)")
    trainings = {name: times for name, times in compiled["first"].items() if "train" in name}
    assert sum(trainings.values()) == 2  # one for each task
    assert compiled["others"] == {}


@pytest.mark.slow
def test_memory_does_not_grow_with_the_candidates():
    found = measured("peaks((100, 10_000))")
    assert found["10000"] <= 1.05 * found["100"]
