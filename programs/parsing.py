"""From text to a Program. The text is read with ``ast`` and never executed."""

import ast
import difflib
import math
import warnings
from collections.abc import Iterable

from programs.checking import check, locate_errors
from programs.functions import FUNCTIONS, INFIX
from programs.program import RESERVED, Argument, Program, ProgramError, Statement, fresh_name, name_problem

MAX_BYTES = 64 * 1024
MAX_STATEMENTS = 1000
MAX_NESTING = 50
_OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_SHAPE = "a program is one function: def train(w, g, ..., lr): statements, then return update, state..."


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Give `` — did you mean 'x'?`` for the nearest choice, or nothing where none is near."""
    near = difflib.get_close_matches(word, list(choices), n=1)
    return f" — did you mean '{near[0]}'?" if near else ""


def parse(text: str) -> Program:
    """Read a program.

    Args:
        text: one function in the subset of Python's syntax that the language is; comments are ignored.

    Raises:
        ProgramError: with line, column and a caret, where the text is not a program.
    """
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise ProgramError(f"the text has more than {MAX_BYTES} bytes, the most that is read")
    return _Reader(text).read()


class _Reader:
    """Turns one text into one Program, flattening nested expressions into statements of one call each."""

    def __init__(self, text: str):
        self.text = text.replace("\r\n", "\n").replace("\r", "\n")  # as Python's own reader does
        self.statements: list[Statement] = []
        self.places: list[tuple[int, int]] = []  # line and column of each statement's call
        self.defined: set[str] = set()
        self.names: set[str] = set()

    def fail(self, message: str, node: ast.AST | None = None) -> ProgramError:
        """Make the error for a node of the text."""
        line = getattr(node, "lineno", None)
        if line is None:
            return ProgramError(message)
        start = self.text.split("\n")[line - 1].encode()[: node.col_offset]  # type: ignore[union-attr]
        return ProgramError(message, line, len(start.decode(errors="replace")) + 1, self.text)

    def read(self) -> Program:
        function = self.function(self.tree())
        parameters = self.parameters(function)
        self.names = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)} | set(parameters)
        self.defined = set(parameters)
        *body, last = function.body
        for node in body:
            self.statement(node)
        update = self.returned(last, tuple(name for name in parameters if name not in RESERVED))
        program = Program(parameters, tuple(self.statements), update)
        with locate_errors(self.places, self.text):
            check(program)
        return program

    def check_letters(self) -> None:
        """Refuse letters that Python would quietly read as others: beyond ASCII there are comments only."""
        for number, line in enumerate(self.text.split("\n"), start=1):
            code = line.partition("#")[0]
            if not code.isascii():
                column = next(place for place, letter in enumerate(code, start=1) if not letter.isascii())
                raise ProgramError("outside comments there are ASCII characters only", number, column, self.text)

    def tree(self) -> ast.Module:
        self.check_letters()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.parse(self.text)
        except SyntaxError as error:
            message = f"not Python syntax: {error.msg}"
            raise ProgramError(message, error.lineno, error.offset or None, self.text) from None
        except (ValueError, RecursionError, MemoryError) as error:
            raise ProgramError(f"the text cannot be read: {str(error) or 'it is nested too deeply'}") from None

    def function(self, tree: ast.Module) -> ast.FunctionDef:
        if len(tree.body) != 1:
            extra = tree.body[1] if tree.body else None
            raise self.fail(f"{'more than one' if tree.body else 'no'} definition; {_SHAPE}", extra)
        function = tree.body[0]
        if not isinstance(function, ast.FunctionDef) or function.name != "train":
            raise self.fail(f"this is not 'def train(...)'; {_SHAPE}", function)
        if function.decorator_list or function.returns or getattr(function, "type_params", None):
            raise self.fail("decorators and annotations have no meaning here", function)
        return function

    def parameters(self, function: ast.FunctionDef) -> tuple[str, ...]:
        given = function.args
        if given.vararg or given.kwarg or given.kwonlyargs or given.posonlyargs or given.defaults:
            raise self.fail("parameters are plain names: no defaults, no * and no /", function)
        names: list[str] = []
        for parameter in given.args:
            if parameter.annotation:
                raise self.fail("annotations have no meaning here", parameter)
            self.check_name(parameter.arg, parameter)
            if parameter.arg in names:
                raise self.fail(f"'{parameter.arg}' is there twice", parameter)
            names.append(parameter.arg)
        return tuple(names)

    def check_name(self, name: str, node: ast.AST) -> None:
        if problem := name_problem(name):
            raise self.fail(problem, node)

    def statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Return):
            raise self.fail("'return' is the last line, and there is one", node)
        if not isinstance(node, ast.Assign) or len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
            raise self.fail("a statement has the form: name = function(arguments)", node)
        target = node.targets[0].id
        self.check_name(target, node)
        if isinstance(node.value, ast.Name) or self.number(node.value) is not None:
            argument = self.argument(node.value, depth=1)
            self.append(Statement(target, "copy", (argument,)), node.value)
        else:
            self.call(target, node.value, depth=1)
        self.defined.add(target)

    def append(self, statement: Statement, node: ast.expr) -> None:
        if len(self.statements) >= MAX_STATEMENTS:
            raise self.fail(f"more than {MAX_STATEMENTS} statements", node)
        self.statements.append(statement)
        self.places.append((node.lineno, node.col_offset + 1))

    def call(self, target: str, node: ast.expr, depth: int) -> None:
        """Append the statements that compute ``node`` and give it to ``target``."""
        if depth > MAX_NESTING:
            raise self.fail(f"nested more than {MAX_NESTING} deep", node)
        if isinstance(node, ast.BinOp):
            operator = _OPERATORS.get(type(node.op))
            if operator is None:
                hint = "; write power(x, y)" if isinstance(node.op, ast.Pow) else ""
                raise self.fail(f"the operators are + - * /{hint}", node)
            name, operands = INFIX[operator].name, [node.left, node.right]
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            name, operands = "negative", [node.operand]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name, operands = node.func.id, node.args
            self.check_call(node, name)
        else:
            raise self.fail("an expression is a name, a number, a call, or these joined with + - * /", node)
        arguments = tuple(self.argument(operand, depth + 1) for operand in operands)
        self.append(Statement(target, name, arguments), node)

    def check_call(self, node: ast.Call, name: str) -> None:
        row = FUNCTIONS.get(name)
        if row is None:
            raise self.fail(
                f"no function is called '{name}'{did_you_mean(name, FUNCTIONS)} (`pride functions` lists them)",
                node,
            )
        if node.keywords:
            raise self.fail("arguments are given by place, not by name", node)
        if len(node.args) != row.arity:
            form = f"{name}({', '.join(row.parameters)})"
            raise self.fail(f"{form} takes {row.arity} argument(s), got {len(node.args)}", node)

    def argument(self, node: ast.expr, depth: int) -> Argument:
        number = self.number(node)
        if number is not None:
            return number
        if isinstance(node, ast.Name):
            if node.id not in self.defined:
                hint = did_you_mean(node.id, self.defined)
                raise self.fail(f"'{node.id}' has no value here{hint}", node)
            return node.id
        name = fresh_name(self.names)
        self.names.add(name)
        self.call(name, node, depth)
        return name

    def number(self, node: ast.expr) -> float | None:
        sign = 1.0
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            sign = -1.0 if isinstance(node.op, ast.USub) else 1.0
            if not isinstance(node.operand, ast.Constant):
                return None
            node = node.operand
        if not isinstance(node, ast.Constant):
            return None
        if type(node.value) not in (int, float):
            raise self.fail(f"{str(node.value)[:40]!r} is not a number", node)
        try:
            value = sign * float(node.value)  # type: ignore[arg-type]
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise self.fail("a number must be finite in 64-bit floating point", node)
        return value

    def returned(self, node: ast.stmt, state: tuple[str, ...]) -> str:
        form = f"return {', '.join(('update', *state))}"
        if not isinstance(node, ast.Return) or node.value is None:
            raise self.fail(f"the last line must be: {form}", node)
        values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
        names = []
        for value in values:
            if not isinstance(value, ast.Name):
                raise self.fail(f"variables' names are returned: {form}", value)
            self.argument(value, depth=1)
            names.append(value.id)
        if not names or tuple(names[1:]) != state:
            raise self.fail(
                f"the update comes first, then the state variables as the parameters have them: {form}",
                node,
            )
        return names[0]
