"""The arithmetic of a run: settings that change numbers are pinned; what cannot be pinned is measured and compared."""

import dataclasses
import functools
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from fake_ray import FakeRay
from instant import evaluate
from pool_cases import job
from search_cases import CONFIG, interrupt_after, run

import programs
import tasks
from evolve.config.files import to_yaml
from evolve.errors import RunConflict, UsageError
from evolve.search.driver import Watcher, search, trained_by
from evolve.search.reuse import ReusingPool
from evolve.store.folders import create, environment, open_to_read
from evolve.store.records import dump_lines
from tasks.pinning import rng_key
from workers import UNKNOWN, Arithmetic, PoolError, RayPool, SerialPool

ROOT = Path(__file__).parent.parent
HERE, THERE = Arithmetic("aaaa", "this processor"), Arithmetic("bbbb", "that processor")
RUNAWAY = "def train(w, g, lr):\n    update = w + g\n    update = update * -1000.0\n    return update\n"

SETTINGS = {
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
    "JAX_RANDOM_SEED_OFFSET": "7",
    "JAX_THREEFRY_PARTITIONABLE": "0",
    "JAX_ENABLE_X64": "1",
    "JAX_DISABLE_JIT": "1",
    "JAX_DEBUG_NANS": "1",
    "JAX_SOFTMAX_CUSTOM_JVP": "1",
    "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "XLA_FLAGS": "--xla_cpu_enable_fast_math=true",
}
"""Environment variables of a shell that would change numbers, or end a command."""


def pool_of(arithmetic: Arithmetic) -> SerialPool:
    return SerialPool(evaluate, measure=lambda: arithmetic)


def interrupted(root: Path, arithmetic: Arithmetic) -> None:
    """Start a run and interrupt it."""
    reason, _ = run(root, "run", pool=pool_of(arithmetic), interrupted=interrupt_after(5))
    assert reason == "someone wants an end"


def noted(root: Path, name: str = "run") -> tuple[str, ...]:
    with open_to_read(root, name) as store:
        return tuple(map(str, store.arithmetics))


@pytest.mark.parametrize("rng_seed", [0, 5, 2**31 - 1])
def test_rng_keys_are_those_of_jax(rng_seed: int):
    wanted = jax.random.key_data(jax.random.key(rng_seed, impl="threefry2x32"))
    assert (jax.random.key_data(rng_key(jnp.int32(rng_seed))) == wanted).all()


@pytest.mark.slow
def test_settings_of_the_process_change_no_training():
    adamw = programs.to_optax(programs.load("adamw"))
    tiny = dataclasses.replace(tasks.get("iris"), steps=3)  # a task of its own, for which nothing is compiled yet
    with (
        jax.default_prng_impl("rbg"),
        jax.threefry_partitionable(False),
        jax.enable_x64(True),
        jax.softmax_custom_jvp(True),
        jax.debug_nans(True),
        jax.disable_jit(True),
    ):
        got = tasks.train(tiny, adamw, 3)
    assert got == tasks.train(dataclasses.replace(tiny), adamw, 3)


TRAININGS = f"""
import programs, tasks
for text in (programs.source_text("adamw"), {RUNAWAY!r}):
    training = tasks.train(tasks.get("iris"), programs.to_optax(programs.parse(text)), 3)
    print(training.loss.hex(), training.diverged)
print(tasks.probe_arithmetic())
"""


WIDE = "avx2" in (Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else "")


