"""Which values are never negative, by the functions that make them."""

from collections.abc import Mapping, Sequence, Set

from programs.dataflow import Graph, Input, Node, Number, cone

_ALWAYS = (
    *("abs", "square", "sqrt", "norm", "global_norm", "std", "exp", "exp2", "exp10", "cosh", "sigmoid", "softplus"),
    *("heaviside", "less", "equal", "arccos"),
)
_WHERE_ALL_ARE = (
    *("add", "multiply", "divide", "min", "mean", "dot", "cube", "cbrt", "sign", "floor", "round"),
    *("tanh", "sinh", "arcsinh", "arctan", "erf"),
)


def is_never_negative(nodes: Sequence[Node], place: int, state: Set[str]) -> bool:
    """Tell whether a value is known to be zero, positive or no number.

    Args:
        nodes: every value, arguments before results.
        place: of the value.
        state: the state variables that are never negative.
    """
    known: dict[int, bool] = {}
    for index in cone(nodes, [place]):
        known[index] = _is_never_negative(nodes, index, state, known)
    return known[place]


def _is_never_negative(nodes: Sequence[Node], place: int, state: Set[str], known: Mapping[int, bool]) -> bool:
    """Tell it where it is known of the arguments."""
    node = nodes[place]
    if isinstance(node, Number):
        return node.value >= 0.0
    if isinstance(node, Input):
        return node.name == "t" or node.name in state
    head, arguments = node
    if head in _ALWAYS:
        return True
    signs = [known[argument] for argument in arguments]
    if head == "max":
        return any(signs)
    if head == "where":
        return all(signs[1:])
    if head == "interp":
        weight = nodes[arguments[2]]
        return isinstance(weight, Number) and 0.0 <= weight.value <= 1.0 and all(signs)
    return head in _WHERE_ALL_ARE and all(signs)


def never_negative_state(graph: Graph) -> frozenset[str]:
    """Find the state variables that are never negative: they start at zero, and so are their next values made."""
    state = frozenset(graph.state)
    while True:
        kept = frozenset(name for name in state if is_never_negative(graph.nodes, graph.state[name], state))
        if kept == state:
            return state
        state = kept
