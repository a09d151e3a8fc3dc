"""Children per second on one core: an edit, the check and the key, by part, by kind of parent and by length."""

import time
from collections.abc import Sequence

import numpy as np

import programs

REPEATS, CHILDREN = 7, 400  # the fastest of the repeats counts: the machine is shared
EDITS = [programs.EDITS[name] for name in ("insert", "delete", "modify", "constants")]
PARTS = ("together", "edit", "check", "key", "print", "parse")


def grown(seed: str, length: int, rng_seed: int) -> programs.Program:
    """Grow or shrink a seed program to a length by insertions and deletions, as a search would."""
    rng, limits = np.random.default_rng(rng_seed), programs.Limits(statements=length)
    program = programs.load(seed)
    while len(program.statements) != length:
        name = "insert" if len(program.statements) < length else "delete"
        program = programs.EDITS[name].apply(program, rng, limits)
    return program


def seconds_a_child(parents: Sequence[programs.Program]) -> dict[str, float]:
    """Time one child of each parent in turn, from the edit to the key, and then each part; parents are checked first.

    A program keeps its facts, so the check with which the key begins costs nothing.
    """
    limits = programs.Limits(statements=len(parents[0].statements) + 1)
    family = [parents[number % len(parents)] for number in range(CHILDREN)]
    best: dict[str, float] = dict.fromkeys(PARTS, np.inf)
    for repeat in range(REPEATS):
        rng = np.random.default_rng(repeat)
        edits = [EDITS[place] for place in rng.integers(len(EDITS), size=CHILDREN)]
        clock = [time.perf_counter()]
        for parent, edit in zip(family, edits, strict=True):
            child = edit.apply(parent, rng, limits)
            programs.check(child)
            programs.key(child)
        clock.append(time.perf_counter())
        children = [edit.apply(parent, rng, limits) for parent, edit in zip(family, edits, strict=True)]
        clock.append(time.perf_counter())
        for child in children:
            programs.check(child)
        clock.append(time.perf_counter())
        for child in children:
            programs.key(child)
        clock.append(time.perf_counter())
        texts = [str(child) for child in children]
        clock.append(time.perf_counter())
        for text in texts:
            programs.parse(text)
        clock.append(time.perf_counter())
        spent = np.diff(clock) / CHILDREN
        best = {part: min(best[part], seconds) for part, seconds in zip(PARTS, spent, strict=True)}
    return best


def main() -> None:
    """Print a table."""
    rows = {"AdamW, all live": [programs.load("adamw")]}
    for length in (15, 30, 60, 120, 240):
        rows[f"grown from AdamW to {length}"] = [grown("adamw", length, rng_seed) for rng_seed in range(20)]
    print(f"{'parents':<24}{'statements':>11}{'live':>6}{'children/s':>12}" + "".join(f"{part:>10}" for part in PARTS))
    print(" " * 53 + f"{'us':>10}" * len(PARTS))
    for name, parents in rows.items():
        length = len(parents[0].statements)
        live = np.mean([programs.check(parent).statements for parent in parents])
        spent = seconds_a_child(parents)
        cells = "".join(f"{1e6 * spent[part]:10.1f}" for part in PARTS)
        print(f"{name:<24}{length:>11}{live:>6.1f}{1 / spent['together']:>12.0f}{cells}")
    print("together: edit, check and key, one child after another; the fastest of several repeats")


if __name__ == "__main__":
    main()
