"""Jobs, results, and the evaluation of candidates."""

import importlib.metadata
import os
import subprocess
import sys
import threading
from dataclasses import FrozenInstanceError, replace

import jax
import pytest

import programs
import tasks
import workers
from workers import TOO_LARGE, Job, Result, Status, default_workers, evaluate
from workers.cores import cores_in_quota
from workers.devices import jax_uses_gpus
from workers.reaper import holders

TINY = Job(3, "", ("digits_tiny",), (0, 1))

WITH_NORM = """
def train(w, g, lr):
    size = norm(g)
    update = g / size
    update = update * 0.1
    return update
"""

RUNAWAY = """
def train(w, g, lr):
    update = w + g
    update = update * -1000.0
    return update
"""


def test_importing_workers_imports_neither_jax_nor_ray():
    script = "import sys, workers; print(sorted({'jax', 'ray', 'optax'} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert told.stdout == "[]\n", told


def test_jobs_and_results_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        TINY.index = 4  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        Result(0, Status.OK).score = 2.0  # type: ignore[misc]


def test_status_is_its_text():
    assert [str(status) for status in Status] == ["ok", "hopeless", "diverged", "crashed", "timeout", "oom"]
    assert Status.OOM == "oom"


@pytest.mark.parametrize(
    ("quota", "period", "cores"),
    [
        ("max", "100000", None),
        ("-1", "100000", None),
        ("", "", None),
        ("100000", "0", None),
        ("200000", "100000", 2),
        ("250000", "100000", 2),
        ("50000", "100000", 1),
    ],
)
def test_cores_in_a_cgroup_quota(quota, period, cores):
    assert cores_in_quota(quota, period) == cores


def test_default_workers_are_no_more_than_the_cores():
    assert 1 <= default_workers() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("text", [programs.source_text("adamw"), WITH_NORM])
def test_evaluate_trains_as_the_tasks_do(text):
    (result,) = evaluate([replace(TINY, program=text)])
    optimizer = programs.to_optax(programs.parse(text))
    direct = tasks.evaluate_optimizer((tasks.get("digits_tiny"),), optimizer, TINY.rng_seeds)
    assert (result.index, result.status, result.message) == (3, Status.OK, "")
    assert result.score == pytest.approx(direct.score, rel=1e-4)
    assert result.losses == (pytest.approx(direct.losses[0], rel=1e-4),)
    assert result.seconds > 0


def test_every_job_gets_its_own_result_in_order():
    jobs = [
        replace(TINY, index=index, program=text, rng_seeds=(index,))
        for index, text in enumerate([programs.source_text("adamw"), RUNAWAY, programs.source_text("sgd")])
    ]
    together = evaluate(jobs)
    assert [result.index for result in together] == [0, 1, 2]
    alone = [result for job in jobs for result in evaluate([job])]
    assert [replace(result, seconds=0) for result in together] == [replace(result, seconds=0) for result in alone]


def test_diverged_is_a_status_with_score_zero():
    (result,) = evaluate([replace(TINY, program=RUNAWAY)])
    assert (result.status, result.score, result.message) == (Status.DIVERGED, 0.0, "")
    assert len(result.losses) == 1


@pytest.mark.slow
def test_an_environment_of_64_bits_changes_nothing():
    job = replace(TINY, program=programs.source_text("adamw"), tasks=("iris",))
    (wanted,) = evaluate([job])
    with jax.enable_x64(True):
        (got,) = evaluate([job])
    assert got.losses == wanted.losses


def test_hopeless_is_a_status_with_the_score_of_what_was_trained():
    job = replace(TINY, program=programs.source_text("sgd"), tasks=("digits_tiny", "iris"), hurdle=1e6)
    (result,) = evaluate([job])
    (alone,) = evaluate([replace(job, tasks=("digits_tiny",))])
    assert alone.status is Status.OK  # no task follows it
    assert (result.status, result.losses) == (Status.HOPELESS, alone.losses)
    assert result.score == alone.score / 2
    assert result.message.endswith("on digits_tiny, below the hurdle of 1e+06")
    (passed,) = evaluate([replace(job, hurdle=-1.0)])
    assert (passed.status, len(passed.losses)) == (Status.OK, 2)


