"""The seed programs that equal a program, by key or by behaviour."""

from dataclasses import dataclass

from programs.algebra.keys import fingerprint, key
from programs.library import load, seed_programs
from programs.program import Program


@dataclass(frozen=True)
class Relatives:
    """The seed programs that equal a program.

    Attributes:
        same_key: The names of seed programs with the same dataflow.
        same_behaviour: The names of those with another key that behave alike on the probes: the same update rule in a
            form that the rules for keys do not recognise, or a rule that differs in cases that the probes miss.
    """

    same_key: tuple[str, ...]
    same_behaviour: tuple[str, ...]


def seed_relatives(program: Program) -> Relatives:
    """Find the seed programs with the same key, or else the same fingerprint.

    Raises:
        ProgramError: If the program is not well formed.
    """
    own_key, own_fingerprint = key(program), fingerprint(program)
    seeds = {name: load(name) for name in seed_programs()}
    same_key = tuple(name for name, seed in seeds.items() if key(seed) == own_key)
    alike = tuple(name for name, seed in seeds.items() if name not in same_key and fingerprint(seed) == own_fingerprint)
    return Relatives(same_key, alike)
