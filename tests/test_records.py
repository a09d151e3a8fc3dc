"""Outcomes and second scores: which ones are impossible, and how they are written."""

import json
import math

import pytest
from run_cases import PROGRAM, outcome

from evolve.store.records import Final, Outcome, columns, dump_lines, from_row, to_row


@pytest.mark.parametrize(
    "wrong",
    [
        {"score": math.nan},
        {"score": math.inf},
        {"losses": ((0.1, math.nan),)},
        {"losses": ((-math.inf,),)},
        {"seconds": math.nan},
        {"status": "fine"},
        {"parents": (3,)},
        {"parents": (-1,)},
    ],
)
def test_records_that_cannot_be(wrong):
    with pytest.raises(ValueError, match="right would be"):
        outcome(3, **wrong)


@pytest.mark.parametrize(
    "wrong", [{}, {"candidate": 0, "label": "lion"}, {"label": "x", "purpose": "fun"}, {"label": "x", "status": "fine"}]
)
def test_second_scores_that_cannot_be(wrong):
    fields = {"program": "p", "purpose": "report", "rng_seeds": (1,), "status": "ok", "score": 0.0, **wrong}
    with pytest.raises(ValueError, match="right would be"):
        Final(**fields)


def test_rows_are_read_back():
    final = Final(
        program="p", label="lion", purpose="report", rng_seeds=(7, 2**70), status="ok", score=0.1, losses=((1 / 3,),)
    )
    for record in (outcome(3), outcome(1, known_from=0, message="ü"), final):
        row = to_row(record)
        assert len(row) == len(columns(type(record)))
        assert from_row(type(record), row) == record
    for wrong in (to_row(final), to_row(outcome(1))[:-1], (None,) * len(columns(Outcome))):
        with pytest.raises(ValueError, match=r"."):
            from_row(Outcome, wrong)


def test_dump_is_canonical_and_tells_nothing_of_time_or_place():
    first = outcome(0, program="é\n", score=0.1, losses=((0.5, math.inf), ()))
    second = outcome(1, key="key0", known_from=0, status="timeout", score=-1.0, losses=(), seconds=9.0, attempts=2)
    assert list(dump_lines([first, second])) == [
        '{"index":0,"key":"key0","known_from":null,"losses":[["0x1.0000000000000p-1","inf"],[]],'
        '"mutation":"seed","parents":[],"program":"\\u00e9\\n","score":"0x1.999999999999ap-4",'
        '"status":"ok"}',
        '{"index":1,"key":"key0","known_from":0,"losses":[],"mutation":"insert","parents":[0],'
        f'"program":{json.dumps(PROGRAM)},"score":"-0x1.0000000000000p+0","status":"timeout"}}',
    ]
