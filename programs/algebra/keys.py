"""Two notions of equality besides ``==``: the key (same dataflow) and the fingerprint (same behaviour)."""

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache

from programs.algebra.probes import probe
from programs.algebra.simplification import normal_form
from programs.checking import check
from programs.program import Program

_DIGITS = 6  # significant digits of the updates in a fingerprint


def key(program: Program) -> str:
    """Hash what a program computes: the key by which a search recognises it.

    Names, order, dead code (across steps), the order of state variables, commutativity, folding of constants and the
    rules that decide keys make no difference. These rules are exact: programs with the same key compute the same in
    32-bit floats, up to rounding and the sign of zero. Programs that are equal in real arithmetic only, and overflow,
    underflow or become NaN at different places, have different keys.

    Returns:
        64 hexadecimal digits (SHA-256).

    Raises:
        ProgramError: If the program is not well formed.
    """
    live = check(program).live
    lines = str(program).split("\n")[1 : len(live) + 1]
    text = tuple([line for line, alive in zip(lines, live, strict=True) if alive])
    return _key(_LiveText(text, program.update, program))


@dataclass(frozen=True)
class _LiveText:
    """The text that decides a program's key; most edits of a search touch dead statements and leave it unchanged."""

    statements: tuple[str, ...]
    update: str
    program: Program = field(compare=False)


@lru_cache(maxsize=2048)  # a population of 1,000 and its children
def _key(live: _LiveText) -> str:
    graph = normal_form(live.program)
    labels = graph.state_labels
    digests = graph.digests(labels, range(len(graph.nodes)))
    # The update's digest covers only a few steps; each label paired with its next one describes the rest of the loop.
    loop = sorted([labels[name] + digests[place] for name, place in graph.state.items()])
    return hashlib.sha256(b"".join([digests[graph.update], *loop])).hexdigest()


def fingerprint(program: Program) -> str:
    """Hash how a program behaves: its updates on fixed arrays over several steps, to six significant digits.

    Returns:
        64 hexadecimal digits (SHA-256). Equal for programs that behave alike on the probes, however they are written.

    Raises:
        ProgramError: If the program is not well formed.
    """
    digest = hashlib.sha256()
    for update in probe(program):
        for array in update:
            digest.update(",".join(f"{x:.{_DIGITS - 1}e}" for x in array.ravel() + 0.0).encode())
    return digest.hexdigest()
