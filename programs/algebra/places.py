"""Places where rules fit in a graph, and the graphs that result from applying a rule at one place only."""

from collections.abc import Iterator, Set
from functools import cached_property

from programs.algebra.rewriting import RULE_NUMBERS, Site, candidates, fitting, side_of, simplifier, triggers_of
from programs.algebra.rules import Rule
from programs.dataflow import Call, Graph, GraphBuilder, Input, Number, rebuilt


class Places:
    """All places of a graph at which some rules fit.

    Attributes:
        of_rule: The places, by rule, in the order of the graph.
    """

    def __init__(self, graph: Graph, rules: tuple[Rule, ...], never_negative: Set[str]):
        """Find the places.

        Args:
            graph: The graph to search.
            rules: The rules to look for.
            never_negative: The state variables that are never negative.
        """
        self._graph = graph
        self._never_negative = never_negative
        self._builder = GraphBuilder(graph.state_kinds, graph.kinds_matter)
        for node in graph.nodes:
            self._builder.add(node)
        triggers = triggers_of(rules)
        self.of_rule: dict[Rule, list[Site]] = {}
        for place, node in enumerate(graph.nodes):
            by_head = triggers.get(node.function)
            for rule in candidates(by_head, self._builder.heads, node.arguments) if by_head else ():
                for site in fitting(rule, self._builder, place, never_negative):
                    self.of_rule.setdefault(rules[rule.order], []).append(site)

    def rewritten(self, rule: Rule, most_calls: int) -> Iterator[Graph]:
        """Yield the graphs that a rule produces when it is applied at one place only, for each place in turn.

        Args:
            rule: One of the rules.
            most_calls: The most calls of a new graph; graphs with more are left out.
        """
        for number, site in enumerate(self.of_rule.get(rule, ())):
            if self._least_calls(rule, site) <= most_calls:
                changed = rebuilt(self._graph, simplifier((rule,), False, self._never_negative, number))
                if changed.calls <= most_calls:
                    yield changed

    @cached_property
    def _uses(self) -> list[int]:
        """The number of times that every value is read."""
        uses = [0] * len(self._graph.nodes)
        read = [place for node in self._graph.nodes for place in node.arguments]
        for place in (*read, *self._graph.state.values(), self._graph.update):
            uses[place] += 1
        return uses

    def _least_calls(self, rule: Rule, site: Site) -> int:
        """Return the number of calls after a rule is applied at a site; 0 if more may merge or drop out then."""
        pattern, replacement = side_of(rule.pattern), side_of(rule.replacement)
        kept = RULE_NUMBERS | set(replacement.nodes)
        if any(isinstance(node, Input) and node not in kept for node in pattern.nodes):
            return 0
        added: dict[int, int] = {}  # by place, the additional reads of existing values
        moved: dict[int, int | None] = {}  # by place in the replacement; None for new values
        made = 0
        for index, node in enumerate(replacement.nodes):
            if index in site.numbers or isinstance(node, Number):
                moved[index] = self._builder.place_of(site.numbers.get(index, node))
            elif isinstance(node, Input):
                moved[index] = site.bound[node.name]
            else:
                places = [place for argument in node.arguments if (place := moved[argument]) is not None]
                known = len(places) == len(node.arguments)
                moved[index] = self._builder.place_of(Call(node.function, tuple(places))) if known else None
                if moved[index] is None:
                    made += 1
                    for place in places:
                        added[place] = added.get(place, 0) + 1
        if moved[replacement.update] is not None:
            return 0
        return self._graph.calls + made - self._freed(site.place, added)

    def _freed(self, root: int, added: dict[int, int]) -> int:
        """Count the calls that nothing reads once the call at ``root`` is gone, given the ``added`` reads of others."""
        read: dict[int, int] = {}
        waiting, freed = [root], 0
        while waiting:
            node = self._graph.nodes[waiting.pop()]
            freed += isinstance(node, Call)
            for place in node.arguments:
                read[place] = read.get(place, self._uses[place] + added.get(place, 0)) - 1
                if not read[place]:
                    waiting.append(place)
        return freed
