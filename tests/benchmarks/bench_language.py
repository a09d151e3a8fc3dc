"""Children a second on one core: one edit, the check, and the key, from programs of about 15 statements."""

import time

import numpy as np

import programs

CHILDREN = 2_000


def main() -> None:
    """Time each part over the same children and print a table."""
    rng = np.random.default_rng(0)
    limits = programs.Limits()
    parent = programs.load("adamw")
    seconds = dict.fromkeys(("edit", "check", "key", "parse and print"), 0.0)
    for _ in range(CHILDREN):
        name = ("insert", "delete", "modify", "constants")[int(rng.integers(4))]
        start = time.perf_counter()
        child = programs.EDITS[name].apply(parent, rng, limits)
        edited = time.perf_counter()
        programs.check(child)
        checked = time.perf_counter()
        programs.key(child)
        keyed = time.perf_counter()
        programs.parse(str(child))
        seconds["parse and print"] += time.perf_counter() - keyed
        seconds["edit"] += edited - start
        seconds["check"] += checked - edited
        seconds["key"] += keyed - checked
    print(f"{'part':<16}  microseconds a child")
    for part, total in seconds.items():
        print(f"{part:<16}  {1e6 * total / CHILDREN:10.0f}")
    together = sum(seconds[part] for part in ("edit", "check", "key"))
    print(f"edit, check and key: {CHILDREN / together:.0f} children a second")


if __name__ == "__main__":
    main()
