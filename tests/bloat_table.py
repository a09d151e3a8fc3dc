"""Print how many bloated seed programs simplifying restores, by kind of bloat.

Run it as ``python tests/bloat_table.py``; it takes about half a minute. The last column counts those with the seed
program's own key: three seed programs are themselves shortened by rules, and their bloated versions end there too.
"""

from bloat_cases import came_back, many, singles

import programs


def row(name, exact, cases):
    back = [came_back(seed, bloated) for seed, bloated in cases]
    own = [programs.key(programs.simplify(b.program).program) == programs.key(seed) for seed, b in cases]
    return name, "yes" if exact else "no", len(cases), sum(back), sum(own)


def markdown_table():
    rows = [("bloat", "exact", "programs", "come back", "to the seed's own key"), ("---",) * 5]
    by_kind: dict = {}
    for case in singles():
        by_kind.setdefault(case[1].kinds[0], []).append(case)
    rows += [row(kind.name, kind.exact, cases) for kind, cases in by_kind.items()]
    for name, exact in (("3 to 8 at once, all exact", True), ("3 to 8 at once, of any kind", False)):
        rows.append(row(name, exact, list(many(exact))))
    return "".join(f"| {' | '.join(map(str, cells))} |\n" for cells in rows)


if __name__ == "__main__":
    print(markdown_table(), end="")
