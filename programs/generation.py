"""New programs, valid by construction: random programs of a given length, and crossovers of two programs."""

from dataclasses import replace

import numpy as np

from programs.checking import misplaced_arguments
from programs.edits import Limits, draw_argument, draw_number, insert, pick
from programs.program import RESERVED, Program, Statement, fresh_name, variables, with_argument

_PARAMETERS = ("w", "g", "m", "v", "lr")


def random_program(
    length: int, rng: np.random.Generator, limits: Limits, parameters: tuple[str, ...] = _PARAMETERS
) -> Program:
    """Draw a program: every call from all functions and variables, its target a known variable or a new one.

    Args:
        length: The number of statements, from 1 to the limit; the last one computes the update.
        rng: The source of randomness.
        limits: The limits of statements, state variables, numbers and functions.
        parameters: The names that the program reads: reserved names of inputs, and state variables.

    Raises:
        ValueError: If there are no parameters, or the length or the number of state variables exceeds the limits.
    """
    if not 1 <= length <= limits.statements:
        raise ValueError(f"a length of {length} is not from 1 to {limits.statements}, the limit of statements")
    if not parameters:
        raise ValueError("a program needs parameters, such as ('w', 'g', 'm', 'lr')")
    program = Program(parameters, (), parameters[0])
    if len(program.state) > limits.state:
        raise ValueError(f"{len(program.state)} state variables are more than {limits.state}, the limit")
    update = "update" if "update" not in parameters else fresh_name(variables(program))
    for index in range(length):
        program = insert(program, index, rng, limits, target=update if index == length - 1 else None)
    return replace(program, update=update)


def crossover(first: Program, second: Program, rng: np.random.Generator, limits: Limits) -> Program:
    """Join the beginning of one program to the end of another, each cut at a place drawn at random.

    The child has the state variables of the first program, then those of the second that fit the limits; variables of
    the same name become one. An argument in the end that has no value in the child is drawn again.

    Args:
        first: The program that the beginning comes from.
        second: The program that the end comes from.
        rng: The source of randomness.
        limits: The limits of statements, state variables and numbers; the first's state is kept even beyond them.
    """
    cut = pick(rng, range(min(len(first.statements), limits.statements) + 1))
    size = len(second.statements)
    start = pick(rng, range(max(0, size - (limits.statements - cut)), size + 1))
    parameters = _joined_parameters(first, second, limits)
    statements = list(first.statements[:cut])
    known = dict.fromkeys((*parameters, *(statement.target for statement in statements)))
    for target, function, arguments in second.statements[start:]:
        given = [x if not isinstance(x, str) or x in known else draw_argument(rng, [*known], limits) for x in arguments]
        statements.append(Statement(target, function, tuple(given)))
        known[target] = None
    update = next((name for name in (second.update, first.update) if name in known), None) or pick(rng, [*known])
    child = Program(parameters, tuple(statements), update)
    for place in misplaced_arguments(child):
        child = with_argument(child, place, draw_number(rng, limits))
    return child


def _joined_parameters(first: Program, second: Program, limits: Limits) -> tuple[str, ...]:
    new = [name for name in second.parameters if name not in first.parameters]
    inputs = [name for name in new if name in RESERVED]
    state = [name for name in new if name not in RESERVED]
    return (*first.parameters, *inputs, *state[: max(0, limits.state - len(first.state))])
