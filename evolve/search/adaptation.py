"""Mutation weights that follow success: mutations that made better programs recently are tried more often.

The chance of success of each mutation is estimated from discounted counts, and weights are multiplied by it
(probability matching). Source: Thierens, "An adaptive pursuit strategy for allocating operator probabilities", 2005,
https://doi.org/10.1145/1068009.1068251.
"""

from collections.abc import Mapping

_FORGET = 0.99  # the factor on earlier trials at each new one of the same mutation
_FLOOR = 0.1  # the least factor, relative to that of the best mutation: none is given up


class Successes:
    """How often each mutation made a program better than its parent."""

    def __init__(self):
        """Begin with no trials."""
        self._trials: dict[str, float] = {}
        self._successes: dict[str, float] = {}

    def note(self, mutation: str, success: bool) -> None:
        """Record a child: the mutation that made it, and whether it is better than its parent."""
        self._trials[mutation] = _FORGET * self._trials.get(mutation, 0.0) + 1.0
        self._successes[mutation] = _FORGET * self._successes.get(mutation, 0.0) + success

    def adapt(self, weights: Mapping[str, float]) -> dict[str, float]:
        """Return the weights, each times its mutation's relative chance of success; weights of 0 stay 0."""
        chances = {
            name: (self._successes.get(name, 0.0) + 1.0) / (self._trials.get(name, 0.0) + 2.0) for name in weights
        }
        best = max((chances[name] for name, weight in weights.items() if weight > 0.0), default=1.0)
        return {name: weight * max(_FLOOR, chances[name] / best) for name, weight in weights.items()}
