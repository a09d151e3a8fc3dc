"""Print the table of seed programs of programs/README.md: sources, and how closely each agrees with its reference.

Run it as ``python tests/parity_table.py``; it trains every parity case, which takes about half a minute.
"""

import re

from parity_training import CASES, measure

import programs

HEADER = re.compile(
    r'# name: (?P<name>.+)\n# source: (?P<authors>.+?), "(?P<title>.+)", (?P<year>\d{4}), (?P<link>https://\S+)\n'
)
COLUMNS = ("program", "name", "source", "compared with", "largest relative error")


def described(name):
    """Return the cells of a seed program's row except the last."""
    header = HEADER.match(programs.source_text(name))
    assert header, name
    source = "[{authors}, {year}]({link})".format_map(header.groupdict())
    against = "; ".join(case.against for case in CASES if case.program == name)
    return f"`{name}`", header["name"], source, against


def row(name):
    """Return the cells of a seed program's row, with the largest error of its cases."""
    errors = [measure(programs.load(name), case).error for case in CASES if case.program == name]
    return *described(name), f"{max(errors):.2g}"


def markdown_table():
    """Return the table, sorted by the programs' names."""
    rows = [COLUMNS, ["---"] * len(COLUMNS), *map(row, programs.seed_programs())]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


if __name__ == "__main__":
    print(markdown_table(), end="")
