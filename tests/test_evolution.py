"""Regularized evolution as a state machine."""

import numpy as np
import pytest

import programs
from evolve.config.settings import Budget, Config, Mutations, ProgramLimits
from evolve.search.evolution import Evolution, Proposal, mutate
from evolve.search.evolution import limits as evolution_limits
from evolve.store.records import Outcome

CONFIG = Config(tasks=("any",), budget=Budget(candidates=100), population=5, tournament=2, window=3)


def evolution_of(config: Config = CONFIG) -> Evolution:
    return Evolution(config, programs.load(config.start))


def outcome(proposal: Proposal, score: float, known_from: int | None = None) -> Outcome:
    return Outcome(
        index=proposal.index,
        key=proposal.key,
        program=str(proposal.program),
        parents=proposal.parents,
        mutation=proposal.mutation,
        status="ok",
        score=score,
        statements=1,
        state_slots=0,
        known_from=known_from,
    )


def started(config: Config = CONFIG) -> Evolution:
    evolution = evolution_of(config)
    evolution.commit(outcome(evolution.start(0), 1.0))
    return evolution


def test_the_first_proposal_is_the_start_program():
    proposal = evolution_of().start(0)
    assert proposal.program == programs.load("adamw")
    assert (proposal.index, proposal.parents, proposal.mutation, proposal.known) == (0, (), "start", False)


def test_proposals_depend_on_the_index_and_the_rng_seed_alone():
    one, other = started(), started()
    assert [one.propose(i) for i in range(1, 10)] == [other.propose(i) for i in range(1, 10)]
    elsewhere = started(CONFIG.model_copy(update={"rng_seed": 1}))
    assert [elsewhere.propose(i).program for i in range(1, 10)] != [one.propose(i).program for i in range(1, 10)]


def test_every_proposal_is_well_formed_and_within_limits():
    evolution = started()
    for index in range(1, 300):
        proposal = evolution.propose(index)
        programs.check(proposal.program)
        assert len(proposal.program.statements) <= CONFIG.limits.statements
        evolution.commit(outcome(proposal, float(np.sin(index))))


def test_a_tournament_of_everyone_is_won_by_the_best():
    evolution = started(CONFIG.model_copy(update={"tournament": 5}))
    children = [evolution.propose(index) for index in range(1, 4)]
    for child, score in zip(children, (0.5, 2.0, 1.5), strict=True):
        evolution.commit(outcome(child, score))
    assert evolution.propose(4).parents == (2,)


def test_the_oldest_dies_even_where_it_is_the_best():
    evolution = started(CONFIG.model_copy(update={"tournament": 5}))
    for index in range(1, 6):  # a population of five: the start program is gone after five more
        evolution.commit(outcome(evolution.propose(index), 0.1 * index))
    assert evolution.propose(6).parents == (5,)


def test_a_program_with_a_known_key_takes_the_first_ones_score():
    evolution = evolution_of()
    seen: dict[str, int] = {}
    for index in range(200):
        proposal = evolution.propose(index) if index else evolution.start(0)
        assert proposal.known == (proposal.key in seen)
        first = seen.setdefault(proposal.key, index)
        evolution.commit(outcome(proposal, float(first), first if proposal.known else None))
        known = evolution.keys.get(proposal.key)
        assert known is not None
        assert (known.index, known.score, known.status) == (first, float(first), "ok")
    assert len(evolution.keys) == len(seen)
    assert len(seen) < 200  # there were known ones


def test_recalled_outcomes_are_known():
    evolution = started()
    proposals = [evolution.propose(index) for index in range(1, 30)]
    again = evolution_of()
    for proposal in (evolution_of().start(0), *proposals):
        again.recall(outcome(proposal, 1.0, 0 if proposal.known else None))
    assert len(again.keys) == len(evolution.keys)
    assert all(proposal.key in again.keys for proposal in proposals)


