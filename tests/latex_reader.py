"""A reader of the equations that ``to_latex`` writes: it computes them in NumPy, to compare them with the programs."""

import re

import numpy as np

TOKEN = re.compile(
    r"\\operatorname\{\w+\}"
    r"|(?:\\(?:hat|tilde|mathrm)\{(?:\\?[\w]|\\_)+\}|\\theta|\\epsilon|\\eta|[A-Za-z])(?:_\{[\w,-]+\}|_\w)?"
    r"|\\left.|\\right.|\\[a-z]+|\\,|\d+(?:\.\d+)?|[-+^{}<>=\[\],]|_\{\w+\}"
)
CALLS = {
    "sign": np.sign,
    "arcsinh": np.arcsinh,
    "arccosh": np.arccosh,
    "arctanh": np.arctanh,
    "round": np.round,
    "where": lambda c, x, y: np.where(c != 0.0, x, y),
    "cos": np.cos,
    "sin": np.sin,
    "tan": np.tan,
    "arcsin": np.arcsin,
    "arccos": np.arccos,
    "arctan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "exp": np.exp,
    "max": np.maximum,
    "min": np.minimum,
    "sigma": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "ln": np.log,
    "log_{10}": np.log10,
    "log_{2}": np.log2,
}


class Reader:
    """Computes one side of an equation with known symbols."""

    def __init__(self, text: str, known: dict):
        self.tokens = TOKEN.findall(text)
        assert "".join(self.tokens) == text.replace(" ", ""), text
        self.known = known

    def value(self):
        found = self.sum()
        assert not self.tokens
        return found

    def next(self, *wanted: str) -> str:
        token = self.tokens.pop(0)
        assert not wanted or token in wanted, (token, wanted)
        return token

    def at(self, *tokens: str) -> bool:
        return bool(self.tokens) and self.tokens[0] in tokens

    def sum(self):
        negative = self.at("-") and self.next()
        found = -self.product() if negative else self.product()
        while self.at("+", "-"):
            found = found + self.product() if self.next() == "+" else found - self.product()
        return found

    def product(self):
        found = self.power()
        while self.tokens and not self.at("+", "-", "}", "]", ",", "<", ">", "=") and "right" not in self.tokens[0]:
            if self.at(r"\,", r"\odot", r"\cdot"):
                self.next()
            found = found * self.power()
        return found

    def power(self):
        base = self.atom()
        return np.power(base, self.braces()) if self.at("^") and self.next() else base

    def braces(self):
        self.next("{")
        found = self.sum()
        self.next("}")
        return found

    def atom(self):
        token = self.next()
        if token[0].isdigit():
            return float(token)
        if token == r"\frac":
            return self.braces() / self.braces()
        if token == r"\sqrt":
            if self.at("["):
                assert [self.next(), self.next(), self.next()] == ["[", "3", "]"]
                return np.cbrt(self.braces())
            return np.sqrt(self.braces())
        if token == r"\left(":
            return self.until(r"\right)")
        if token == r"\left|":
            return np.abs(self.until(r"\right|"))
        if token == r"\left[":
            first, sign = self.sum(), self.next("<", "=", ">")
            second = self.until(r"\right]")
            return {"<": first < second, "=": first == second, ">": first > second}[sign] * 1.0
        name = re.sub(r"\\operatorname\{(\w+)\}|\\", r"\1", token)
        if name in ("log",):
            name += self.next()
        return CALLS[name](*self.arguments()) if name in CALLS else self.known[token]

    def until(self, end: str):
        found = self.sum()
        self.next(end)
        return found

    def arguments(self) -> list:
        if self.at(r"\left|"):
            return [self.atom()]
        self.next(r"\left(")
        found = [self.sum()]
        while self.at(",") and self.next():
            found.append(self.sum())
        self.next(r"\right)")
        return found


def run_latex(rows: list[str], weights: np.ndarray, gradients: list[np.ndarray], rate: float) -> list[np.ndarray]:
    """Compute the updates that equations define; the weights do not change."""
    equations = [row.split(" = ", 1) for row in rows]
    later = {symbol.strip(): symbol.strip().replace("_t", "_{t-1}").replace(",t}", ",t-1}") for symbol, _ in equations}
    known: dict = dict.fromkeys(later.values(), 0.0) | {r"\eta": rate, r"\epsilon": 1e-8}
    updates = []
    with np.errstate(all="ignore"):
        for step, gradient in enumerate(gradients, start=1):
            known |= {"g_t": gradient, "t": float(step), r"\theta_{t-1}": weights}
            for symbol, text in equations:
                known[symbol.strip()] = Reader(text, known).value()
            updates.append(weights - known[r"\theta_t"])
            known |= {before: known[after] for after, before in later.items()}
    return updates
