"""Simplifying by training, with an evaluation that knows which parts are needed, and trains nothing."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import programs
import tasks
import workers
from evolve.errors import StoppedEarly
from evolve.simplify import derivation_text
from evolve.simplify.by_training import Simplified, simplify_by_rules, simplify_by_training
from evolve.simplify.meter import Meter, Yardstick
from evolve.simplify.replay import replay

SEEDS = (3, 4, 5, 6)
TASKS = ("digits_tiny", "iris")
CLIPPED = programs.parse("""def train(w, g, m, lr):
    g = clip(g, 1.0)
    m = interp(g, m, 0.8999)
    update = sign(m)
    wd = w * 0.1
    update = update + wd
    update = update * lr
    return update, m
""")


def scored(job: workers.Job, score: float) -> workers.Result:
    """Return a result with about this score, varied by the rng seed."""
    task = tasks.get(job.tasks[0])
    unit = task.worst - task.reference
    losses = tuple(task.worst - unit * (score + 0.01 * (seed % 3 - 1)) for seed in job.rng_seeds)
    return workers.Result(job.index, workers.Status.OK, score, (losses,))


class Judge:
    """Evaluates programs by their parts, and records the jobs that it was given."""

    def __init__(self, value: Callable[[str, str], float]):
        self.value = value
        self.asked: list[workers.Job] = []

    def __call__(self, jobs: Sequence[workers.Job]) -> list[workers.Result]:
        self.asked += jobs
        return [self.one(job) for job in jobs]

    def one(self, job: workers.Job) -> workers.Result:
        score = self.value(job.program, job.tasks[0])
        return scored(job, score) if score > 0.0 else workers.Result(job.index, workers.Status.DIVERGED)


def meter(judge: Judge) -> Meter:
    return Meter(workers.SerialPool(judge), SEEDS, lambda task, done, total: None)


def simplified(judge: Judge, program: programs.Program = CLIPPED) -> Simplified:
    seen: list[int] = []
    found = simplify_by_training(program, TASKS, meter(judge), lambda so_far: seen.append(len(so_far.steps)))
    assert seen == list(range(1, len(found.steps) + 1))
    return found


def needs(*parts: str) -> Callable[[str, str], float]:
    """Return a score that is 1 for programs with all these parts, and much less for others."""
    return lambda text, task: 1.0 if all(part in text for part in parts) else 0.5


def test_what_no_score_needs_is_left_out_and_what_one_needs_stays():
    found = simplified(Judge(needs("sign(", "interp(", "w * ")))
    assert str(found.program) == (
        "def train(w, g, m, lr):\n    m = interp(g, m, 0.9)\n    update = sign(m)\n    wd = w * 0.1\n"
        "    update = update + wd\n    update = update * lr\n    return update, m\n"
    )
    proofs = {step.step.proof for step in found.steps}
    assert programs.Proof.MEASURED in proofs


def test_a_part_that_only_one_task_needs_stays():
    found = simplified(Judge(lambda text, task: needs("sign(")(text, task) if task == "iris" else 1.0))
    assert "sign(" in str(found.program)
    assert "interp(" not in str(found.program)


def test_the_smallest_program_is_taken_first():
    found = simplified(Judge(needs("lr")))
    smallest = programs.reductions(programs.simplify(CLIPPED).program)[0]
    measured = [step.step for step in found.steps if step.step.proof is programs.Proof.MEASURED]
    assert measured[0] == smallest.steps[0]


@pytest.mark.parametrize(("share", "kept"), [(0.9, True), (1.1, False)])
def test_a_score_may_fall_by_the_noise_and_no_further(share: float, kept: bool):
    start = (1.0, 1.1, 0.9, 1.05)
    yardstick = Yardstick({"iris": start})
    fall = share * yardstick.noise("iris")
    fallen = tuple(score - fall for score in start)
    assert yardstick.keeps("iris", fallen) is kept
    assert yardstick.change("iris", fallen).mean == pytest.approx(-fall)


def test_few_rng_seeds_are_no_reason_to_give_up_much():
    assert Yardstick({"iris": (1.0, 2.0, 3.0)}).noise("iris") == pytest.approx(0.05 * 2.0)


def test_both_ends_are_scored_again_on_rng_seeds_that_chose_nothing():
    judge = Judge(needs("sign("))
    found = simplified(judge)
    chose = {seed for job in judge.asked[: -2 * len(TASKS)] for seed in job.rng_seeds}
    fresh = {seed for job in judge.asked for seed in job.rng_seeds if seed not in SEEDS}
    assert chose == set(SEEDS)
    assert len(fresh) == len(SEEDS)
    assert {job.program for job in judge.asked if set(job.rng_seeds) & fresh} == {str(CLIPPED), str(found.program)}
    assert found.fresh.keys() == set(TASKS)


def test_small_losses_do_not_add_up():
    parts = ("clip(", "sign(", "w * ")
    judge = Judge(lambda text, task: 1.0 - 0.009 * sum(part not in text for part in parts) if "lr" in text else 0.1)
    found = simplified(judge)
    for step in found.steps:
        for task, scores in step.scores.items():
            assert found.yardstick.keeps(task, scores)
    noise = found.yardstick.noise("iris")
    dropped = sum(part not in str(found.program) for part in parts)
    assert 0 < dropped * 0.009 <= noise
    assert noise < 3 * 0.009  # so that not all of them may go


def test_each_key_is_scored_once_on_a_task():
    judge = Judge(needs("sign("))
    simplified(judge)
    asked = [(programs.key(programs.parse(job.program)), job.tasks, job.rng_seeds) for job in judge.asked]
    assert len(set(asked)) == len(asked)


def test_rng_seeds_are_shared_among_workers_and_a_diverged_training_scores_nothing():
    class Three(workers.SerialPool):
        workers = 3

    class Halfway(Judge):
        def one(self, job: workers.Job) -> workers.Result:
            result = super().one(job)
            task = tasks.get(job.tasks[0])
            return workers.Result(job.index, workers.Status.DIVERGED, 0.0, ((*result.losses[0][:1], task.worst),))

    judge = Halfway(needs())
    scores = Meter(Three(judge), SEEDS, lambda *_: None).scores([CLIPPED], "iris")
    assert {job.rng_seeds for job in judge.asked} == {(3, 4), (5, 6)}
    assert scores[0] is not None
    assert [score > 0.0 for score in scores[0]] == [True, False, True, False]


def test_a_task_that_the_program_does_not_learn_tells_nothing():
    found = simplified(Judge(lambda text, task: needs("sign(")(text, task) if task == "iris" else 0.0))
    assert list(found.yardstick.start) == ["iris"]
    assert "sign(" in str(found.program)


def test_without_any_task_it_is_the_rules_alone():
    found = simplified(Judge(lambda text, task: 0.0), programs.load("lion_raw"))
    assert found.program == programs.simplify(programs.load("lion_raw")).program
    assert found.yardstick.start == {}
    assert [step.step for step in found.steps] == [step.step for step in simplify_by_rules(found.start).steps]


def test_what_each_statement_is_worth_is_what_its_best_replacement_costs():
    def value(text: str, task: str) -> float:
        return 1.0 - 0.4 * ("sign(" not in text) - 0.2 * ("interp(" not in text) - 0.1 * ("w * " not in text)

    found = simplified(Judge(value))
    worth = {trial.reduction.statement: list(trial.changes.values())[-1].mean for trial in found.worth()}
    assert worth["wd = w * 0.1"] == pytest.approx(-0.1)
    assert worth["m = interp(g, m, 0.9)"] == pytest.approx(-0.2)
    assert worth["update = sign(m)"] == pytest.approx(-0.4)
    assert all(math.isfinite(change) for change in worth.values())


class Fails(Judge):
    """Cannot train programs with or without these parts on iris, as by lack of memory."""

    def __init__(self, value: Callable[[str, str], float], fails: Callable[[str], bool], times: int = 1_000):
        super().__init__(value)
        self.fails, self.times = fails, times

    def one(self, job: workers.Job) -> workers.Result:
        if self.times and job.tasks == ("iris",) and self.fails(job.program):
            self.times -= 1
            return workers.Result(job.index, workers.Status.OOM, message="no memory")
        return super().one(job)


def without_clip(text: str) -> bool:
    return "clip(" not in text and "sign(" in text and "interp(" in text and "w * " in text


def test_a_training_that_fails_once_changes_nothing():
    needed = needs("sign(", "interp(", "w * ")
    assert simplified(Fails(needed, without_clip, times=1)).steps == simplified(Judge(needed)).steps


def test_a_reduction_that_cannot_be_trained_is_neither_kept_nor_judged():
    found = simplified(Fails(needs("sign(", "interp(", "w * "), without_clip))
    assert "clip(" in str(found.program)
    assert found.yardstick.start.keys() == set(TASKS)
    without = [trial for trial in found.unmeasured() if "clip(" not in str(trial.reduction.program)]
    assert without
    assert {trial.unmeasured for trial in found.unmeasured()} == {"iris"}
    assert not any(trial.kept for trial in found.unmeasured())
    assert not any(trial.unmeasured for trial in found.worth())
    assert "Not measured, since their trainings failed:" in derivation_text.last_lines(found)
    missing = derivation_text.as_document("clipped", found)["not_measured"]
    assert [entry["task"] for entry in missing] == ["iris"] * len(found.unmeasured())


def test_a_program_that_cannot_be_trained_as_it_was_given_is_said_so():
    with pytest.raises(StoppedEarly, match=r"could not be trained on iris.*oom \(no memory\)"):
        simplified(Fails(needs("sign("), lambda text: True))


def test_a_step_by_rules_that_cannot_be_trained_is_taken_and_read_back_without_its_score(tmp_path: Path):
    roots = "    update = sign(m)\n    size = square(w)\n    size = sqrt(size)\n    update = update * size\n"
    rooted = programs.parse(str(CLIPPED).replace("    update = sign(m)\n", roots))
    found = simplified(Fails(lambda text, task: 1.0, lambda text: "abs(" in text), rooted)
    assert "abs(" in str(found.steps[0].step.program)
    assert found.steps[0].scores.keys() == {"digits_tiny"}
    assert derivation_text.step_line(found, 1).endswith("not measured on iris")
    path = tmp_path / "found.json"
    path.write_text(json.dumps(derivation_text.as_document("rooted", found)))
    steps = derivation_text.read_derivation(str(path))[1].steps
    assert [step.scores for step in steps] == [step.scores for step in found.steps]


def test_replaying_what_cannot_be_trained_is_no_verdict():
    found = simplified(Judge(needs("sign(")))
    with pytest.raises(StoppedEarly, match="could not be trained on iris"):
        list(replay(found, meter(Fails(needs("sign("), lambda text: True))))
