"""Tables: what no terminal is too narrow for."""

import re

import pytest

from evolve.commands.printing import print_table

COLUMNS = ["<program", "score on fresh rng seeds", "digits_vit_small, nats", "digits_vit_large, nats", "state slots"]
ROWS = [
    ("a_run_of_some_name:1234", 1.25, "0.2138 ± 0.0464", "2.0867 ± 0.0215", 1),
    ("a_run_of_some_name:1235", 1.5, "0.2139 ± 0.0465", None, 2),
]
WORDS = [cell for row in ROWS for cell in row if isinstance(cell, str)] + ["1.2500", "1.5000"]


@pytest.fixture
def terminal(monkeypatch):
    """Make the console believe that it is a terminal of so many columns."""

    def use(width):
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", str(width))

    return use


def printed(capsys, *table):
    print_table("Title", *table)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert lines[0].rstrip() == "Title"
    return [line.rstrip() for line in lines[1:]]


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_no_terminal_is_too_narrow_for_names_and_intervals(terminal, capsys, width):
    terminal(width)
    lines = printed(capsys, COLUMNS, ROWS)
    assert all(any(word in line for line in lines) for word in WORDS)
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)


def test_a_narrow_terminal_gets_a_block_per_row(terminal, capsys):
    terminal(60)
    assert printed(capsys, COLUMNS, ROWS) == [
        "program                   a_run_of_some_name:1234",
        "score on fresh rng seeds  1.2500",
        "digits_vit_small, nats    0.2138 ± 0.0464",
        "digits_vit_large, nats    2.0867 ± 0.0215",
        "state slots               1",
        "",
        "program                   a_run_of_some_name:1235",
        "score on fresh rng seeds  1.5000",
        "digits_vit_small, nats    0.2139 ± 0.0465",
        "state slots               2",
    ]


def test_only_names_of_columns_and_prose_wrap(terminal, capsys):
    terminal(48)
    rows = [("iris", "0.2138 ± 0.0464", "a perceptron that tells three flowers apart")]
    assert printed(capsys, ["<task", "score on fresh rng seeds", "<<what it is"], rows) == [
        "        score on fresh",
        "task         rng seeds  what it is",
        "iris   0.2138 ± 0.0464  a perceptron that tells",
        "                        three flowers apart",
    ]


def test_a_file_gets_lines_as_long_as_it_takes(capsys):
    columns = ["<program", *(f"task_number_{number}, nats" for number in range(12))]
    row = printed(capsys, columns, [("adamw", *["0.2138 ± 0.0464"] * 12)])[-1]
    assert row.count("0.2138 ± 0.0464") == 12


def test_a_table_without_rows_is_its_head(capsys):
    assert printed(capsys, ["<program", "score"], []) == ["program  score"]
