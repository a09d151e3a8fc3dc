"""The transformations: additions to any optimizer, such as lookahead or clipping. One table, with one row for each.

Each puts statements before and after those of a program, under names that the program does not have. The weights, the
gradient, the step and the schedule are read before the program, which may assign to their names. All raise a
ProgramError if a number is not in its range, or if the transformed program is longer than ``parse`` allows.
"""

import inspect
import itertools
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from types import MappingProxyType

from programs.parameters import Parameter, Range, Transformation
from programs.program import Argument, Program, ProgramError, Statement
from programs.scanning import MAX_BYTES, MAX_STATEMENTS

_LARGEST = sys.float_info.max
_LAST_STEP = 2**24  # up to which 32-bit floats hold every whole number
_STEPS = Range(f"a whole number from 1 to {_LAST_STEP}", lambda x: 1 <= x <= _LAST_STEP and x % 1 == 0)
_PART = Range("a number from 0 to 1", lambda x: 0 <= x <= 1)
_POSITIVE = Range("a finite number above 0", lambda x: 0 < x <= _LARGEST)
_NOT_NEGATIVE = Range("a finite number from 0", lambda x: 0 <= x <= _LARGEST)

_PLACES = {"w": 0, "g": 1, "t": 3, "lr": 4}  # of parameters, as people write them; state variables are at 2
_LONGEST_STEM = 48  # the most letters of a name that leave room for an ending


def lookahead(program: Program, k: int = 5, alpha: float = 0.5) -> Program:
    """Make slow weights follow the program's fast weights, and set the fast ones to them every ``k`` steps.

    The fast weights are ``w``. The slow ones are a new state variable, equal to ``w`` at first; whenever ``k`` divides
    ``t``, they move the fraction ``alpha`` of the way to the new fast weights, and the update leads there. The
    program's own state is kept, as by ``optax.lookahead`` without ``reset_state``.
    """
    period, step = _checked("lookahead", k=k, alpha=alpha)
    slow, first, sync, fast, jump = _fresh(program, "slow", "first", "sync", "fast", "jump")
    update = _update_name(program)
    before = [
        Statement(first, "equal", ("t", 1.0)),
        Statement(slow, "where", (first, "w", slow)),
        Statement(sync, "mod", ("t", period)),
        Statement(sync, "equal", (sync, 0.0)),
    ]
    weights = "w"
    if any(statement.target == "w" for statement in program.statements):
        (weights,) = _fresh(program, "weights")
        before.append(Statement(weights, "copy", ("w",)))
    after = [
        Statement(fast, "subtract", (weights, program.update)),
        Statement(fast, "interp", (slow, fast, step)),
        Statement(slow, "where", (sync, fast, slow)),
        Statement(jump, "subtract", (weights, slow)),
        Statement(update, "where", (sync, jump, program.update)),
    ]
    return _made(program, ("w", "t", slow), [*before, *program.statements, *after], update)


def clip_by_global_norm(program: Program, max_norm: float = 1.0) -> Program:
    """Scale the gradient down, if needed, to a norm of at most ``max_norm`` over all weight arrays together.

    A program without ``g`` stays as it is.
    """
    (norm,) = _checked("clip_by_global_norm", max_norm=max_norm)
    return _with_gradient(program, (), [Statement("g", "clip", ("g", norm))])


def clip_by_value(program: Program, max_delta: float = 1.0) -> Program:
    """Clip every element of the gradient to [-``max_delta``, ``max_delta``].

    A program without ``g`` stays as it is.
    """
    (bound,) = _checked("clip_by_value", max_delta=max_delta)
    clipped = [Statement("g", "min", ("g", bound)), Statement("g", "max", ("g", -bound))]
    return _with_gradient(program, (), clipped)


def weight_decay(program: Program, rate: float = 1e-5) -> Program:
    """Add ``lr * rate * w`` to the update: weight decay that is decoupled from the gradient.

    A program's own learning rate is a constant somewhere in it, and ``lr`` is only the schedule. So ``rate`` is the
    learning rate times the decay: the default is that of the seed program AdamW, 0.001 * 0.01.
    """
    (rate,) = _checked("weight_decay", rate=rate)
    (decay,) = _fresh(program, "wd")
    update = _update_name(program)
    before = [Statement(decay, "multiply", ("lr", rate)), Statement(decay, "multiply", ("w", decay))]
    after = [Statement(update, "add", (program.update, decay))]
    return _made(program, ("w", "lr"), [*before, *program.statements, *after], update)


def l2(program: Program, decay: float = 1e-4) -> Program:
    """Add ``decay * w`` to the gradient: the gradient of a penalty ``decay / 2 * |w|^2`` on the loss.

    A program without ``g`` stays as it is.
    """
    (decay,) = _checked("l2", decay=decay)
    (added,) = _fresh(program, "wd")
    before = [Statement(added, "multiply", ("w", decay)), Statement("g", "add", ("g", added))]
    return _with_gradient(program, ("w",), before)


