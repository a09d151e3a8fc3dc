"""Print how many bloated seed programs come back to the seed program's key when they are simplified, by kind of bloat.

Run it as ``python tests/bloat_table.py``; it takes about a minute.
"""

from bloat_cases import many, singles

import programs


def came_back(seed, bloated):
    return programs.key(programs.simplify(bloated.program).program) == programs.key(seed)


def markdown_table():
    rows = [("bloat", "exact", "programs", "come back"), ("---",) * 4]
    by_kind: dict = {}
    for seed, bloated in singles():
        by_kind.setdefault(bloated.kinds[0], []).append(came_back(seed, bloated))
    for kind, results in by_kind.items():
        rows.append((kind.name, "yes" if kind.exact else "no", len(results), sum(results)))
    for name, exact in (("several at once, all exact", True), ("several at once, of any kind", False)):
        results = [came_back(seed, bloated) for seed, bloated in many(exact)]
        rows.append((name, "yes" if exact else "no", len(results), sum(results)))
    return "".join(f"| {' | '.join(map(str, cells))} |\n" for cells in rows)


if __name__ == "__main__":
    print(markdown_table(), end="")