def test_a_program_that_is_compiled_for_its_size_says_so(monkeypatch):
    sgd = replace(TINY, program=programs.source_text("sgd"))
    assert [result.message for result in evaluate([sgd])] == [""]
    monkeypatch.setattr("programs.encode", lambda program: None)
    assert [result.message for result in evaluate([sgd])] == [TOO_LARGE]


def test_on_an_accelerator_the_next_batch_is_prepared_while_one_is_trained(monkeypatch):
    """Each of two batches ends only once the other has begun."""
    under_way = threading.Barrier(2)
    evaluate_programs, sizes = tasks.evaluate_programs, []

    def train(suite, some, *others):
        sizes.append(len(some))
        under_way.wait(timeout=60)
        return evaluate_programs(suite, some, *others)

    jobs = [replace(TINY, index=index, program=programs.source_text("sgd"), rng_seeds=(index,)) for index in range(2)]
    alone = [result.losses for job in jobs for result in evaluate([job])]
    monkeypatch.setattr(tasks, "evaluate_programs", train)
    monkeypatch.setattr(tasks, "lanes_of_device", lambda: "population")
    assert [result.losses for result in evaluate(jobs)] == alone
    assert sizes == [1, 1]


OUT_OF_MEMORY = [MemoryError("heap"), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 9 GB")]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_out_of_memory_is_a_status_of_those_that_do_not_fit_alone(monkeypatch, error):
    """Programs of more than one statement do not fit, nor do more than two smaller ones at a time."""
    evaluate_programs, sizes = tasks.evaluate_programs, []

    def allocate(suite, some, *others):
        sizes.append(len(some))
        if len(some) > 2 or any(len(program.statements) > 1 for program in some):
            raise error
        return evaluate_programs(suite, some, *others)

    monkeypatch.setattr(tasks, "evaluate_programs", allocate)
    small = "def train(g):\n    u = g * 0.1\n    return u\n"
    texts = [small, small, small, programs.source_text("adamw"), small]
    results = evaluate([replace(TINY, index=index, program=text) for index, text in enumerate(texts)])
    assert [result.status for result in results] == [Status.OK] * 3 + [Status.OOM, Status.OK]
    assert (results[3].score, results[3].losses) == (0.0, ())
    assert results[3].message == f"{type(error).__name__}: {error}"
    assert sizes == [5, 2, 3, 1, 2, 1, 1]


def test_other_errors_are_raised(monkeypatch):
    def fail(*arguments):
        raise jax.errors.JaxRuntimeError("INTERNAL: our bug")

    with pytest.raises(tasks.TaskError, match="digits_tiny"):
        evaluate([replace(TINY, program=programs.source_text("sgd"), tasks=("digits_tny",))])
    with pytest.raises(programs.ProgramError):
        evaluate([replace(TINY, program="def train(")])
    monkeypatch.setattr(tasks, "evaluate_programs", fail)
    with pytest.raises(jax.errors.JaxRuntimeError, match="our bug"):
        evaluate([replace(TINY, program=programs.source_text("sgd"))])


def test_everything_public_has_a_docstring():
    assert [name for name in workers.__all__ if not getattr(workers, name).__doc__] == []


def test_holders_are_the_processes_with_a_file_open_in_a_directory(tmp_path):
    inside = tmp_path / "in"
    outside = tmp_path / "in-but-not-really"
    inside.mkdir()
    outside.mkdir()
    assert holders(str(inside)) == []
    with (
        (inside / "log").open("w") as log,
        (outside / "log").open("w") as other,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=log) as holder,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=other),
    ):
        assert holders(str(inside)) == [holder.pid]


@pytest.mark.parametrize(("plugins", "expected"), [([], False), (["xla_cuda13"], True), (["xla_rocm60"], True)])
def test_gpus_are_used_where_jax_brings_a_plugin_for_them(plugins, expected, monkeypatch):
    found = [importlib.metadata.EntryPoint(name, "module", "jax_plugins") for name in plugins]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: found)
    assert jax_uses_gpus() is expected
