"""A scan of program text, linear in its length, before Python's parser sees it.

Python's parser is not made for hostile text: its depth limits, errors and warnings change from version to version. So
only the words, numbers and marks of the language reach it, within the limits below. The scan consists of a few regular
expressions that never backtrack (``*+``); the standard library's tokenizer would take longer than ``ast.parse`` itself,
has no limits, and changes from version to version too.
"""

import itertools
import keyword
import re

from programs.program import ProgramError, name_problem

MAX_BYTES = 64 * 1024  # of a text, and of the canonical text of its program
MAX_STATEMENTS = 1000  # of a program: one per operator and call
MAX_PARAMETERS = 64
MAX_NESTING = 50  # of brackets, and of operators and calls
MAX_WORD = 64  # letters of a name; digits of a number before its point, and after it
MAX_STATEMENT_MARKS = 500  # operators, brackets, commas and line ends within one statement of the text
MAX_MARKS = 10 * MAX_STATEMENTS  # of them in the text

_DIGITS = rf"[0-9]{{1,{MAX_WORD}}}+"
_NUMBER = rf"(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][-+]?{_DIGITS})?(?![A-Za-z0-9_.])"
_NAME = rf"[A-Za-z_][A-Za-z0-9_]{{0,{MAX_WORD - 1}}}+(?![A-Za-z0-9_])"
_MARK = r"[(),;]|[-+*/=:](?![>*/=])"
_COMMENT = r"\#[^\n\0\ud800-\udfff]*+"
_LANGUAGE = re.compile(rf"[ \t\n]*+(?:(?:{_NAME}|{_MARK}|{_NUMBER}|{_COMMENT})[ \t\n]*+)*+")
_COMMENTS = re.compile(_COMMENT)
_WORDS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*+")
_MARKS = re.compile(r"[-+*/=(),]|[;\n](?![ \t]*+\n)")
_FOREIGN = re.compile(r"(?P<number>\.?[0-9][A-Za-z0-9_.]*)|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|[-+*/=:<>!]{2}|[!-~]")
_PYTHON_WORDS = frozenset(keyword.kwlist) - {"def", "return"}

SHAPE = "a program is one function: def train(w, g, ..., lr): statements, then return update, state..."
STATEMENT = "a statement has the form: name = function(arguments)"
EXPRESSION = "an expression is a name, a number, a call, or these joined with + - * /"


def scan(text: str) -> tuple[str, frozenset[str]]:
    """Check that a text has only the characters, words, numbers and marks of the language, within the limits.

    Returns:
        The text without its comments, which is ASCII, and every word in it.

    Raises:
        ProgramError: If the text has anything else, or exceeds a limit.
    """
    read = _LANGUAGE.match(text)
    if read and read.end() < len(text):
        raise _fault(_why_foreign(text, read.end()), text, read.end(), text)
    code = _COMMENTS.sub("", text) if "#" in text else text
    words = frozenset(_WORDS.findall(code))
    if not words.isdisjoint(_PYTHON_WORDS):
        place = next(word.start() for word in _WORDS.finditer(code) if word[0] in _PYTHON_WORDS)
        raise _fault(_why_foreign(code, place), code, place, text)
    _check_marks(code, text)
    return code, words


def _check_marks(code: str, text: str) -> None:
    """Bound the nesting of brackets and the marks of each statement, and hence the depth and size of the tree."""

    def fault(message: str, number: int) -> ProgramError:
        place = next(itertools.islice(_MARKS.finditer(code), number, None)).start()
        return _fault(message, code, place, text)

    marks = _MARKS.findall(code)
    if len(marks) <= MAX_STATEMENT_MARKS and marks.count("(") <= MAX_NESTING:
        return  # so few marks exceed no limit, wherever they are
    depth, end, lines = 0, -1, 0  # brackets that are open; the mark that ended the last line, and the number of lines
    for number, mark in enumerate(marks[:MAX_MARKS]):
        if mark == "(":
            depth += 1
            if depth > MAX_NESTING:
                raise fault(f"nested more than {MAX_NESTING} deep", number)
        elif mark == ")":
            depth -= depth > 0
        elif not depth and mark in "\n;":
            end, lines = number, lines + 1
            if lines > MAX_STATEMENTS + 3:  # an empty line, the first and the last
                raise fault(f"more than {MAX_STATEMENTS} statements", number)
        if number - end > MAX_STATEMENT_MARKS:
            what = f"more than {MAX_STATEMENT_MARKS} operators, brackets and commas in one statement"
            raise fault(f"{what}; is a bracket left open?", end + 1)
    if len(marks) > MAX_MARKS:
        raise fault(f"{len(marks)} operators, brackets, commas and lines, more than {MAX_MARKS}", MAX_MARKS)


def _why_foreign(text: str, place: int) -> str:
    """Return why nothing of the language begins at this place, and what is expected."""
    letter, found = text[place], _FOREIGN.match(text, place)
    if "\ud800" <= letter <= "\udfff" or (letter.isascii() and not letter.isprintable()):
        return f"the character U+{ord(letter):04X} is not allowed in a program"
    if not found:
        return "only ASCII characters are allowed outside comments"
    shown = f"'{found[0][:40]}'" if letter not in "'\"" else "a quoted string"
    if found["number"]:
        return f"{shown} is not a number: numbers are decimal, with up to {MAX_WORD} digits before and after the point"
    if found["word"] and len(found["word"]) > MAX_WORD:
        return name_problem(found["word"])
    if text[text.rfind("\n", 0, place) + 1] not in " \t":
        return f"{shown} has no meaning here; {SHAPE}"
    hint = "; write power(x, y)" if found[0] == "**" else ""
    return f"{shown} has no meaning here: {STATEMENT}, and {EXPRESSION}{hint}"


def _fault(message: str, code: str, place: int, text: str) -> ProgramError:
    """Make the error for a place in the text, or in the text without its comments."""
    return ProgramError(message, code.count("\n", 0, place) + 1, place - code.rfind("\n", 0, place), text)
