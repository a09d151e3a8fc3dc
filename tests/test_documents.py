"""What `pride show` tells about a program: facts, dead state, and the seed programs that are the same."""

import json

import pytest
from click.testing import CliRunner

from evolve.program_commands import show_command

HIDDEN_SGD = """\
def train(w, g, lr):
    rate = exp(lr)
    rate = log(rate)
    rate = rate * 0.1
    update = g * rate
    return update
"""


def shown(reference: str, text: str = "") -> dict[str, str]:
    """Run the command and give the lines of facts by their names."""
    result = CliRunner().invoke(show_command, [reference], input=text, catch_exceptions=False)
    _, facts, *_ = result.stdout.split("\n\n")
    return {line[:17].strip(): line[18:] for line in facts.splitlines()}


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
        "w, lr",
        "none; 0 number(s) for each weight",
    )
    assert "does not read" not in shown("adamw")


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
