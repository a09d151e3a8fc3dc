"""The dump of a small run, compared byte for byte: the results of a search change only on purpose."""

from pathlib import Path

import pytest
from search_cases import CONFIG, run

from evolve.config.settings import Budget, Config, Mutations, ProgramLimits, Round

DUMPS = Path(__file__).parent / "dumps"
CONFIGS: dict[str, Config] = {
    "plain": CONFIG.model_copy(update={"budget": Budget(candidates=300)}),
    "everything": CONFIG.model_copy(
        update={
            "budget": Budget(candidates=400),
            "start": "lion",
            "rounds": (Round(islands=3, candidates=60, migrate_every=15), Round(islands=2, start="best")),
            "mutations": Mutations(add_state=0.5, remove_state=0.5, crossover=1.0),
            "adaptive": True,
            "settings": 3,
            "limits": ProgramLimits(functions="all"),
            "rng_seed": 7,
        }
    ),
}
"""Searches by name; their scores follow from keys, so they are the same on every processor."""


@pytest.mark.parametrize("name", CONFIGS)
def test_a_search_finds_what_it_found(tmp_path: Path, name: str):
    _, dump = run(tmp_path, "run", CONFIGS[name])
    assert f"{dump}\n" == (DUMPS / f"{name}.jsonl").read_text(encoding="utf-8")
