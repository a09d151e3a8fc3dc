"""Parsing programs: canonical text, flattening, errors with their place, and limits."""

import re

import pytest
from hypothesis import given
from program_cases import SEEDS, mutants

import programs
from programs import ProgramError
from programs.scanning import (
    MAX_BYTES,
    MAX_MARKS,
    MAX_NESTING,
    MAX_PARAMETERS,
    MAX_STATEMENT_MARKS,
    MAX_STATEMENTS,
    MAX_WORD,
)


def body(*lines, parameters="w, g, m, lr", returns="update, m"):
    return f"def train({parameters}):\n" + "".join(f"    {line}\n" for line in lines) + f"    return {returns}\n"


def statements(*lines):
    return [str(statement) for statement in programs.parse(body(*lines)).statements]


def refusal(text):
    with pytest.raises(ProgramError) as caught:
        programs.parse(text)
    str(caught.value).encode()  # can be printed
    return caught.value


@pytest.mark.parametrize("name", SEEDS)
def test_canonical_text_of_a_seed_program_is_stable(name):
    program = programs.load(name)
    assert programs.parse(str(program)) == program
    assert str(programs.parse(str(program))) == str(program)
    assert programs.parse(programs.source_text(name)) == program


@given(mutants)
def test_canonical_text_of_a_mutant_is_stable(program):
    assert programs.parse(str(program)) == program
    assert str(programs.parse(str(program))) == str(program)


@pytest.mark.parametrize("number", [0.0, -0.0, 5e-324, 1.7976931348623157e308, -1e-8, 0.1, 1e16, 123456789.0])
def test_every_float_survives_printing(number):
    text = str(programs.Program(("g",), (programs.Statement("update", "multiply", ("g", number)),), "update"))
    again = programs.parse(text).statements[0].arguments[1]
    assert isinstance(again, float)
    assert again.hex() == number.hex()


@pytest.mark.parametrize(
    ("lines", "flat"),
    [
        (["update = g"], ["update = g"]),
        (["update = -2"], ["update = -2.0"]),
        (["update = +2e0"], ["update = 2.0"]),
        (["update = -g"], ["update = negative(g)"]),
        (["update = copy(g)"], ["update = g"]),
        (["update = g * -0.5"], ["update = g * -0.5"]),
        (["update = g - -m"], ["v1 = negative(m)", "update = g - v1"]),
        (["update = - -1.0"], ["update = negative(-1.0)"]),
        (["update = add(g, m)"], ["update = g + m"]),
        (["update = g + m * lr"], ["v1 = m * lr", "update = g + v1"]),
        (["update = (g + m) * lr"], ["v1 = g + m", "update = v1 * lr"]),
        (["update = g - m - w"], ["v1 = g - m", "update = v1 - w"]),
        (["update = g / m / w"], ["v1 = g / m", "update = v1 / w"]),
        (
            ["update = sign(interp(g, m, 0.9)) + w * 0.1"],
            ["v2 = interp(g, m, 0.9)", "v1 = sign(v2)", "v3 = w * 0.1", "update = v1 + v3"],
        ),
        (["v1 = g * 2", "update = sqrt(abs(v1))"], ["v1 = g * 2.0", "v2 = abs(v1)", "update = sqrt(v2)"]),
        (["x = g; update = x"], ["x = g", "update = x"]),
        (["update = interp(", "g,", "m, 0.5)"], ["update = interp(g, m, 0.5)"]),
    ],
)
def test_nested_and_infix_expressions_become_one_call_a_statement(lines, flat):
    assert statements(*lines) == flat


def test_new_names_are_taken_from_no_later_variable():
    lines = statements("update = sqrt(abs(g))", "v1 = update * 2.0", "update = v1 + update")
    assert lines == ["v2 = abs(g)", "update = sqrt(v2)", "v1 = update * 2.0", "update = v1 + update"]


def test_comments_blank_lines_and_line_ends_mean_nothing():
    plain = body("m = m * 0.9", "update = m + g")
    noted = "# a header — with any letters \u2028 é\n\n" + plain.replace("\n", "  # 0.5 × m\n\n")
    for text in (noted, plain.replace("\n", "\r\n"), plain.replace("\n", "\r"), plain.replace("    ", "\t")):
        assert programs.parse(text) == programs.parse(plain)


