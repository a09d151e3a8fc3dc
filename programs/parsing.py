"""Parsing text into a Program. The text is scanned, read with ``ast`` and never executed."""

import ast
import difflib
import itertools
import math
import textwrap
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from programs.checking import check, locate_errors
from programs.functions import FUNCTIONS
from programs.program import RESERVED, Argument, Program, ProgramError, Statement, name_problem
from programs.scanning import EXPRESSION, MAX_BYTES, MAX_NESTING, MAX_PARAMETERS, MAX_STATEMENTS, SHAPE, STATEMENT, scan

_BYTE_ORDER_MARK = "\ufeff"
_MAX_NEAR = 5  # the most near names whose edits are counted
_MAX_CHOICES = 200  # the most names with which a misspelt one is compared
_Node = ast.stmt | ast.expr | ast.arg
_INFIX: Mapping[type[ast.operator], str] = MappingProxyType(
    {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide"}
)


_INPUT_WORDS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("weights", "weight", "params", "parameters", "theta"), "w"),
        **dict.fromkeys(("grad", "grads", "gradient", "gradients"), "g"),
        **dict.fromkeys(("learning_rate", "rate", "eta"), "lr"),
        **dict.fromkeys(("step", "count"), "t"),
    }
)
"""Names that inputs have elsewhere, with the names they have here."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return `` (did you mean 'x' or 'y'?)`` for the nearest choices; empty if none is near or there are too many.

    A choice is near if most of its letters are the same. The nearest choices need the fewest edits: a letter added,
    removed or replaced, or two neighbours swapped.
    """
    known = list(choices)
    near = difflib.get_close_matches(word, known, n=_MAX_NEAR) if len(known) <= _MAX_CHOICES else []
    edits = {choice: _edits(word, choice) for choice in near}
    nearest = [f"'{choice}'" for choice in near if edits[choice] == min(edits.values())]
    return f" (did you mean {', '.join(nearest[:-1])}{' or ' * (len(nearest) > 1)}{nearest[-1]}?)" if nearest else ""


def _edits(word: str, other: str) -> int:
    """Count the edits between two words: a letter added, removed or replaced, or two neighbours swapped."""
    before, row = [], list(range(len(other) + 1))
    for i, letter in enumerate(word, start=1):
        before, last, row = row, before, [i]
        for j, wanted in enumerate(other, start=1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted)))
            if i > 1 and j > 1 and (letter, word[i - 2]) == (other[j - 2], wanted):
                row[j] = min(row[j], last[j - 2] + 1)
    return row[-1]


def decode(content: bytes) -> str:
    """Decode UTF-8 text, without a byte order mark at its beginning.

    Raises:
        UnicodeDecodeError: If the content is not UTF-8.
    """
    return content.decode("utf-8").removeprefix(_BYTE_ORDER_MARK)


def parse(text: str) -> Program:
    """Parse a program.

    Args:
        text: One function, in the subset of Python's syntax that is the language; comments are ignored.

    Raises:
        ProgramError: With line, column and a caret, if the text is not a program or exceeds a limit.
    """
    if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
        raise ProgramError(f"the text has more than {MAX_BYTES} bytes, the most that is read: {len(text)} characters")
    program = _Reader(text.replace("\r\n", "\n").replace("\r", "\n")).read()  # as Python itself does
    if len(text) > MAX_BYTES // 16 and (size := len(str(program))) > MAX_BYTES:  # shorter texts cannot become so long
        raise ProgramError(f"the program's canonical text has {size} bytes, more than the {MAX_BYTES} that are read")
    return program


def _return_line(state: tuple[str, ...]) -> str:
    """Return the last line that a program with these state variables must have, shortened to fit into a message."""
    return textwrap.shorten(f"return {', '.join(('update', *state))}", 200, placeholder=" ...")