def bias_correction(program: Program) -> Program:
    """Read every moving average as ``m / (1 - b^t)`` once it is updated, which corrects its start at zero.

    A moving average is a state variable whose only assignment is ``m = interp(x, m, b)`` for a number ``b``, except 1
    and -1, for which 1 - b^t can be 0. The state itself is kept uncorrected. A program that has no moving
    average stays as it is.
    """
    averages = _moving_averages(program)
    if not averages:
        return program
    factors = tuple(dict.fromkeys(averages.values()))
    names = _fresh(program, *(f"b{place}t" for place in range(1, len(factors) + 1)))
    hats = _fresh(program, *(f"{name[:_LONGEST_STEM]}hat" for name in averages))
    factor_of = dict(zip(factors, names, strict=True))
    hat_of = dict(zip(averages, hats, strict=True))
    statements = []
    for factor, name in factor_of.items():
        statements += [
            Statement(name, "power", (factor, "t")),
            Statement(name, "subtract", (1.0, name)),
            Statement(name, "reciprocal", (name,)),
        ]
    read: dict[Argument, Argument] = {}
    for statement in program.statements:
        target, function, arguments = statement.target, statement.function, statement.arguments
        statements.append(Statement(target, function, tuple(read.get(word, word) for word in arguments)))
        if target in hat_of:
            statements.append(Statement(hat_of[target], "multiply", (target, factor_of[averages[target]])))
            read[target] = hat_of[target]
    return _made(program, ("t",), statements, hat_of.get(program.update, program.update))


def _moving_averages(program: Program) -> dict[str, float]:
    """Find the moving averages that are read after their update, each with its number ``b``."""
    assignments = Counter(statement.target for statement in program.statements)
    averages: dict[str, float] = {}
    for place, statement in enumerate(program.statements):
        name, after = statement.target, program.statements[place + 1 :]
        if statement.function != "interp" or name not in program.state or assignments[name] > 1:
            continue
        _, averaged, factor = statement.arguments
        is_read = name == program.update or any(name in later.arguments for later in after)
        if averaged == name and isinstance(factor, float) and abs(factor) != 1.0 and is_read:
            averages[name] = factor
    return averages


def _checked(name: str, **values: object) -> list[float]:
    return [parameter.check(values[parameter.name]) for parameter in TRANSFORMATIONS[name].parameters]


def _fresh(program: Program, *names: str) -> list[str]:
    """Return new names for the program: these, or if one is taken, with the first number from 2 that is free."""
    taken = {*program.parameters, *(statement.target for statement in program.statements)}
    found = []
    for name in names:
        numbered = itertools.chain([name], (f"{name}{number}" for number in itertools.count(2)))
        found.append(next(choice for choice in numbered if choice not in taken))
        taken.add(found[-1])
    return found


def _update_name(program: Program) -> str:
    """Return the name of a variable for a new update: the program's own, unless that is a parameter."""
    return program.update if program.update not in program.parameters else _fresh(program, "update")[0]


def _with_gradient(program: Program, reads: Sequence[str], before: Sequence[Statement]) -> Program:
    if "g" not in program.parameters:
        return program
    return _made(program, reads, [*before, *program.statements], program.update)


def _made(program: Program, reads: Sequence[str], statements: Sequence[Statement], update: str) -> Program:
    """Make a program of these statements, with the parameters of ``program`` and any of ``reads`` that it lacks."""
    parameters = dict.fromkeys((*program.parameters, *reads))
    made = Program(tuple(sorted(parameters, key=lambda name: _PLACES.get(name, 2))), tuple(statements), update)
    if len(statements) > MAX_STATEMENTS or len(str(made)) > MAX_BYTES:
        raise ProgramError(
            f"the transformed program would have {len(statements)} statements; "
            f"a program has at most {MAX_STATEMENTS}, in at most {MAX_BYTES} bytes"
        )
    return made


def _row(function: Callable[..., Program], summary: str, source: str, **ranges: Range) -> Transformation:
    """Make a row; the parameters have the function's defaults."""
    given = inspect.signature(function).parameters
    parameters = tuple(Parameter(name, given[name].default, right) for name, right in ranges.items())
    return Transformation(function.__name__, function, parameters, summary, source)


_ROWS = (
    _row(
        lookahead,
        "slow weights follow the fast ones, which every k steps are set to them",
        'Zhang et al., "Lookahead Optimizer: k steps forward, 1 step back", 2019, https://arxiv.org/abs/1907.08610',
        k=_STEPS,
        alpha=_PART,
    ),
    _row(
        clip_by_global_norm,
        "the gradient is scaled down to a global norm of at most max_norm",
        'Pascanu et al., "On the difficulty of training recurrent neural networks", 2013, '
        "https://arxiv.org/abs/1211.5063",
        max_norm=_POSITIVE,
    ),
    _row(
        clip_by_value,
        "every element of the gradient is clipped to [-max_delta, max_delta]",
        'Mikolov, "Statistical language models based on neural networks", 2012, '
        "https://www.fit.vut.cz/study/phd-thesis/283/",
        max_delta=_POSITIVE,
    ),
    _row(
        weight_decay,
        "lr * rate * w is added to the update; rate is learning rate times decay",
        'Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, https://arxiv.org/abs/1711.05101',
        rate=_NOT_NEGATIVE,
    ),
    _row(
        l2,
        "decay * w is added to the gradient",
        'Krogh and Hertz, "A Simple Weight Decay Can Improve Generalization", 1991, '
        "https://papers.nips.cc/paper/1991/hash/8eefcfdf5990e441f0fb6f3fad709e21-Abstract.html",
        decay=_NOT_NEGATIVE,
    ),
    _row(
        bias_correction,
        "moving averages m = interp(x, m, b) are read as m / (1 - b^t)",
        'Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015, https://arxiv.org/abs/1412.6980',
    ),
)

TRANSFORMATIONS = MappingProxyType({row.name: row for row in _ROWS})