ERRORS = [  # lines of the body, then line, column, and words of the message
    (["update = sqr(g)"], 2, 14, "no function is called 'sqr' (did you mean 'sqrt'?)"),
    (["update = zzzzzz(g)"], 2, 14, "no function is called 'zzzzzz'; `pride functions` lists them"),
    (["x = g", "update = g + sqrt(y)"], 3, 23, "'y' has no value here"),
    (["moment = g", "update = momnt * lr"], 3, 14, "'momnt' has no value here (did you mean 'moment'?)"),
    (["update = sqrt(g, m)"], 2, 14, "sqrt(x) takes 1 argument(s), got 2"),
    (["update = interp(g, m)"], 2, 14, "interp(x, y, a) takes 3 argument(s), got 2"),
    (["update = sqrt(x=g)"], 2, 14, "arguments are given by position"),
    (["update = sqrt(*g)"], 2, 19, "an expression is"),
    (["update = g ** 2"], 2, 16, "write power(x, y)"),
    (["update = g @ m"], 2, 16, "'@' has no meaning here"),
    (["update = g // m"], 2, 16, "'//' has no meaning here"),
    (["update = +g"], 2, 14, "an expression is"),
    (["update = not g"], 2, 14, "an expression is"),
    (["update = g > m"], 2, 16, "an expression is"),
    (["update = g.T"], 2, 15, "an expression is"),
    (["update = g[0]"], 2, 15, "an expression is"),
    (["update = g.sum()"], 2, 15, "an expression is"),
    (["update = (lambda: g)()"], 2, 15, "an expression is"),
    (["update = (x := g)"], 2, 17, "an expression is"),
    (["update = [g]"], 2, 14, "an expression is"),
    (["update = f'{g}'"], 2, 15, "an expression is"),
    (["update = g if g else m"], 2, 16, "an expression is"),
    (["update = 'g' * g"], 2, 14, "a quoted string has no meaning here"),
    (["update = g * True"], 2, 18, "'True' has no meaning here"),
    (["update = None"], 2, 14, "'None' has no meaning here"),
    (["update = g * 1j"], 2, 18, "'1j' is not a number"),
    (["update = g * 1e999"], 2, 18, "must be finite"),
    (["update = g * 0x10"], 2, 18, "'0x10' is not a number: numbers are decimal, with up to 64 digits"),
    (["update = g * 1_000"], 2, 18, "'1_000' is not a number"),
    (["update = g * 1.2.3"], 2, 18, "'1.2.3' is not a number"),
    (["update = g * .5x"], 2, 18, "'.5x' is not a number"),
    (["update = g * 1" + "0" * 5000], 2, 18, "up to 64 digits before and after the point"),
    (["update = (g, m)"], 2, 14, "an expression is"),
    (["update = sqrt(g)(m)"], 2, 14, "an expression is"),
    (["update = g \\", "+ m"], 2, 16, "'\\' has no meaning here"),
    (["update = g \x0c"], 2, 16, "the character U+000C is not allowed in a program"),
    (["update, x = g"], 2, 5, "a statement has the form"),
    (["x = update = g"], 2, 5, "a statement has the form"),
    (["update += g"], 2, 12, "a statement has the form"),
    (["update: float = g"], 2, 5, "a statement has the form"),
    (["g.update = g"], 2, 6, "a statement has the form"),
    (["sqrt(g)"], 2, 5, "a statement has the form"),
    (["pass"], 2, 5, "a statement has the form"),
    (["import os"], 2, 5, "a statement has the form"),
    (["'''text'''"], 2, 5, "a statement has the form"),
    (["for x in g: update = x"], 2, 5, "a statement has the form"),
    (["def train(g): return g"], 2, 5, "a statement has the form"),
    (["return g", "update = g"], 2, 5, "'return' must be the last line"),
    (["sqrt = g", "update = sqrt"], 2, 5, "'sqrt' is the name of a function"),
    (["x" * 65 + " = g"], 2, 5, "up to 64 ASCII letters"),
    (["update = clip(m, g)"], 2, 14, "clip's argument 'c' must be a scalar, but 'g' is tensor"),
    (["update = g +"], 2, 17, "not Python syntax"),
    (["update = sqrt(g"], 2, 18, "not Python syntax: '(' was never closed"),
    (["if = g"], 2, 5, "'if' has no meaning here"),
    (["é = g", "update = g"], 2, 5, "ASCII"),
    (["update = ｇ"], 2, 14, "ASCII"),
    (["x = g", "update =\u00a0g"], 3, 13, "ASCII"),
]


