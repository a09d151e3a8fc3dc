"""The seed programs that equal a program, by key or by behaviour."""

from dataclasses import dataclass

from programs.algebra.keys import fingerprint, key
from programs.algebra.probes import PERIOD, largest_difference
from programs.library import load, seed_programs
from programs.program import Program

_ALIKE = 1e-5  # relative to the largest element of an update


@dataclass(frozen=True)
class Relatives:
    """The seed programs that equal a program.

    Attributes:
        same_key: The names of seed programs with the same dataflow.
        same_behaviour: The names of those with another key that behave alike: with the same fingerprint, and the same
            updates over ``4 * PERIOD`` steps in which averages also point against the gradient. They are the same rule
            in a form that the rules for keys do not recognise, or differ in cases that the probes miss.
    """

    same_key: tuple[str, ...]
    same_behaviour: tuple[str, ...]


def seed_relatives(program: Program) -> Relatives:
    """Find the seed programs with the same key, or else the same fingerprint and the same updates over many steps.

    Raises:
        ProgramError: If the program is not well formed.
    """
    own_key, own_fingerprint = key(program), fingerprint(program)
    seeds = {name: load(name) for name in seed_programs()}
    same_key = tuple(name for name, seed in seeds.items() if key(seed) == own_key)
    alike = [name for name, seed in seeds.items() if name not in same_key and fingerprint(seed) == own_fingerprint]
    return Relatives(same_key, tuple(name for name in alike if _moves_as(program, seeds[name])))


def _moves_as(program: Program, seed: Program) -> bool:
    return largest_difference(program, seed, steps=4 * PERIOD, persistent=True) <= _ALIKE
