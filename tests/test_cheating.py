"""Every program that ever tried to cheat scores nothing on every task.

A search that finds a new cheat adds it to tests/cheats/, with a header that says what it attempts.
"""

from pathlib import Path

import pytest

import programs
import tasks

CHEATS = sorted(Path(__file__).parent.glob("cheats/*.opt"))
TRANSFORMERS = ("digits_vit", "text_gpt")  # about a second for each cheat


def test_corpus_is_there():
    assert len(CHEATS) >= 20


@pytest.mark.parametrize(
    "task_name",
    [pytest.param(name, marks=pytest.mark.slow) if name in TRANSFORMERS else name for name in tasks.TASKS],
)
@pytest.mark.parametrize("path", CHEATS, ids=lambda path: path.stem)
def test_cheat_scores_nothing(path: Path, task_name: str):
    optimizer = programs.to_optax(programs.parse(path.read_text()))
    assert tasks.evaluate([tasks.get(task_name)], optimizer, [0]).score == 0.0


@pytest.mark.parametrize("task_name", tasks.TASKS)
def test_honest_program_scores(task_name: str):
    optimizer = programs.to_optax(programs.load("adamw"))
    evaluation = tasks.evaluate([tasks.get(task_name)], optimizer, [0])
    assert evaluation.score == pytest.approx(1.0, abs=0.15)