@pytest.mark.parametrize(("lines", "line", "column", "message"), ERRORS)
def test_errors_tell_where_what_and_what_would_be_right(lines, line, column, message):
    text = body(*lines)
    error = refusal(text)
    assert message in error.message
    assert (error.line, error.column) == (line, column)
    place, shown, *caret = str(error).rsplit("\n", 2 if column else 1)
    assert place.startswith(f"line {line}, column {column}: " if column else f"line {line}: ")
    assert shown.strip()[:20] == text.split("\n")[line - 1].replace("\u00a0", " ").strip()[:20]
    if column:
        assert caret == ["  " + " " * (column - 1) + "^"]


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", None, None, "no definition"),
        ("# only a comment\n", None, None, "no definition"),
        ("update = g\n", 1, 1, "this is not 'def train(...)'"),
        ("def step(g):\n    return g\n", 1, 1, "this is not 'def train(...)'"),
        ("async def train(g):\n    return g\n", 1, 1, "'async' has no meaning here; a program is one function"),
        ("class train:\n    pass\n", 1, 1, "'class' has no meaning here; a program is one function"),
        ("train = lambda g: g\n", 1, 9, "'lambda' has no meaning here; a program is one function"),
        ("import os\ndef train(g):\n    return g\n", 1, 1, "'import' has no meaning here"),
        ("x = 1\ndef train(g):\n    return g\n", 2, 1, "more than one definition"),
        ("@cache\ndef train(g):\n    return g\n", 1, 1, "'@' has no meaning here"),
        ("def train(g) -> float:\n    return g\n", 1, 14, "'->' has no meaning here"),
        ("def train(g: float):\n    return g\n", 1, 11, "annotations"),
        ("def train(g=1.0):\n    return g\n", 1, 1, "no defaults"),
        ("def train(*g):\n    return g\n", 1, 1, "no defaults"),
        ("def train(**g):\n    return g\n", 1, 11, "'**' has no meaning here"),
        ("def train(g, /):\n    return g\n", 1, 1, "no defaults"),
        ("def train(g, *, m):\n    return g, m\n", 1, 1, "no defaults"),
        ("def train(g, g):\n    return g\n", 1, 14, "'g' appears twice"),
        ("def train(g, m, m):\n    return g, m, m\n", 1, 17, "'m' appears twice"),
        ("def train(g, sign):\n    return g, sign\n", 1, 14, "'sign' is the name of a function"),
        ("def train(g):\n    update = g\n", 2, 5, "the last line must be: return update"),
        ("def train(g):\n    return\n", 2, 5, "the last line must be"),
        ("def train(g):\n    return ()\n", 2, 5, "the update comes first"),
        ("def train(g, m):\n    return g\n", 2, 5, "return update, m"),
        ("def train(g, m):\n    return g, g\n", 2, 5, "return update, m"),
        ("def train(g, m, v):\n    return g, v, m\n", 2, 5, "return update, m, v"),
        ("def train(g):\n    return g * 2.0\n", 2, 12, "only names of variables can be returned"),
        ("def train(g):\n    return 1.0\n", 2, 12, "only names of variables can be returned"),
        ("def train(g):\n    return *g, g\n", 2, 12, "only names of variables can be returned"),
        ("def train(g):\n    return updat\n", 2, 12, "'updat' has no value here"),
        ("def train(g):\r    update = foo(g)\r    return update", 2, 14, "no function is called 'foo'"),
        ("def train(g):\r\n    update = foo(g)\r\n    return update", 2, 14, "no function is called 'foo'"),
        ("def train(g):\n    # \u2028 \x0b\n    update = foo(g)\n    return update", 3, 14, "no function is called"),
        ("# \x00\ndef train(g):\n    return g\n", 1, 3, "the character U+0000 is not allowed in a program"),
        ("# é\n# \udfff", 2, 3, "the character U+DFFF is not allowed in a program"),
        ("\ufeffdef train(g):\n    return g\n", 1, 1, "ASCII"),
    ],
)
def test_errors_of_the_whole(text, line, column, message):
    error = refusal(text)
    assert message in error.message
    assert (error.line, error.column) == (line, column)