def trained(**variables: str) -> list[str]:
    """Train in a separate process; return the results and the arithmetic."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    done = subprocess.run([sys.executable, "-c", TRAININGS], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_settings_of_the_environment_change_no_training():
    plain = trained()
    assert [line.partition(" ")[2] for line in plain] == ["False", "True", ""]
    assert trained(**SETTINGS) == plain


@pytest.mark.slow
@pytest.mark.skipif(not WIDE, reason="needs a processor whose vectors are wider than 128 bits")
def test_what_cannot_be_pinned_changes_the_arithmetic():
    assert trained(XLA_FLAGS="--xla_cpu_prefer_vector_width=128")[-1] != trained()[-1]


def test_a_device_that_jax_cannot_start_is_told_in_a_sentence(commands):
    done = commands.run("evaluate", "adamw", "--tasks", "iris", JAX_PLATFORMS="cuda")
    assert done.returncode == 2
    assert done.stderr.startswith("pride: JAX cannot start 'cuda' here (")


def test_a_run_is_not_resumed_with_another_arithmetic(tmp_path: Path):
    interrupted(tmp_path, HERE)
    wanted = r"with the arithmetic aaaa \(this processor\); here it is bbbb \(that processor\).*--other-arithmetic"
    with pytest.raises(RunConflict, match=wanted):
        run(tmp_path, "run", pool=pool_of(THERE))
    assert noted(tmp_path) == ("aaaa (this processor)",)
    run(tmp_path, "run", pool=pool_of(dataclasses.replace(HERE, processor="another name for it")))


def test_a_run_notes_all_arithmetics_that_were_accepted(tmp_path: Path):
    interrupted(tmp_path, HERE)
    run(tmp_path, "run", pool=pool_of(THERE), searched=functools.partial(search, other_arithmetic=True))
    assert noted(tmp_path) == ("aaaa (this processor)", "bbbb (that processor)")
    with pytest.raises(RunConflict, match="with the arithmetic bbbb"):
        run(tmp_path, "run", pool=pool_of(HERE))


def test_a_run_whose_arithmetic_nobody_noted_is_read_but_not_resumed(tmp_path: Path):
    interrupted(tmp_path, HERE)
    with sqlite3.connect(tmp_path / "run" / "run.db") as database:
        database.execute("DELETE FROM meta WHERE name = 'arithmetics'")
    database.close()
    with open_to_read(tmp_path, "run") as store:
        assert store.arithmetics == (UNKNOWN,)
        assert list(dump_lines(store.outcomes()))
    with pytest.raises(RunConflict, match="with the arithmetic unknown"):
        run(tmp_path, "run", pool=pool_of(HERE))


def test_the_example_is_read_and_has_no_arithmetic():
    with open_to_read(ROOT / "runs", "example") as store:
        assert store.arithmetics == (UNKNOWN,)


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    with create(tmp_path, "earlier", "", to_yaml(CONFIG), environment()) as store:
        search(store, CONFIG, pool_of(HERE), Watcher())
    return tmp_path


def test_scores_of_another_arithmetic_are_not_reused(earlier: Path):
    pool = pool_of(THERE)
    with pytest.raises(UsageError, match="cannot be reused") as caught:
        ReusingPool(pool, earlier, ["earlier"], CONFIG, trained_by(CONFIG, pool), pool.arithmetic())
    (problem,) = caught.value.problems
    assert problem.startswith("arithmetic: aaaa (this processor), now bbbb (that processor) (--other-arithmetic")


def test_a_run_notes_the_arithmetics_of_the_scores_that_it_reused(earlier: Path):
    pool = pool_of(THERE)
    with ReusingPool(pool, earlier, ["earlier"], CONFIG, trained_by(CONFIG, pool)) as reusing:
        run(earlier, "later", pool=reusing, searched=functools.partial(search, borrowed=reusing.borrowed))
    assert noted(earlier, "later") == ("aaaa (this processor)", "bbbb (that processor)")


def test_a_worker_of_another_arithmetic_is_refused(monkeypatch: pytest.MonkeyPatch):
    ray, notes = FakeRay(), []
    ray.install(monkeypatch)
    ray.arithmetics = [HERE, THERE, THERE]
    pool = RayPool(2, on_event=notes.append)
    for index in range(6):  # enough for all starts and replies
        pool.submit(job(index))
        for call in ray.pending():
            call.fate = "answer"
        pool.wait(0.0)
    assert (pool.workers, pool.arithmetic()) == (1, HERE)
    assert notes == [
        "worker 2 did not start: node here has the arithmetic bbbb (that processor), which gives other bits than "
        f"aaaa (this processor); all workers of a search must have the same one; {consequence}"
        for consequence in ("started again", "given up")
    ]


def test_workers_must_have_the_arithmetic_of_the_run(monkeypatch: pytest.MonkeyPatch):
    ray = FakeRay()
    ray.install(monkeypatch)
    ray.arithmetics = [THERE, THERE]
    pool = RayPool(1, arithmetic=HERE)
    assert (found := pool.arithmetic(1.0)) is None
    while ray.pending():
        ray.pending()[0].fate = "answer"
        found = pool.arithmetic(1.0)
    assert found == THERE
    pool.submit(job(0))
    with pytest.raises(PoolError, match=r"no worker can be started: node here has the arithmetic bbbb"):
        pool.wait()
