"""`pride simplify`: what it prints and writes, replaying a derivation, and its errors."""

import json
import os
import re
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import programs
import tasks
import workers
from evolve.commands import cli

DERIVATION = Path(__file__).parent / "examples" / "lion_derivation.json"
CLIPPED = "def train(g, m, lr):\n    g = clip(g, 1.0)\n    m = interp(g, m, 0.8999)\n    dead = cos(g)\n" + (
    "    update = sign(m)\n    update = update * lr\n    return update, m\n"
)
SHORT = "def train(g, m, lr):\n    m = interp(g, m, 0.9)\n" + (
    "    update = sign(m)\n    update = update * lr\n    return update, m\n"
)

Evaluate = Callable[[Sequence[workers.Job]], list[workers.Result]]


def judged(jobs: Sequence[workers.Job]) -> list[workers.Result]:
    """Score a program by its parts, and train nothing."""
    results = []
    for job in jobs:
        task = tasks.get(job.tasks[0])
        gain = 1.0 if "sign(" in job.program and "interp(" in job.program else 0.2
        losses = tuple(
            task.worst - (gain + 0.01 * (seed % 3)) * (task.worst - task.reference) for seed in job.rng_seeds
        )
        results.append(workers.Result(job.index, workers.Status.OK, gain, (losses,)))
    return results


@pytest.fixture
def trained_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[Evaluate], None]:
    """Return a function that makes commands train with another evaluation."""

    def use(evaluate: Evaluate) -> None:
        monkeypatch.setattr("evolve.commands.simplify_command.make_pool", lambda *_: workers.SerialPool(evaluate))

    return use