def test_only_parents_are_read(monkeypatch: pytest.MonkeyPatch):
    """Thus resuming a long run spends no time on programs that died long ago."""
    read = []
    parse = programs.parse
    monkeypatch.setattr(programs, "parse", lambda text: read.append(text) or parse(text))
    evolution = started()
    lion = programs.load("lion")
    for index in range(1, 200):
        evolution.commit(outcome(Proposal(index, lion, programs.key(lion), (0,), "insert", True), 1.0, known_from=0))
    assert read == []
    for index in range(200, 220):
        evolution.propose(index)
    assert 1 <= len(read) <= CONFIG.population


def test_a_program_that_is_at_hand_is_not_read(monkeypatch: pytest.MonkeyPatch):
    one, other = evolution_of(), started()
    monkeypatch.setattr(programs, "parse", lambda text: pytest.fail(f"read {text}"))
    first = one.start(0)
    one.commit(outcome(first, 1.0), first.program)
    for index in range(1, 30):
        proposal = one.propose(index)
        one.commit(outcome(proposal, float(np.sin(index))), proposal.program)
    monkeypatch.undo()
    for index in range(1, 30):
        other.commit(outcome(other.propose(index), float(np.sin(index))))
    assert [one.propose(index) for index in range(30, 40)] == [other.propose(index) for index in range(30, 40)]


@pytest.mark.parametrize("name", Mutations.model_fields)
def test_weights_of_zero_leave_a_mutation_out(name: str):
    weights = Mutations(**{mutation: float(mutation == name) for mutation in Mutations.model_fields})
    rng = np.random.default_rng(0)
    adamw, lion = programs.load("adamw"), programs.load("lion")
    assert {mutate(adamw, lion, rng, weights.model_dump(), programs.Limits())[0] for _ in range(20)} == {name}


def test_every_edit_and_crossover_have_a_weight():
    assert set(Mutations.model_fields) == {*programs.EDITS, "crossover"}


def test_weights_say_how_often():
    weights = Mutations(insert=1.0, delete=0.0, modify=3.0, constants=0.0)
    adamw, rng = programs.load("adamw"), np.random.default_rng(0)
    names = [mutate(adamw, adamw, rng, weights.model_dump(), programs.Limits())[0] for _ in range(400)]
    assert 260 < names.count("modify") < 340
    assert names.count("modify") + names.count("insert") == 400


def test_edits_that_cannot_apply_are_never_drawn():
    parent = programs.parse("def train(g):\n    update = square(g)\n    return update\n")
    rng = np.random.default_rng(0)
    names = {mutate(parent, parent, rng, Mutations().model_dump(), programs.Limits(statements=1))[0] for _ in range(50)}
    assert names == {"modify"}  # the program is full, has nothing to leave out and no numbers


def test_a_program_that_no_edit_fits_is_its_own_child():
    parent = programs.parse("def train(g):\n    return g\n")
    rng = np.random.default_rng(0)
    assert mutate(parent, parent, rng, Mutations().model_dump(), programs.Limits(statements=0)) == ("none", parent)


def test_a_child_of_two_names_both_parents():
    weights = Mutations(insert=1.0, delete=0.0, modify=0.0, constants=0.0, crossover=1.0)
    evolution = started(CONFIG.model_copy(update={"mutations": weights, "window": 1}))
    seen = set()
    for index in range(1, 40):
        proposal = evolution.propose(index)
        seen.add((proposal.mutation, len(proposal.parents)))
        evolution.commit(outcome(proposal, float(np.sin(index))))
    assert seen == {("insert", 1), ("crossover", 2)}


@pytest.mark.parametrize(("functions", "extended"), [("paper", False), ("all", True)])
def test_limits_of_a_config(functions, extended):
    given = ProgramLimits(statements=7, state=2, constant=3.0, functions=functions)
    limits = evolution_limits(CONFIG.model_copy(update={"limits": given}))
    assert (limits.statements, limits.state, limits.constant) == (7, 2, 3.0)
    assert ("where" in limits.functions) == extended
    assert "interp" in limits.functions
