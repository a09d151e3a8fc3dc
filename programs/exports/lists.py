"""Statements for libraries that hold the weights in a list: written for one array at a time, or for lists of arrays.

A program whose functions look at one weight array at a time is written as plain statements inside a loop over the
arrays. If a function looks at all arrays together, every value is a list of arrays instead, and every statement a
comprehension over such lists.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from programs.checking import LiveStatement, live_statements
from programs.exports.plan import Plan
from programs.functions import FUNCTIONS
from programs.kinds import Function, Kind


@dataclass(frozen=True)
class Dialect:
    """How expressions are written for a library; ``{x}`` stands for a value.

    Attributes:
        texts: An expression for every function of the language, as ``Function.text`` is for JAX.
        definitions: The functions that a module defines for these expressions.
        weight: The name of the weight array in a loop; a list of them is named with an ``s`` appended.
        number: Turns a number into an array.
        cast: Converts a computed number to the dtype of the weight array.
        filled: Broadcasts a smaller value to the shape of the weight array.
        number_lists: Whether numbers, too, are held in lists, one per weight array.
    """

    texts: Mapping[str, str]
    definitions: Mapping[str, str]
    weight: str
    number: str
    cast: str
    filled: str
    number_lists: bool


@dataclass(frozen=True)
class Body:
    """The statements of a program as lines of Python.

    Attributes:
        lines: One line per statement.
        used: The names of the dialect's definitions that the lines use.
    """

    lines: tuple[str, ...]
    used: frozenset[str]


def looks_at_all(plan: Plan) -> bool:
    """Return whether a function of the program looks at all weight arrays together."""
    return any(not live.row.leafwise for live in live_statements(plan.program))


def translated(names: Mapping[str, str], module: str, own: Mapping[str, str], file: str) -> dict[str, str]:
    """Write the expression of every function for a library other than JAX.

    Args:
        names: The library's names of the functions of ``jax.numpy``.
        module: The name under which the library is imported.
        own: By function of the language, the expressions that differ by more than names.
        file: The file of the two tables.

    Raises:
        ValueError: If neither table says how a function is written, or ``own`` has an unknown function.
    """
    for name in own:
        if name not in FUNCTIONS:
            raise ValueError(f"{file} has an expression for '{name}', which is not a function of programs/functions.py")
    texts = dict(own)
    for name, row in FUNCTIONS.items():
        foreign = [found for found in re.findall(r"\b(?:jnp|jax)\.([\w.]+)", row.text) if found not in names]
        if name not in own and foreign:
            raise ValueError(
                f"the function '{name}' is written as {row.text} for JAX, but {file} does not say what {foreign[0]} is "
                f"for {module}: right would be a name in _SAME or _NAMES, or an expression in _OWN"
            )
        if name not in own:
            texts[name] = re.sub(r"jnp\.(\w+)", lambda found: f"{module}.{names[found[1]]}", row.text)
    return texts


def written(plan: Plan, dialect: Dialect, rate: str, lists: bool) -> Body:
    """Write the statements of a program.

    Args:
        plan: The plan of the exported module.
        dialect: The dialect of the library.
        rate: The name of the variable that holds the learning rate.
        lists: Whether values are lists of arrays, rather than arrays in a loop.
    """
    writer = _Writer(plan, dialect, rate, lists)
    lines = [
        f"{plan.names[live.statement.target]} = {writer.expression(index, live)}"
        for index, live in enumerate(live_statements(plan.program))
    ]
    return Body(tuple(lines), frozenset(writer.used))


class _Writer:
    """Writes statements one by one; ``names`` are the names in the current expression that stand for lists."""

    def __init__(self, plan: Plan, dialect: Dialect, rate: str, lists: bool):
        self.plan = plan
        self.dialect = dialect
        self.rate = rate
        self.lists = lists
        self.used: set[str] = set()
        self.names: dict[str, None] = {}

    def expression(self, index: int, live: LiveStatement) -> str:
        _, row, kinds, _ = live
        joined = max((kind for place, kind in enumerate(kinds) if place not in row.scalar_places), default=Kind.SCALAR)
        if self.plan.is_rate(index):
            return self.rate
        if row.leafwise:
            return self.of_one_array(index, live)
        return self.of_numbers(index, live) if joined is Kind.SCALAR else self.of_all_arrays(index, live, joined)

    def of_one_array(self, index: int, live: LiveStatement) -> str:
        self.names = {}
        statement, row, kinds, _ = live
        joined = max(kinds, default=Kind.SCALAR)
        words = [self.word(index, place, kind) for place, kind in enumerate(kinds)]
        if all(not isinstance(x, str) for x in statement.arguments):
            words = [self.template(self.dialect.number, word) for word in words]
        elif joined is not Kind.SCALAR:
            words = [
                self.template(self.dialect.cast, word) if isinstance(x, str) and kind is Kind.SCALAR else word
                for word, x, kind in zip(words, statement.arguments, kinds, strict=True)
            ]
        text = self.call(row, words)
        if not words:
            text = self.template(self.dialect.number, text)
        return self.comprehension(text, joined)

    def of_numbers(self, index: int, live: LiveStatement) -> str:
        """Write a call of a function of all arrays on numbers, each passed as a list of one array."""
        self.names = {}
        _, row, kinds, _ = live
        bare = () if self.dialect.number_lists else row.scalar_places
        words = [self.as_number(index, place, kind) for place, kind in enumerate(kinds)]
        text = self.call(row, [word if place in bare else f"[{word}]" for place, word in enumerate(words)])
        alone = row.largest is Kind.SCALAR and not self.dialect.number_lists
        return self.comprehension(text if alone else f"{text}[0]", Kind.SCALAR)

    def of_all_arrays(self, index: int, live: LiveStatement, joined: Kind) -> str:
        _, row, kinds, _ = live
        words = []
        for place, kind in enumerate(kinds):
            self.names = {}
            wanted = Kind.SCALAR if place in row.scalar_places else joined
            word = self.as_number(index, place, kind)
            if kind is not wanted:
                word = self.template(self.dialect.filled if wanted is Kind.TENSOR else self.dialect.cast, word)
            is_list = list(self.names) == [word]
            words.append(word if is_list else self.comprehension(word, wanted))
        return self.call(row, words)

    def word(self, index: int, place: int, kind: Kind) -> str:
        """Write an argument, and record its name if it stands for a list."""
        word = self.plan.word(index, place)
        is_number = not isinstance(self.plan.program.statements[index].arguments[place], str)
        name = self.plan.roles.get((index, place)) if is_number else word
        if name is not None and (kind is not Kind.SCALAR or self.dialect.number_lists):
            self.names[name] = None
        return word

    def as_number(self, index: int, place: int, kind: Kind) -> str:
        word = self.word(index, place, kind)
        is_number = not isinstance(self.plan.program.statements[index].arguments[place], str)
        return self.template(self.dialect.number, word) if is_number else word

    def template(self, form: str, word: str) -> str:
        if self.dialect.weight in form:
            self.names[self.dialect.weight] = None
        return form.format(x=word)

    def call(self, row: Function, words: list[str]) -> str:
        text = self.dialect.texts[row.name].format(**dict(zip(row.parameters, words, strict=True)))
        self.used |= {name for name in self.dialect.definitions if f"_{name}(" in text}
        return text

    def comprehension(self, text: str, kind: Kind) -> str:
        """Write an expression on one array as one on lists of arrays, if values of the kind are lists."""
        if not self.lists or (kind is Kind.SCALAR and not self.dialect.number_lists):
            return text
        sources = [f"{name}s" if name == self.dialect.weight else name for name in self.names]
        if len(sources) == 1:
            return f"[{text} for {next(iter(self.names))} in {sources[0]}]"
        return f"[{text} for {', '.join(self.names)} in zip({', '.join(sources)}, strict=True)]"