@pytest.fixture
def clipped(tmp_path: Path) -> str:
    path = tmp_path / "clipped.opt"
    path.write_text(CLIPPED)
    return str(path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        cli.main(["simplify", *arguments])
    said = capsys.readouterr()
    return int(caught.value.code or 0), said.out, said.err


def test_it_shows_every_step_and_writes_what_the_endings_ask_for(tmp_path, capsys, clipped, trained_by):
    trained_by(judged)
    paths = [tmp_path / f"found.{ending}" for ending in ("opt", "txt", "json", "html")]
    code, out, _ = run(
        capsys, clipped, "--tasks", "digits_tiny", *[word for path in paths for word in ("-o", str(path))]
    )
    assert code == 0
    assert "  1. exact     1 dead statements left out" in out
    assert "measured  g = clip(g, 1.0) -> the gradient" in out
    assert "measured  m = interp(g, m, 0.8999) -> m = interp(g, m, 0.9)" in out
    assert "score +0.0000 ± 0.0000" in out
    assert SHORT in out
    assert re.search(r"update = sign\(m\) +-> .*digits_tiny -0.8000", out)
    assert re.search(r"On 8 fresh rng seeds: (1\.\d+ ± \S+) as given, \1 at the end, \+0\.0000 ± 0\.0000", out)
    headed = r"# name: .*, simplified\n# .*, exported by Pride .*\n" + re.escape(SHORT)
    assert re.fullmatch(headed, paths[0].read_text())
    text, document, page = paths[1].read_text(), json.loads(paths[2].read_text()), paths[3].read_text()
    for step in document["steps"]:
        assert step["reason"] in text
        assert step["program"] in text
    assert document["program"] == SHORT
    assert document["key"] == programs.key(programs.parse(SHORT))
    assert document["steps"][-1]["change"]["mean"] == pytest.approx(0.0)
    assert {row["statement"] for row in document["worth"]} <= set(map(str.strip, SHORT.splitlines()))
    assert len(document["fresh"]["digits_tiny"]["program"]) == 8
    assert "What each statement is worth" in page
    assert "On 8 fresh rng seeds" in page
    assert page.count("<details>") == len(document["steps"])


def test_json_goes_to_stdout_and_is_what_the_file_holds(tmp_path, capsys, clipped, trained_by):
    trained_by(judged)
    path = tmp_path / "found.json"
    _, out, _ = run(capsys, clipped, "--tasks", "digits_tiny", "--json", "-o", str(path))
    assert json.loads(out) == json.loads(path.read_text())


def test_rules_alone_train_nothing(capsys, clipped, trained_by):
    trained_by(lambda jobs: pytest.fail("trained"))
    code, out, _ = run(capsys, clipped, "--rules")
    assert code == 0
    assert "dead" not in out.split("\n\n")[-1]
    assert "clip(g, 1.0)" in out


def test_a_program_that_learns_nothing_is_simplified_by_rules_and_that_is_said(capsys, clipped, trained_by):
    trained_by(lambda jobs: [workers.Result(job.index, workers.Status.DIVERGED) for job in jobs])
    code, out, error = run(capsys, clipped, "--tasks", "digits_tiny")
    assert code == 0
    assert "clip(g, 1.0)" in out
    assert "does not learn digits_tiny" in error


LOST = "def train(g, lr):\n" + (
    "    x = g * 1e25\n    x = x * 1e25\n    x = x * 1e-25\n    x = x * 1e-25\n    update = x * lr\n    return update\n"
)


def test_what_32_bit_floats_lose_and_rules_bring_back_is_said(tmp_path, capsys, trained_by):
    path, recorded = tmp_path / "lost.opt", tmp_path / "lost.json"
    path.write_text(LOST)
    code, out, _ = run(capsys, str(path), "--rules", "-o", str(recorded))
    assert code == 0
    assert re.search(r"real +x \* c \* d -> .*; may differ by overflow", out)
    assert "Steps called real are equal in real arithmetic; 32-bit floats may differ by overflow, underflow" in out
    code, out, _ = run(capsys, "--replay", str(recorded), "--rules")
    assert (code, "FAILS" in out) == (0, False)
    claimed = recorded.read_text().replace('"real"', '"exact"')
    recorded.write_text(re.sub(r'"gaps": \[[^]]*\]', '"gaps": []', claimed))
    code, out, error = run(capsys, "--replay", str(recorded), "--rules")
    assert code == 4
    assert "FAILS: updates differ by" in out
    assert "and 32-bit floats by overflow" in out
    assert "do not hold" in error

    def learns_if_short(jobs: Sequence[workers.Job]) -> list[workers.Result]:
        return [
            workers.Result(job.index, workers.Status.DIVERGED) if "e+25" in job.program else judged([job])[0]
            for job in jobs
        ]

    trained_by(learns_if_short)
    _, out, _ = run(capsys, str(path), "--tasks", "digits_tiny")
    assert "On digits_tiny the program as given scores 0.0000 ± 0.0000, the last one 0.2" in out


@pytest.mark.parametrize("number", ["0.33333331", "0.3333333333333333"])
def test_a_product_with_a_near_reciprocal_is_replayed_as_it_is_called(tmp_path, capsys, number):
    path, recorded = tmp_path / "near.opt", tmp_path / "near.json"
    path.write_text(f"def train(g):\n    x = g * 3.0\n    update = x * {number}\n    return update\n")
    assert run(capsys, str(path), "--rules", "-o", str(recorded))[0] == 0
    code, out, _ = run(capsys, "--replay", str(recorded), "--rules")
    assert (code, "FAILS" in out) == (0, False)


def test_an_interrupt_keeps_what_was_found(tmp_path, capsys, clipped, trained_by):
    def interrupting(jobs: Sequence[workers.Job]) -> list[workers.Result]:
        if len(jobs) > 1:  # the first reductions
            os.kill(os.getpid(), signal.SIGINT)
        return judged(jobs)

    trained_by(interrupting)
    path = tmp_path / "found.json"
    code, out, error = run(capsys, clipped, "--tasks", "digits_tiny", "-o", str(path))
    assert code == 130
    assert "interrupted" in error
    assert "clip(g, 1.0)" in out
    assert json.loads(path.read_text())["steps"]


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_trained(tmp_path, capsys, clipped, trained_by):
    trained_by(lambda jobs: pytest.fail("trained in vain"))
    code, out, error = run(capsys, clipped, "--tasks", "digits_tiny", "-o", str(tmp_path / "no" / "x.json"))
    assert (code, out) == (2, "")
    assert f"there is no folder {tmp_path / 'no'}" in error


def test_an_interrupt_before_the_first_step_does_not_say_that_there_is_nothing_to_simplify(
    tmp_path, capsys, trained_by
):
    def interrupting(jobs: Sequence[workers.Job]) -> list[workers.Result]:
        os.kill(os.getpid(), signal.SIGINT)
        return judged(jobs)

    trained_by(interrupting)
    path = tmp_path / "short.opt"
    path.write_text(SHORT)
    code, out, _ = run(capsys, str(path), "--tasks", "digits_tiny")
    assert code == 130
    assert out.strip() == SHORT.strip()


def test_replaying_the_derivation_of_lion_without_training(capsys):
    code, out, _ = run(capsys, "--replay", str(DERIVATION), "--rules")
    assert code == 0
    assert out.count("holds") == len(json.loads(DERIVATION.read_text())["steps"])


def test_the_derivation_of_lion_ends_at_lion():
    document = json.loads(DERIVATION.read_text())
    found = programs.parse(document["program"])
    assert document["start"] == str(programs.load("lion_raw"))
    facts = programs.check(found)
    assert facts.statements <= 7
    assert facts.live_state == ("m",)
    (b1, b2), (decay, rate) = numbers(found, "interp"), numbers(found, "multiply")
    lion = str(programs.load("lion"))
    for old, new in (("0.99)", f"{b2})"), ("0.9)", f"{b1})"), ("0.1\n", f"{decay}\n"), ("0.0001\n", f"{rate}\n")):
        lion = lion.replace(old, new)
    assert programs.key(programs.parse(lion)) == document["key"] == programs.key(found)


def numbers(program: programs.Program, function: str) -> list[float]:
    return [a for s in program.statements if s.function == function for a in s.arguments if not isinstance(a, str)]


@pytest.mark.slow
def test_the_raw_winner_ends_at_lion_and_its_derivation_holds_again(tmp_path, capsys):
    path = tmp_path / "lion.json"
    code, _, _ = run(capsys, "lion_raw", "--pool", "serial", "-o", str(path))
    assert code == 0
    assert json.loads(path.read_text())["key"] == json.loads(DERIVATION.read_text())["key"]
    code, out, _ = run(capsys, "--replay", str(path), "--pool", "serial")
    assert code == 0
    assert "the same scores; within the noise" in out


def test_replaying_trains_measured_steps_again(tmp_path, capsys, clipped, trained_by):
    trained_by(judged)
    path = tmp_path / "found.json"
    run(capsys, clipped, "--tasks", "digits_tiny", "-o", str(path))
    code, out, _ = run(capsys, "--replay", str(path))
    assert code == 0
    assert "trained again, the same scores; within the noise" in out
    document = json.loads(run(capsys, "--replay", str(path), "--json")[1])
    assert all(row["holds"] for row in document)
    trained_by(lambda jobs: [workers.Result(job.index, workers.Status.DIVERGED) for job in jobs])
    code, out, error = run(capsys, "--replay", str(path))
    assert code == 4
    assert "below the noise on digits_tiny" in out
    assert "do not hold" in error


@pytest.mark.parametrize("number", range(len(json.loads(DERIVATION.read_text())["steps"])))
def test_a_step_that_was_changed_does_not_hold(number: int, tmp_path, capsys):
    document = json.loads(DERIVATION.read_text())
    step = document["steps"][number]
    step["program"] = step["program"].replace("return update", "update = update * 1.01\n    return update")
    if step["proof"] == "measured":
        step["scores"] = {task: [0.0] * len(scores) for task, scores in step["scores"].items()}
    last = programs.parse(document["steps"][-1]["program"])
    document |= {"program": str(last), "key": programs.key(last)}
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(document))
    code, out, error = run(capsys, "--replay", str(path), "--rules")
    assert code == 4
    assert "FAILS" in out.splitlines()[number]
    assert f"step(s) {number + 1}" in error


