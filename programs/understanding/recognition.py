"""What a program consists of, in the terms of the field: one table, with one row per pattern."""

from dataclasses import dataclass
from functools import lru_cache

from programs.algebra.simplification import simplify
from programs.dataflow import from_program
from programs.program import Program
from programs.understanding import memory_patterns as memory
from programs.understanding import update_patterns as update
from programs.understanding.anatomy import Anatomy
from programs.understanding.memory_patterns import Finder
from programs.understanding.phrasing import expression
from programs.understanding.recurrence import Course, Roles


@dataclass(frozen=True)
class Feature:
    """A known technique that a program uses.

    Attributes:
        name: The name of the pattern, a row of ``PATTERNS``.
        sentence: What it does in this program, with the numbers found.
        value: The value concerned, as an expression in the variables of the simplified program.
        numbers: The numbers found, by name.
    """

    name: str
    sentence: str
    value: str
    numbers: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Pattern:
    """One row of the table of patterns.

    Attributes:
        name: The name of what it finds.
        find: Yields, for every occurrence, the place of the value, a sentence and the numbers found.
    """

    name: str
    find: Finder


_AVERAGES = {Course.AVERAGE, Course.ADDITIVE}
_SUMS = {Course.SUM, Course.MOMENTUM}

PATTERNS = (
    Pattern("EMA", memory.courses(Course.AVERAGE, "{name} is the EMA of {x}{decay}{time}")),
    Pattern("momentum", memory.courses(Course.MOMENTUM, "{name} accumulates {x}{decay}{time}")),
    Pattern(
        "EMA with a decay per weight",
        memory.courses(Course.OWN_DECAY, "{name} averages {x}, with a decay per weight"),
    ),
    Pattern("sum over steps", memory.courses(Course.SUM, "{name} sums {x} over all steps")),
    Pattern("running maximum", memory.courses(Course.MAXIMUM, "{name} keeps the largest of {x}{decay}{time}")),
    Pattern("additive second moment", memory.courses(Course.ADDITIVE, "{name} moves towards {x} by a fraction of it")),
    Pattern("running product", memory.courses(Course.PRODUCT, "{name} is the product of {x} over all steps")),
    Pattern("first weights", memory.first_weights),
    Pattern("separate sequence of weights", memory.iterate),
    Pattern("value of the previous step", memory.previous),
    Pattern("change since the previous step", memory.change),
    Pattern("bias correction", memory.bias_correction),
    Pattern("momentum with two decays", memory.two_decays),
    Pattern("Nesterov momentum", memory.nesterov),
    Pattern("quasi-hyperbolic momentum", memory.quasi_hyperbolic),
    Pattern("gradient added to the momentum", memory.gradient_beside),
    Pattern("several momenta", memory.several),
    Pattern("variance", update.variance),
    Pattern("RMS normalisation", update.normalisation(_AVERAGES, {"sqrt"})),
    Pattern("AdaGrad normalisation", update.normalisation(_SUMS, {"sqrt"})),
    Pattern("normalisation by the running maximum", update.normalisation({Course.MAXIMUM}, {"sqrt", "power", ""})),
    Pattern("normalisation by another root", update.normalisation(_AVERAGES | _SUMS, {"cbrt", "power"})),
    Pattern("scaling by a root", update.scaling_by_root),
    Pattern("normalisation by its norm", update.normalised),
    Pattern("trust ratio", update.trust_ratio),
    Pattern("orthogonalisation", update.orthogonalised),
    Pattern("sign of a momentum", update.sign_of_momentum),
    Pattern("sign of the gradient", update.sign_of_gradient),
    Pattern("agreement of signs", update.sign_agreement),
    Pattern("size of one, sign of another", update.sign_grafting),
    Pattern("cautious mask", update.cautious_mask),
    Pattern("clipping by global norm", update.clipped),
    Pattern("clipping by norm", update.clipped_by_array),
    Pattern("clipping by value", update.clipped_by_value),
    Pattern("lookahead", update.lookahead),
    Pattern("decoupled weight decay", update.decoupled_decay),
    Pattern("weight growth", update.weight_growth),
    Pattern("L2 regularisation", update.decay_in_gradient),
    Pattern("weight decay inside the momentum", update.decay_in_momentum),
)
"""The patterns, in the order in which they are reported: memory first, then the update."""


@lru_cache(maxsize=8)
def recognise(program: Program) -> tuple[Feature, ...]:
    """Find the known techniques in a program, in the order of the table.

    The simplified program is searched, so the way a program is written matters little.

    Raises:
        ProgramError: If the program is not well formed.
    """
    roles = roles_of(program)
    found: dict[tuple[str, str], Feature] = {}
    for pattern in PATTERNS:
        for place, sentence, numbers in pattern.find(roles):
            feature = Feature(pattern.name, sentence, expression(roles.anatomy, place), numbers)
            found.setdefault((pattern.name, sentence), feature)
    return tuple(found.values())


@lru_cache(maxsize=8)
def roles_of(program: Program) -> Roles:
    """Simplify a program and find the roles of its state variables.

    Raises:
        ProgramError: If the program is not well formed.
    """
    return Roles(Anatomy(from_program(simplify(program, prove=False).program)))
