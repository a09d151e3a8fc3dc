"""What `pride show` says about a program: facts, dead state, and the seed programs that are the same."""

import json

import pytest
from click.testing import CliRunner

import programs
from evolve.commands.program_commands import show_command

HIDDEN_SGD = """\
def train(w, g, lr):
    rate = exp(lr)
    rate = log(rate)
    rate = rate * 0.1
    update = g * rate
    return update
"""


def shown(reference: str, text: str = "") -> dict[str, str]:
    """Run the command and return the lines of facts by their names."""
    result = CliRunner().invoke(show_command, [reference], input=text, catch_exceptions=False)
    facts = result.stdout.partition("\n\n")[2].partition("\n#\n")[0]
    return {line[2:19].strip(): line[20:] for line in facts.splitlines()}


def document(reference: str, text: str = "") -> dict:
    result = CliRunner().invoke(show_command, [reference, "--json"], input=text, catch_exceptions=False)
    return json.loads(result.stdout)


def test_the_raw_winner_of_the_paper():
    facts = shown("lion_raw")
    assert facts["live statements"] == "12 of 21 (13 within one step)"
    assert facts["state"] == "v (tensor); 1 number(s) for each weight"
    assert facts["dead state"] == "m"
    assert facts["cost"] == "14 multiply-add(s) and 1 transcendental(s) for each weight and step"
    assert facts["same as"] == "lion_pruned"
    read = document("lion_raw")
    assert (read["live_statements"], read["live_within_step"], read["live_state"]) == (12, 13, ["v"])
    assert [s["text"] for s in read["statements"] if not s["live"]][-3:] == [
        "m = cosh(update)",
        "lr = tan(1.4572199583053589)",
        "lr = cos(v845)",
    ]


def test_what_is_not_read_is_told():
    facts = shown("-", "def train(g):\n    update = sign(g)\n    return update\n")
    assert (facts["reads"], facts["does not read"], facts["state"]) == (
        "g",
        "w",
        "none; 0 number(s) for each weight",
    )
    assert "does not read" not in shown("adamw")


def test_a_learning_rate_that_is_not_read_is_told_in_a_line():
    sentence = "# does not read lr: a learning rate or schedule has no effect\n"
    ignores = "def train(w, g):\n    update = g * 0.1\n    return update\n"
    told = CliRunner().invoke(show_command, ["-"], input=ignores, catch_exceptions=False).stdout
    assert sentence in told
    assert sentence not in CliRunner().invoke(show_command, ["sgd"], catch_exceptions=False).stdout


@pytest.mark.parametrize("name", ["lion_raw", "adamw", "adai"])
def test_what_is_shown_can_be_read_as_a_program_again(name: str):
    told = CliRunner().invoke(show_command, [name], catch_exceptions=False).stdout
    assert programs.parse(told) == programs.load(name)
    again = CliRunner().invoke(show_command, ["-"], input=told, catch_exceptions=False).stdout
    rows = [line for line in told.splitlines() if not line.startswith("# same as")]
    assert [line for line in again.splitlines() if not line.startswith("# same as")] == rows


def test_a_seed_program_that_only_behaves_alike_is_named():
    facts = shown("-", HIDDEN_SGD)
    assert facts["behaves like"] == "sgd (other key, same fingerprint)"
    assert "same as" not in facts
    read = document("-", HIDDEN_SGD)
    assert (read["seeds_with_the_same_key"], read["seeds_with_the_same_fingerprint"]) == ([], ["sgd"])


@pytest.mark.parametrize(("reference", "same"), [("bias_correction:adamw_paper", "adamw"), ("lion_pruned", "lion_raw")])
def test_a_seed_program_with_the_same_key_is_named(reference, same):
    facts = shown(reference)
    assert facts["same as"] == same
    assert "behaves like" not in facts
    assert same in document(reference)["seeds_with_the_same_key"]


def sections(reference: str, text: str = "") -> dict[str, list[str]]:
    """Run the command and return the lines below the facts by their titles."""
    result = CliRunner().invoke(show_command, [reference], input=text, catch_exceptions=False)
    _, *parts = result.stdout.partition("\n\n")[2].replace("\n# ", "\n").split("\n#\n")
    return {title: [" ".join(row.split()) for row in rows] for title, *rows in map(str.splitlines, parts)}


def test_what_a_program_is_made_of_and_does():
    found = sections("lion")
    assert found["recognised"][0].startswith("EMA m is the EMA of the gradient with decay 0.99")
    assert [row.split()[0] for row in found["nearest seed programs (mean cosine of the updates, 24 steps)"]] == [
        neighbour.name for neighbour in programs.nearest_seeds(programs.load("lion"))
    ]
    assert found["effective learning rate"][0] == "in the program lr times 0.0001 multiplies the update as a whole"
    assert found["effective learning rate"][1].startswith("measured an update is about 0.0001 per weight")
    assert found["decay"][0].endswith("each step takes 1e-05 * lr of the weights away: 0.1 times the learning rate")
    assert found["decay"][1] == "measured a step without a gradient shrinks the weights by 1e-05 of their size (lr 1)"


def test_the_same_as_json():
    read = document("lion")
    assert [row["name"] for row in read["recognised"]] == [
        "EMA",
        "momentum with two decays",
        "sign of a momentum",
        "decoupled weight decay",
    ]
    assert read["recognised"][1]["numbers"] == {"decay": 0.9, "state_decay": pytest.approx(0.99)}
    assert [row["name"] for row in read["nearest"]] == [
        neighbour.name for neighbour in programs.nearest_seeds(programs.load("lion"))
    ]
    assert read["effective_learning_rate"] == {
        "factor": pytest.approx(1e-4),
        "update_size_measured": pytest.approx(1e-4, rel=0.01),
        "power_of_lr_measured": 1.0,
    }
    assert read["effective_decay"]["rules"][0]["decay"] == pytest.approx(0.1)
    assert read["effective_decay"]["part_of_weights_measured"] == pytest.approx(1e-5)
    assert read["latex"] == programs.to_latex(programs.load("lion"))


@pytest.mark.parametrize(
    ("body", "rate", "size"),
    [
        ("update = g", "lr is not read", "measured an update is about 1 per weight"),
        (
            "update = sin(lr) * g",
            "lr does not multiply the update as a whole",
            "measured an update is about 0.84 per weight",
        ),
        ("update = g * lr / 0.0 * 1e308 * 1e308", "", "measured updates are not finite on noise of variance 1"),
    ],
)
def test_what_cannot_be_told_is_said(body, rate, size):
    found = sections("-", f"def train(w, g, lr):\n    {body}\n    return update\n")
    assert found["recognised"] == ["nothing with a name"]
    assert rate in found["effective learning rate"][0]
    assert found["effective learning rate"][1].startswith(size)
    assert found["decay"][0] == "in the program none is found"


@pytest.mark.parametrize(
    ("decay", "said"),
    [
        ("w * 0.021", "in the program weight growth: each step adds 0.021 of the weights"),
        ("sin(w)", "in the program none is found that explains what is measured"),
    ],
)
def test_weights_that_grow_are_explained_or_said_not_to_be(decay, said):
    found = sections("-", f"def train(w, g):\n    x = {decay}\n    update = g - x\n    return update\n")
    assert found["decay"][0] == said
