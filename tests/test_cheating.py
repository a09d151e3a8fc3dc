"""Every program that ever tried to cheat scores nothing on every task.

A search that finds a new cheat adds it to tests/cheats/, with a header that says what it attempts.
"""

from pathlib import Path

import pytest

import programs
import tasks

CHEATS = sorted(Path(__file__).parent.glob("cheats/*.opt"))
LONG = ("digits_mlp", "digits_vit", "digits_few", "digits_faint", "text_gpt")  # up to a second for each cheat
BY_TASK = pytest.mark.parametrize(
    "task_name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in tasks.TASKS]
)


def test_corpus_is_there():
    assert len(CHEATS) >= 20


RNG_SEEDS = {"iris": (0,)}
"""The rng seeds of the trainings; three on other tasks. A large step may learn iris, a tiny model, by luck alone."""


@BY_TASK
def test_cheats_score_nothing(task_name: str):
    some = [programs.parse(path.read_text()) for path in CHEATS]
    evaluations = tasks.evaluate_programs([tasks.get(task_name)], some, RNG_SEEDS.get(task_name, (0, 1, 2)))
    assert [path.stem for path, found in zip(CHEATS, evaluations, strict=True) if found.score != 0.0] == []


@pytest.mark.parametrize("path", CHEATS, ids=lambda path: path.stem)
def test_cheat_scores_nothing_when_compiled(path: Path):
    optimizer = programs.to_optax(programs.parse(path.read_text()))
    assert tasks.evaluate_optimizer([tasks.get("digits_tiny")], optimizer, [0]).score == 0.0


@BY_TASK
def test_honest_program_scores(task_name: str):
    (evaluation,) = tasks.evaluate_programs([tasks.get(task_name)], [programs.load("adamw")], [0])
    assert evaluation.score == pytest.approx(1.0, abs=0.15)