WRONG = {
    "nothing": ((), 2, "PROGRAM"),
    "both": (("lion", "--replay", str(DERIVATION)), 2, "PROGRAM"),
    "no such file": (("--replay", "no.json"), 4, "no.json"),
    "no such suite": (("lion", "--tasks", "frist"), 2, "first"),
    "no such program": (("lino",), 4, "lion"),
    "too few rng seeds": (("lion", "--rng-seeds", "2"), 2, "3"),
    "serial with workers": (("lion", "--pool", "serial", "--workers", "2"), 2, "--pool ray"),
    "unwritable": (("lion", "--rules", "-o", "/nowhere/x.json"), 2, "/nowhere/x.json"),
}


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_wrong_input_gets_a_sentence_and_its_exit_code(case: str, capsys):
    arguments, code, said = WRONG[case]
    found, _, error = run(capsys, *arguments)
    assert found == code
    assert said in error
    assert "Traceback" not in error


DAMAGED = {
    "no JSON": (lambda text: text[:100], "is not a derivation"),
    "a missing key": (lambda text: text.replace('"start"', '"begin"'), "start"),
    "an unknown proof": (lambda text: text.replace('"exact"', '"sure"', 1), "proof"),
    "a bad program": (lambda text: text.replace("sign(v)", "sgin(v)"), "sgin"),
    "other tasks": (lambda text: text.replace('"digits_few"', '"digits_fwe"', 1), "different tasks"),
    "another program at the end": (lambda text: json.dumps(json.loads(text) | {"program": SHORT}), "at the end"),
    "another key": (lambda text: text.replace('"key": "', '"key": "0'), "at the end"),
    "a score that is no number": (lambda text: re.sub(r'(_few": \[\s*)[0-9.]+', r"\1NaN", text, count=1), "scores"),
    "a score that is text": (lambda text: re.sub(r'(_few": \[\s*)([0-9.]+)', r'\1"\2"', text, count=1), "scores"),
    "negative rng seeds": (lambda text: text.replace('"rng_seeds": [', '"rng_seeds": [-1,'), "rng_seeds"),
    "no rng seeds": (
        lambda text: re.sub(r'("(rng_seeds|digits_\w+)": \[)[^]]*\]', r"\1]", text),
        "0 rng seed(s)",
    ),
    "a file instead of a task": (lambda text: text.replace('"digits_few"', '"/etc/hostname"'), "pride tasks"),
    "unknown tasks": (lambda text: text.replace('"digits_few"', '"digits_fwe"'), "digits_fwe"),
}


@pytest.mark.parametrize("case", DAMAGED, ids=str)
def test_a_damaged_derivation_is_refused(case: str, tmp_path, capsys, trained_by):
    trained_by(judged)
    damage, said = DAMAGED[case]
    path = tmp_path / "damaged.json"
    path.write_text(damage(DERIVATION.read_text()))
    code, _, error = run(capsys, "--replay", str(path))
    assert code in (2, 4)
    assert said in error
    assert "Traceback" not in error


def test_the_page_escapes_everything_and_loads_nothing(tmp_path, capsys, trained_by):
    trained_by(judged)
    path = tmp_path / "<script>alert(1)<&'\".opt"
    path.write_text(CLIPPED)
    page_path = tmp_path / "page.html"
    run(capsys, str(path), "--tasks", "digits_tiny", "-o", str(page_path))
    page = page_path.read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;&amp;" in page
    assert not re.search(r"(src|href|url|import)\s*[=(:]", page)
    assert "default-src 'none'" in page