def test_limit_of_bytes():
    short = body("update = g")
    padding = "#" * (MAX_BYTES - len(short.encode()) - 1) + "\n"
    assert programs.parse(padding + short)
    assert "65536 bytes" in str(refusal("#" + padding + short))
    assert "65536 bytes" in str(refusal("# " + "é" * (MAX_BYTES // 2)))


def test_limit_of_statements():
    lines = ["update = g"] * MAX_STATEMENTS
    assert len(programs.parse(body(*lines)).statements) == MAX_STATEMENTS
    error = refusal(body(*lines, "update = g"))
    assert error.message == "more than 1000 statements"
    assert error.line == MAX_STATEMENTS + 2
    assert refusal(body(*["update = sqrt(abs(g))"] * 501)).line == 502


def test_limit_of_parameters():
    names = [f"m{number}" for number in range(MAX_PARAMETERS + 1)]

    def many(count):
        return f"def train({', '.join(names[:count])}):\n    return m0, {', '.join(names[:count])}\n"

    assert len(programs.parse(many(MAX_PARAMETERS)).parameters) == MAX_PARAMETERS
    assert refusal(many(MAX_PARAMETERS + 1)).message == "there are 65 parameters, more than 64"


@pytest.mark.parametrize(
    ("before", "after", "deepest"),
    [
        ("sqrt(", ")", MAX_NESTING),
        ("(", ")", MAX_NESTING),
        ("-", "", MAX_NESTING),
        ("g + ", "", MAX_NESTING),
        ("", " / m", MAX_NESTING),
        ("interp(g * m, ", ", 0.5)", MAX_NESTING - 1),
        ("lr * (g - ", ")", MAX_NESTING // 2),
    ],
)
def test_limit_of_nesting(before, after, deepest):
    def nested(depth):
        return body(f"update = {before * depth}g{after * depth}")

    assert programs.parse(nested(deepest))
    assert refusal(nested(deepest + 1)).message == "nested more than 50 deep"


def test_limit_of_words():
    name = "x" * MAX_WORD
    assert statements(f"{name} = g", f"update = {name}") == [f"{name} = g", f"update = {name}"]
    assert "up to 64 ASCII letters" in refusal(body(f"x{name} = g")).message
    digits = "1" * MAX_WORD
    assert programs.parse(body(f"update = g * {digits}.{digits}e-{digits}"))
    for number in (f"1{digits}", f"0.1{digits}", f"1e-1{digits}"):
        error = refusal(body(f"update = g * {number}"))
        assert "up to 64 digits" in error.message
        assert (error.line, error.column) == (2, 18)


def test_limit_of_operators_brackets_and_commas_in_a_statement():
    wide = " + ".join(["g" + " * m" * 10] * 40)
    brackets = (MAX_STATEMENT_MARKS - 1 - wide.count("+") - wide.count("*")) // 2  # 1 for the equals sign
    full = "update = " + wide.replace("g", "(g)", brackets)
    assert len(programs.parse(body(full, full)).statements) == 2 * 439
    error = refusal(body("x = g", full.replace("m", "-m", 1)))
    assert "more than 500 operators, brackets and commas in one statement" in error.message
    assert error.line == 3


def test_limit_of_operators_brackets_and_commas_in_a_text():
    def bracketed(count):  # ten for each line, eight for the others
        return body(*["update = ((((g))))"] * count)

    most = (MAX_MARKS - 8) // 10
    assert len(programs.parse("\n\n \n" + bracketed(most) + "\n\n").statements) == most
    error = refusal(bracketed(most + 1))
    assert error.message == "10008 operators, brackets, commas and lines, more than 10000"
    assert error.line == most + 2


def test_limit_of_canonical_text():
    name = "x" * MAX_WORD

    def squeezed(count):  # a line of the canonical text has that many more blanks
        return f"def train({name}):\n" + f" {name}=interp({name},{name},9)\n" * count + f" return {name},{name}\n"

    shown = len(str(programs.parse(squeezed(1)))) - len(str(programs.parse(squeezed(0))))
    most = (MAX_BYTES - len(str(programs.parse(squeezed(0))))) // shown
    longest = programs.parse(squeezed(most))
    assert programs.parse(str(longest)) == longest
    assert len(squeezed(most + 1)) < MAX_BYTES < len(str(longest)) + shown
    assert "the program's canonical text has" in refusal(squeezed(most + 1)).message


LARGEST = {
    "names and numbers as edits make them": "v{0} = interp(v{1}, v{1}, -0.8999999761581421)",
    "the longest numbers": "v{0} = clip(v{1}, -2.2250738585072014e-308)",
    "infix": "v{0} = v{1} * 1.7976931348623157e+308",
    "the smallest number": "v{0} = 5e-324 / v{1}",
    "copies": "v{0} = v{1}",
}


@pytest.mark.parametrize("line", LARGEST.values(), ids=LARGEST)
def test_the_largest_programs_are_read(line):
    lines = [line.format(number + 1, number) for number in range(MAX_STATEMENTS)]
    text = "def train(v0, w, g, lr):\n" + "".join(f"    {line}\n" for line in lines) + "    return v1000, v0\n"
    program = programs.parse(text)
    assert len(program.statements) == MAX_STATEMENTS
    assert str(program) == text


def test_load_reads_seed_programs_and_files(tmp_path):
    path = tmp_path / "mine.opt"
    path.write_text(programs.source_text("lion"), encoding="utf-8")
    assert programs.load(path) == programs.load(str(path)) == programs.load("lion")


def test_load_says_what_is_wrong(tmp_path):
    with pytest.raises(ProgramError, match=r"no seed program is called 'lino' \(did you mean 'lion'"):
        programs.load("lino")
    with pytest.raises(ProgramError, match="there is no file"):
        programs.load(tmp_path / "none.opt")
    with pytest.raises(ProgramError, match="cannot be read"):
        programs.load(tmp_path)
    latin = tmp_path / "latin.opt"
    latin.write_bytes(b"# \xe9\n")
    with pytest.raises(ProgramError, match="not UTF-8 text"):
        programs.load(latin)
    large = tmp_path / "large.opt"
    large.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ProgramError, match="more than 65536 bytes"):
        programs.load(large)


def test_a_byte_order_mark_is_dropped_as_bytes_are_read(tmp_path):
    marked = tmp_path / "marked.opt"
    marked.write_bytes(b"\xef\xbb\xbf# name: marked\ndef train(g):\n    return g\n")
    assert programs.load(marked) == programs.parse("def train(g):\n    return g\n")
    assert programs.source_text(marked).startswith("# name")
    assert programs.decode(marked.read_bytes()) == programs.source_text(marked)


@pytest.mark.parametrize(
    ("parameters", "returned", "hint"),
    [
        ("weights, grad, lr", "update", "write w for 'weights' and g for 'grad'"),
        ("w, gradient, lr", "update", "write g for 'gradient'"),
        ("w, g, learning_rate", "update", "write lr for 'learning_rate'"),
        ("w, g, grad", "update", None),  # there is a g
        ("w, g, m", "update", None),
    ],
)
def test_inputs_by_the_names_that_they_have_elsewhere(parameters, returned, hint):
    name = parameters.split(", ")[1]
    error = refusal(f"def train({parameters}):\n    update = sign({name})\n    return {returned}\n")
    assert "the update comes first" in error.message
    said = f"; inputs are called w, g, lr and t, and other parameters are state: {hint}"
    assert error.message.endswith(said) if hint else "inputs are called" not in error.message


@pytest.mark.parametrize(
    ("word", "hint"), [("sqr", " (did you mean 'sqrt'?)"), ("SQRT", ""), ("", ""), ("lionn", " (did you mean 'lion'?)")]
)
def test_did_you_mean(word, hint):
    assert programs.did_you_mean(word, ["sqrt", "lion", "adamw"]) == hint


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("sgin", "'sin' or 'sign'"),  # a letter more, two swapped
        ("sing", "'sin', 'sinh' or 'sign'"),
        ("coss", "'cos' or 'cosh'"),
        ("coz", "'cos'"),
        ("adamv", "'adam' or 'adamw'"),
        ("mx", "'max' or 'mix'"),
    ],
)
def test_names_that_are_equally_near_are_all_given(word, hint):
    names = ["sin", "sign", "sinh", "cos", "cosh", "adam", "adamw", "adamax", "max", "min", "mix"]
    found = programs.did_you_mean(word, names)
    assert sorted(re.findall("'[a-z]+'", found)) == sorted(re.findall("'[a-z]+'", hint))
    assert re.fullmatch(r" \(did you mean ('[a-z]+', )*('[a-z]+' or )?'[a-z]+'\?\)", found)
