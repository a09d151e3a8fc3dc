"""Which values are never negative, by the functions that make them."""

from collections.abc import Mapping, Sequence, Set
from typing import Any

from programs.dataflow import INPUT, NUMBER, Graph, Node, cone

_ALWAYS = (
    *("abs", "square", "sqrt", "norm", "global_norm", "std", "exp", "exp2", "exp10", "cosh", "sigmoid", "softplus"),
    *("heaviside", "less", "equal", "arccos"),
)
_WHERE_ALL_ARE = (
    *("add", "multiply", "divide", "min", "mean", "dot", "cube", "cbrt", "sign", "floor", "round"),
    *("tanh", "sinh", "arcsinh", "arctan", "erf"),
)


def is_never_negative(nodes: Sequence[Node], place: int, state: Set[str]) -> bool:
    """Return whether a value is known to be zero, positive or NaN.

    Args:
        nodes: Every value, arguments before results.
        place: The place of the value.
        state: The state variables that are never negative.
    """
    known: dict[int, bool] = {}
    for index in cone(nodes, [place]):
        known[index] = _is_never_negative(nodes, index, state, known)
    return known[place]


def _is_never_negative(nodes: Sequence[Node], place: int, state: Set[str], known: Mapping[int, bool]) -> bool:
    """Return whether a value is never negative, given what is ``known`` of its arguments."""
    node: tuple[Any, ...] = nodes[place]
    head, arguments = node[0], node[1:]
    if head == NUMBER:
        return arguments[0] >= 0.0
    if head == INPUT:
        return arguments[0] == "t" or arguments[0] in state
    if head in _ALWAYS:
        return True
    signs = [known[argument] for argument in arguments]
    if head == "max":
        return any(signs)
    if head == "where":
        return all(signs[1:])
    if head == "interp":
        weight: tuple[Any, ...] = tuple(nodes[arguments[2]])
        return weight[0] == NUMBER and 0.0 <= weight[1] <= 1.0 and all(signs)
    return head in _WHERE_ALL_ARE and all(signs)


def never_negative_state(graph: Graph) -> frozenset[str]:
    """Find the state variables that are never negative: they start at zero, and no next value is ever negative."""
    state = frozenset(graph.state)
    while True:
        kept = frozenset(name for name in state if is_never_negative(graph.nodes, graph.state[name], state))
        if kept == state:
            return state
        state = kept