class _Reader:
    """Turns one text into one Program, flattening nested expressions into statements of one call each."""

    def __init__(self, text: str):
        self.text = text
        self.code, words = scan(text)
        self.new_names = itertools.filterfalse(words.__contains__, map("v{}".format, itertools.count(1)))
        self.statements: list[Statement] = []
        self.places: list[tuple[int, int]] = []  # line and column of each statement's call
        self.defined: set[str] = set()

    def fail(self, message: str, node: _Node | None = None) -> ProgramError:
        """Make the error for a node of the text."""
        if node is None:
            return ProgramError(message)
        return ProgramError(message, node.lineno, node.col_offset + 1, self.text)

    def read(self) -> Program:
        function = self.function(self.tree())
        parameters = self.parameters(function)
        self.defined.update(parameters)
        *body, last = function.body
        for node in body:
            self.statement(node)
        update = self.returned(last, tuple(name for name in parameters if name not in RESERVED))
        program = Program(parameters, tuple(self.statements), update)
        with locate_errors(self.places, self.text):
            check(program)
        return program

    def tree(self) -> ast.Module:
        try:
            return ast.parse(self.code)
        except SyntaxError as error:
            message = f"not Python syntax: {error.msg}"
            raise ProgramError(message, error.lineno, error.offset or None, self.text) from None

    def function(self, tree: ast.Module) -> ast.FunctionDef:
        if len(tree.body) != 1:
            extra = tree.body[1] if tree.body else None
            raise self.fail(f"{'more than one' if tree.body else 'no'} definition; {SHAPE}", extra)
        function = tree.body[0]
        if not isinstance(function, ast.FunctionDef) or function.name != "train":
            raise self.fail(f"this is not 'def train(...)'; {SHAPE}", function)
        return function

    def parameters(self, function: ast.FunctionDef) -> tuple[str, ...]:
        given = function.args
        if given.vararg or given.kwarg or given.kwonlyargs or given.posonlyargs or given.defaults:
            raise self.fail("parameters are plain names: no defaults, no * and no /", function)
        if len(given.args) > MAX_PARAMETERS:
            raise self.fail(f"there are {len(given.args)} parameters, more than {MAX_PARAMETERS}", function)
        names: list[str] = []
        for parameter in given.args:
            if parameter.annotation:
                raise self.fail("annotations have no meaning here", parameter)
            self.check_name(parameter.arg, parameter)
            if parameter.arg in names:
                raise self.fail(f"'{parameter.arg}' appears twice", parameter)
            names.append(parameter.arg)
        return tuple(names)

    def check_name(self, name: str, node: _Node) -> None:
        if problem := name_problem(name):
            raise self.fail(problem, node)

    def statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Return):
            raise self.fail("'return' must be the last line, and appear only once", node)
        if not isinstance(node, ast.Assign) or len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
            raise self.fail(STATEMENT, node)
        target, value = node.targets[0].id, node.value
        self.check_name(target, node)
        if isinstance(value, ast.Name) or self.number(value) is not None:
            self.append(Statement(target, "copy", (self.argument(value, depth=1),)), value)
        else:
            self.call(target, value, depth=1)
        self.defined.add(target)

    def append(self, statement: Statement, node: ast.expr) -> None:
        if len(self.statements) >= MAX_STATEMENTS:
            raise self.fail(f"more than {MAX_STATEMENTS} statements", node)
        self.statements.append(statement)
        self.places.append((node.lineno, node.col_offset + 1))

    def call(self, target: str, node: ast.expr, depth: int) -> None:
        """Append the statements that compute ``node`` and assign it to ``target``."""
        if depth > MAX_NESTING:
            raise self.fail(f"nested more than {MAX_NESTING} deep", node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name, operands = node.func.id, node.args
            self.check_call(node, name)
        elif isinstance(node, ast.BinOp):
            name, operands = _INFIX[type(node.op)], (node.left, node.right)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            name, operands = "negative", (node.operand,)
        else:
            raise self.fail(EXPRESSION, node)
        arguments = tuple([self.argument(operand, depth + 1) for operand in operands])
        self.append(Statement(target, name, arguments), node)

    def check_call(self, node: ast.Call, name: str) -> None:
        row = FUNCTIONS.get(name)
        if row is None:
            raise self.fail(
                f"no function is called '{name}'{did_you_mean(name, FUNCTIONS)}; `pride functions` lists them",
                node,
            )
        if node.keywords:
            raise self.fail("arguments are given by position, not by name", node)
        if len(node.args) != row.arity:
            form = f"{name}({', '.join(row.parameters)})"
            raise self.fail(f"{form} takes {row.arity} argument(s), got {len(node.args)}", node)

    def argument(self, node: ast.expr, depth: int) -> Argument:
        if isinstance(node, ast.Name):
            if node.id not in self.defined:
                raise self.fail(f"'{node.id}' has no value here{did_you_mean(node.id, self.defined)}", node)
            return node.id
        number = self.number(node)
        if number is not None:
            return number
        name = next(self.new_names)
        self.call(name, node, depth)
        return name

    def number(self, node: ast.expr) -> float | None:
        """Return the number, with or without a sign, that a node is; None if it is not a number."""
        sign = 1.0
        if isinstance(node, ast.UnaryOp):
            sign, node = -1.0 if isinstance(node.op, ast.USub) else 1.0, node.operand
        if not isinstance(node, ast.Constant):
            return None
        value = sign * float(node.value)  # type: ignore[arg-type]
        if not math.isfinite(value):
            raise self.fail("a number must be finite in 64-bit floating point", node)
        return value

    def returned(self, node: ast.stmt, state: tuple[str, ...]) -> str:
        if not isinstance(node, ast.Return) or node.value is None:
            raise self.fail(f"the last line must be: {_return_line(state)}", node)
        values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
        names = []
        for value in values:
            if not isinstance(value, ast.Name):
                raise self.fail(f"only names of variables can be returned: {_return_line(state)}", value)
            self.argument(value, depth=1)
            names.append(value.id)
        if not names or tuple(names[1:]) != state:
            order = "the update comes first, then the state variables in the order of the parameters"
            raise self.fail(f"{order}: {_return_line(state)}{self.input_hint(state)}", node)
        return names[0]

    def input_hint(self, state: tuple[str, ...]) -> str:
        """Return a hint on the names of inputs if state variables have names that inputs have elsewhere; else empty."""
        meant = {name: _INPUT_WORDS[name] for name in state if name in _INPUT_WORDS}
        wanted = " and ".join(f"{own} for '{name}'" for name, own in meant.items() if own not in self.defined)
        return f"; inputs are called w, g, lr and t, and other parameters are state: write {wanted}" if wanted else ""
