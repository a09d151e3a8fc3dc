"""Which values are never negative, by the functions that make them."""

import enum
from collections.abc import Mapping, Sequence, Set

from programs.completeness import of_every_function
from programs.dataflow import Graph, Input, Node, Number


class Sign(enum.Enum):
    """When the value of a function is known to be zero, positive or NaN."""

    OPEN = "never, as far as is known here"
    ALWAYS = "whatever its arguments are"
    IF_ALL = "if all arguments are"
    IF_ONE = "if one of its arguments is"
    IF_BRANCHES = "if all arguments but the first are"
    IF_MEAN = "if the first two arguments are and the third is a number from 0 to 1"


_SIGNS = {
    Sign.OPEN: (
        *("cos", "sin", "tan", "arcsin", "arccosh", "arctanh", "expm1", "log", "log10", "log2", "log1p", "reciprocal"),
        *("cosine_sim", "clip", "subtract", "power", "negative", "copy", "mod", "orthogonalize"),
    ),
    Sign.ALWAYS: (
        *("abs", "square", "sqrt", "norm", "global_norm", "std", "exp", "exp2", "exp10", "cosh", "sigmoid", "softplus"),
        *("heaviside", "less", "equal", "arccos", "get_pi", "get_e", "get_eps"),
    ),
    Sign.IF_ALL: (
        *("add", "multiply", "divide", "min", "mean", "dot", "cube", "cbrt", "sign", "floor", "round"),
        *("tanh", "sinh", "arcsinh", "arctan", "erf"),
    ),
    Sign.IF_ONE: ("max",),
    Sign.IF_BRANCHES: ("where",),
    Sign.IF_MEAN: ("interp",),
}
SIGNS = of_every_function(
    {name: sign for sign, names in _SIGNS.items() for name in names}, "_SIGNS in programs/algebra/signs.py", "a Sign"
)
"""When the value of every function is never negative."""


def is_never_negative(nodes: Sequence[Node], place: int, state: Set[str]) -> bool:
    """Return whether a value is known to be zero, positive or NaN.

    Args:
        nodes: Every value, arguments before results.
        place: The place of the value.
        state: The state variables that are never negative.
    """
    known: dict[int, bool] = {}
    for index in _deciding(nodes, place):
        known[index] = _is_never_negative(nodes, index, state, known)
    return known[place]


def _deciding(nodes: Sequence[Node], place: int) -> list[int]:
    """Find the values on which the sign of a value depends, including itself, arguments before results."""
    found = set()
    waiting = [place]
    while waiting:
        at = waiting.pop()
        if at not in found:
            found.add(at)
            if SIGNS.get(nodes[at].function, Sign.OPEN) not in (Sign.OPEN, Sign.ALWAYS):
                waiting.extend(nodes[at].arguments)
    return sorted(found)


def _is_never_negative(nodes: Sequence[Node], place: int, state: Set[str], known: Mapping[int, bool]) -> bool:
    """Return whether a value is never negative, given what is ``known`` of its arguments."""
    node = nodes[place]
    if isinstance(node, Number):
        return node.value >= 0.0
    if isinstance(node, Input):
        return node.name == "t" or node.name in state
    sign = SIGNS[node.function]
    if sign in (Sign.OPEN, Sign.ALWAYS):
        return sign is Sign.ALWAYS
    signs = [known[argument] for argument in node.arguments]
    match sign:
        case Sign.IF_ALL:
            return all(signs)
        case Sign.IF_ONE:
            return any(signs)
        case Sign.IF_BRANCHES:
            return all(signs[1:])
        case Sign.IF_MEAN:
            weight = nodes[node.arguments[2]]
            return isinstance(weight, Number) and 0.0 <= weight.value <= 1.0 and all(signs)
    return False


def never_negative_state(graph: Graph) -> frozenset[str]:
    """Find the state variables that are never negative: they start at zero, and no next value is ever negative."""
    known = graph.__dict__.get("never_negative_state")
    if known is None:
        known = graph.__dict__["never_negative_state"] = _never_negative_state(graph)
    return known


def _never_negative_state(graph: Graph) -> frozenset[str]:
    state = frozenset(graph.state)
    while True:
        kept = frozenset(name for name in state if is_never_negative(graph.nodes, graph.state[name], state))
        if kept == state:
            return state
        state = kept
