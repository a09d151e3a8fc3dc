r"""A program as LaTeX: aligned equations for one step, with m_t for the new value of a state variable m.

g_t is the gradient, \theta the weights, \eta the schedule's value and t the step, from 1; every state variable starts
at zero. The output consists only of the texts in the tables here, and of the letters, digits and escaped underscores
of names.
"""

import re
from dataclasses import dataclass

from programs.algebra.signs import is_never_negative, never_negative_state
from programs.completeness import of_every_function
from programs.dataflow import Call, Graph, Input, Number, from_program
from programs.kinds import SCALAR, TENSOR, Kind
from programs.program import Program
from programs.understanding.anatomy import Anatomy

LOOSE, SUM, PRODUCT, ATOM = range(4)
"""How tightly an expression binds, loosest first: with a leading sign, a sum, a product, a symbol or a call."""

_LONGEST = 70  # the most characters of an expression that is written inside another one
_INPUTS = {"g": "g_t", "w": r"\theta_{t-1}", "lr": r"\eta", "t": "t"}
_STEMS = {"g": r"\tilde{g}", "w": r"\tilde{\theta}", "lr": r"\tilde{\eta}", "t": r"\tilde{t}", "update": "u", "": "x"}
_DIGITS = 6  # significant digits of a number


@dataclass(frozen=True)
class Form:
    """How a function is written.

    Attributes:
        text: The LaTeX text, with the arguments as ``<0>``, ``<1>`` and so on.
        level: How tightly the text binds.
        arguments: How tightly each argument must bind, if it is not to be put in parentheses.
    """

    text: str
    level: int = ATOM
    arguments: tuple[int, ...] = (LOOSE, LOOSE, LOOSE)


def _call(name: str) -> Form:
    return Form(rf"{name}\left(<0>\right)")


def _named(name: str, count: int = 1) -> Form:
    arguments = ", ".join(f"<{place}>" for place in range(count))
    return Form(rf"\operatorname{{{name}}}\left({arguments}\right)")


_FORMS = {
    "get_pi": Form(r"\pi"),
    "get_e": Form(r"\mathrm{e}"),
    "get_eps": Form(r"\epsilon"),
    "abs": Form(r"\left|<0>\right|"),
    "cos": _call(r"\cos"),
    "sin": _call(r"\sin"),
    "tan": _call(r"\tan"),
    "arcsin": _call(r"\arcsin"),
    "arccos": _call(r"\arccos"),
    "arctan": _call(r"\arctan"),
    "sinh": _call(r"\sinh"),
    "cosh": _call(r"\cosh"),
    "tanh": _call(r"\tanh"),
    "arcsinh": _named("arcsinh"),
    "arccosh": _named("arccosh"),
    "arctanh": _named("arctanh"),
    "exp": _call(r"\exp"),
    "exp2": Form(r"2^{<0>}", PRODUCT),
    "exp10": Form(r"10^{<0>}", PRODUCT),
    "expm1": Form(r"\exp\left(<0>\right) - 1", SUM),
    "log": Form(r"\ln\left|<0>\right|"),
    "log10": Form(r"\log_{10}\left|<0>\right|"),
    "log2": Form(r"\log_{2}\left|<0>\right|"),
    "log1p": Form(r"\ln\left|1 + <0>\right|", arguments=(SUM,)),
    "sqrt": Form(r"\sqrt{\left|<0>\right|}"),
    "square": Form(r"<0>^{2}", PRODUCT, (ATOM,)),
    "cube": Form(r"<0>^{3}", PRODUCT, (ATOM,)),
    "cbrt": Form(r"\sqrt[3]{<0>}"),
    "sign": _named("sign"),
    "reciprocal": Form(r"\frac{1}{<0>}", PRODUCT),
    "norm": Form(r"\left\|<0>\right\|_{\mathrm{array}}"),
    "global_norm": Form(r"\left\|<0>\right\|"),
    "dot": Form(r"\left\langle <0>, <1> \right\rangle"),
    "cosine_sim": _named("cosine", 2),
    "clip": _named("clip", 2),
    "interp": Form(r"\left(1 - <2>\right) <0> + <2> <1>", SUM, (PRODUCT, PRODUCT, PRODUCT)),
    "add": Form("<0> + <1>", SUM, (LOOSE, SUM)),
    "subtract": Form("<0> - <1>", SUM, (LOOSE, PRODUCT)),
    "multiply": Form(r"<0> <1>", PRODUCT, (PRODUCT, PRODUCT)),
    "divide": Form(r"\frac{<0>}{<1> + \epsilon}", PRODUCT, (LOOSE, LOOSE)),
    "max": Form(r"\max\left(<0>, <1>\right)"),
    "min": Form(r"\min\left(<0>, <1>\right)"),
    "power": Form("<0>^{<1>}", PRODUCT, (ATOM, LOOSE)),
    "negative": Form("-<0>", LOOSE, (PRODUCT,)),
    "copy": Form("<0>", LOOSE),
    "mod": Form(r"<0> \,\mathrm{mod}\, <1>", SUM, (ATOM, ATOM)),
    "less": Form(r"\left[<0> < <1>\right]"),
    "equal": Form(r"\left[<0> = <1>\right]"),
    "where": _named("where", 3),
    "floor": Form(r"\left\lfloor <0> \right\rfloor"),
    "round": _named("round"),
    "heaviside": Form(r"\left[<0> > 0\right]"),
    "sigmoid": _call(r"\sigma"),
    "softplus": _named("softplus"),
    "erf": _named("erf"),
    "mean": _named("mean"),
    "std": _named("std"),
    "orthogonalize": _named("orthogonalize"),
}
FORMS = of_every_function(_FORMS, "_FORMS in programs/exports/latex.py", "a Form")
"""How every function of the language is written. Square brackets are 1 if their content is true, else 0;
``where`` is its second argument if the first is not 0, else the third."""

_POSITIVE_ROOT = Form(r"\sqrt{<0>}")  # of a value that is never negative, so that sqrt needs no bars


def to_latex(program: Program) -> str:
    """Write one step of a program as LaTeX: an ``aligned`` environment, for use in mathematics.

    Dead statements are left out. A short value that is used once is written inside another, every other value has its
    own equation; numbers are given to six significant digits. The last equation is that of the weights.

    Raises:
        ProgramError: If the program is not well formed.
    """
    return _Printer(from_program(program)).text()


@dataclass(frozen=True)
class _Written:
    """An expression: its text, and how tightly it binds."""

    text: str
    level: int = ATOM

    @property
    def is_negative_number(self) -> bool:
        """Whether the expression is a number below 0, which may begin a product."""
        return self.level == LOOSE and re.match(r"-\d", self.text) is not None

    def at(self, level: int) -> str:
        """Return the text, in parentheses if it binds less tightly than ``level``."""
        return self.text if self.level >= level else rf"\left({self.text}\right)"


class _Printer:
    """Writes the values of a graph in order; values that are long or used more than once get their own equations."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.anatomy = Anatomy(graph)
        self.kinds = self.anatomy.kinds
        self.never_negative = never_negative_state(graph)
        self.symbols: set[str] = set()
        self.state = {name: self.new_stem(name) for name in graph.state}
        self.written: dict[int, _Written] = {}
        self.lines: list[tuple[str, str]] = []
        self.uses = [0] * len(graph.nodes)
        for node in graph.nodes:
            for argument in node.arguments:
                self.uses[argument] += 1
        for place in graph.state.values():
            self.uses[place] += 1

    def text(self) -> str:
        """Return the whole text."""
        owners: dict[int, str] = {}
        for name, place in self.graph.state.items():
            if isinstance(self.graph.nodes[place], Call):
                owners.setdefault(place, name)
        for place, node in enumerate(self.graph.nodes):
            self.written[place] = self.value(place)
            if isinstance(node, Call):
                if place in owners:
                    self.name(place, _with_step(self.state[owners[place]], "t"))
                elif self.uses[place] > 1 or (len(self.written[place].text) > _LONGEST and self.uses[place]):
                    self.name(place, _with_step(self.new_stem(self.graph.hints[place]), "t"))
        for name, place in self.graph.state.items():
            if owners.get(place) != name:
                self.lines.append((_with_step(self.state[name], "t"), self.written[place].text))
        self.lines.append((r"\theta_t", rf"\theta_{{t-1}} - {self.written[self.graph.update].at(PRODUCT)}"))
        if any(r"\epsilon" in text for _, text in self.lines):
            self.lines.append((r"\epsilon", "10^{-8}"))
        rows = " \\\\\n".join(f"{symbol} &= {text}" for symbol, text in self.lines)
        return f"\\begin{{aligned}}\n{rows}\n\\end{{aligned}}\n"

    def name(self, place: int, symbol: str) -> None:
        """Write a value as its own equation."""
        self.lines.append((symbol, self.written[place].text))
        self.written[place] = _Written(symbol)

    def new_stem(self, name: str) -> str:
        """Make a unique symbol for a variable, without its step."""
        stem = _stem(name)
        number = 1
        chosen = stem
        while chosen in self.symbols:
            number += 1
            chosen = f"{stem}_{{{number}}}" if "_{" not in stem else f"{stem[:-1]},{number}}}"
        self.symbols.add(chosen)
        return chosen

    def value(self, place: int) -> _Written:
        """Write a value, with its arguments as they have been written."""
        node = self.graph.nodes[place]
        if isinstance(node, Number):
            return _number(node.value)
        if isinstance(node, Input):
            return _Written(_INPUTS.get(node.name) or _with_step(self.state[node.name], "t-1"))
        head, rest = node
        if head in ("multiply", "divide", "reciprocal"):
            return self.product(place)
        if head == "interp" and (weight := self.anatomy.number(rest[2])) is not None:
            return self.mean(rest[0], rest[1], weight)
        form = _POSITIVE_ROOT if head == "sqrt" and self.is_never_negative(rest[0]) else FORMS[head]

        def argument(hole: re.Match) -> str:
            number = int(hole[1])
            return self.written[rest[number]].at(form.arguments[number])

        return _Written(re.sub(r"<(\d)>", argument, form.text), form.level)

    def is_never_negative(self, place: int) -> bool:
        """Return whether a value is known to be at least 0, or a product or quotient of such values and of 1 - b^t."""
        product = self.anatomy.product(place)
        return product.number >= 0.0 and all(map(self.is_positive, {*product.tops, *product.bottoms}))

    def is_positive(self, place: int) -> bool:
        """Return whether a value is known to be at least 0, or is 1 - b^t."""
        if power := self.anatomy.one_less_power(place):
            base, exponent = power
            number = self.anatomy.number(base)
            known = number is not None and 0.0 <= number <= 1.0
            return known and is_never_negative(self.graph.nodes, exponent, self.never_negative)
        return is_never_negative(self.graph.nodes, place, self.never_negative)

    def mean(self, x: int, y: int, weight: float) -> _Written:
        """Write interp with a number: (1 - a) x + a y."""
        one = self.times([(_number(1.0 - weight), SCALAR), (self.written[x], self.kinds[x])])
        other = self.times([(_number(abs(weight)), SCALAR), (self.written[y], self.kinds[y])])
        return _Written(f"{one.text} {'-' if weight < 0.0 else '+'} {other.text}", min(one.level, SUM))

    def product(self, place: int) -> _Written:
        """Write a product, quotient or reciprocal, and those inside it without their own equations, as one fraction."""
        tops: list[int] = []
        bottoms: list[_Written] = []
        waiting = [place]
        while waiting:
            at = waiting.pop()
            head, rest = self.anatomy.function(at), self.anatomy.arguments(at)
            inside = at == place or self.written[at].level < ATOM  # hence not a symbol
            if inside and head == "multiply":
                waiting += rest[::-1]
            elif inside and head == "divide":
                waiting.append(rest[0])
                bottoms.append(_Written(rf"{self.written[rest[1]].text} + \epsilon", SUM))
            elif inside and head == "reciprocal":
                bottoms.append(self.written[rest[0]])
            else:
                tops.append(at)
        tops.sort(key=lambda at: (self.anatomy.number(at) is None, self.kinds[at]))
        above = self.times([(self.written[at], self.kinds[at]) for at in tops])
        if not bottoms:
            return above
        below = bottoms[0].text if len(bottoms) == 1 else r" \, ".join(bottom.at(PRODUCT) for bottom in bottoms)
        return _Written(rf"\frac{{{above.text}}}{{{below}}}", PRODUCT)

    def times(self, factors: list[tuple[_Written, Kind]]) -> _Written:
        """Write a product, with the sign of elementwise products between values shaped like the weights."""
        if len(factors) < 2:
            return factors[0][0] if factors else _Written("1")
        text, level, before = "", PRODUCT, SCALAR
        for factor, kind in factors:
            if not text and factor.is_negative_number:
                text, level = factor.text, LOOSE
            else:
                own = factor.at(PRODUCT)
                dense = before is TENSOR and kind is TENSOR
                sign = r" \odot " if dense else r" \cdot " if own[0].isdigit() else r" \, "
                text = f"{text}{sign}{own}" if text else own
            before = max(before, kind)
        return _Written(text, level)


def _stem(name: str) -> str:
    """Write a variable's name: a letter as it is, ``mhat`` with a hat, ``v1`` with an index, other names upright."""
    if name in _STEMS:
        return _STEMS[name]
    if re.fullmatch("[A-Za-z]", name):
        return name
    if re.fullmatch("[A-Za-z]hat", name):
        return rf"\hat{{{name[0]}}}"
    if re.fullmatch("[A-Za-z][0-9]+", name):
        return f"{name[0]}_{{{name[1:]}}}"
    return rf"\mathrm{{{name.replace('_', chr(92) + '_')}}}"


def _with_step(stem: str, step: str) -> str:
    """Add the step to the index of a symbol."""
    if re.search(r"_\{[0-9,]+\}$", stem):
        return f"{stem[:-1]},{step}}}"
    return f"{stem}_{{{step}}}" if len(step) > 1 else f"{stem}_{step}"


def _number(value: float) -> _Written:
    mantissa, _, exponent = f"{value:.{_DIGITS}g}".partition("e")
    text, level = mantissa, ATOM
    if exponent:
        power = f"10^{{{int(exponent)}}}"
        text = {"1": power, "-1": f"-{power}"}.get(mantissa, rf"{mantissa} \cdot {power}")
        level = PRODUCT
    return _Written(text, LOOSE if text.startswith("-") else level)
