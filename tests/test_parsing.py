"""Reading programs: canonical text, flattening, errors with their place, limits, and hostile text."""

import warnings

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from program_cases import RAW_WINNER, SEEDS, mutants

import programs
from programs import ProgramError
from programs.parsing import MAX_BYTES, MAX_NESTING, MAX_STATEMENTS


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
    (["update = sqr(g)"], 2, 14, "no function is called 'sqr' — did you mean 'sqrt'?"),
    (["update = zzzzzz(g)"], 2, 14, "no function is called 'zzzzzz' (`pride functions` lists them)"),
    (["x = g", "update = g + sqrt(y)"], 3, 23, "'y' has no value here"),
    (["moment = g", "update = momnt * lr"], 3, 14, "'momnt' has no value here — did you mean 'moment'?"),
    (["update = sqrt(g, m)"], 2, 14, "sqrt(x) takes 1 argument(s), got 2"),
    (["update = interp(g, m)"], 2, 14, "interp(x, y, a) takes 3 argument(s), got 2"),
    (["update = sqrt(x=g)"], 2, 14, "arguments are given by place"),
    (["update = sqrt(*g)"], 2, 19, "an expression is"),
    (["update = g ** 2"], 2, 14, "write power(x, y)"),
    (["update = g @ m"], 2, 14, "the operators are + - * /"),
    (["update = g // m"], 2, 14, "the operators are + - * /"),
    (["update = +g"], 2, 14, "an expression is"),
    (["update = not g"], 2, 14, "an expression is"),
    (["update = g > m"], 2, 14, "an expression is"),
    (["update = g.T"], 2, 14, "an expression is"),
    (["update = g[0]"], 2, 14, "an expression is"),
    (["update = g.sum()"], 2, 14, "an expression is"),
    (["update = (lambda: g)()"], 2, 14, "an expression is"),
    (["update = (x := g)"], 2, 15, "an expression is"),
    (["update = [g]"], 2, 14, "an expression is"),
    (["update = f'{g}'"], 2, 14, "an expression is"),
    (["update = g if g else m"], 2, 14, "an expression is"),
    (["update = 'g' * g"], 2, 14, "'g' is not a number"),
    (["update = g * True"], 2, 18, "'True' is not a number"),
    (["update = None"], 2, 14, "'None' is not a number"),
    (["update = g * 1j"], 2, 18, "'1j' is not a number"),
    (["update = g * 1e999"], 2, 18, "must be finite"),
    (["update = g * 0x1" + "0" * 5000], 2, 18, "must be finite"),
    (["update = g * 1" + "0" * 5000], 2, None, "not Python syntax"),
    (["update, x = g"], 2, 5, "a statement has the form"),
    (["x = update = g"], 2, 5, "a statement has the form"),
    (["update += g"], 2, 5, "a statement has the form"),
    (["update: float = g"], 2, 5, "a statement has the form"),
    (["g.update = g"], 2, 5, "a statement has the form"),
    (["sqrt(g)"], 2, 5, "a statement has the form"),
    (["pass"], 2, 5, "a statement has the form"),
    (["import os"], 2, 5, "a statement has the form"),
    (["'''text'''"], 2, 5, "a statement has the form"),
    (["for x in g: update = x"], 2, 5, "a statement has the form"),
    (["def train(g): return g"], 2, 5, "a statement has the form"),
    (["return g", "update = g"], 2, 5, "'return' is the last line"),
    (["sqrt = g", "update = sqrt"], 2, 5, "'sqrt' is a function's name"),
    (["x" * 65 + " = g"], 2, 5, "up to 64 ASCII letters"),
    (["update = clip(m, g)"], 2, 14, "clip's argument 'c' must be a scalar, and 'g' is tensor"),
    (["update = g +"], 2, 17, "not Python syntax"),
    (["update = sqrt(g"], 2, 18, "not Python syntax: '(' was never closed"),
    (["if = g"], 2, 8, "not Python syntax"),
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
        ("async def train(g):\n    return g\n", 1, 1, "this is not 'def train(...)'"),
        ("class train:\n    pass\n", 1, 1, "this is not 'def train(...)'"),
        ("train = lambda g: g\n", 1, 1, "this is not 'def train(...)'"),
        ("import os\ndef train(g):\n    return g\n", 2, 1, "more than one definition"),
        ("@cache\ndef train(g):\n    return g\n", 2, 1, "decorators"),
        ("def train(g) -> float:\n    return g\n", 1, 1, "annotations"),
        ("def train(g: float):\n    return g\n", 1, 11, "annotations"),
        ("def train(g=1.0):\n    return g\n", 1, 1, "no defaults"),
        ("def train(*g):\n    return g\n", 1, 1, "no defaults"),
        ("def train(**g):\n    return g\n", 1, 1, "no defaults"),
        ("def train(g, /):\n    return g\n", 1, 1, "no defaults"),
        ("def train(g, *, m):\n    return g, m\n", 1, 1, "no defaults"),
        ("def train(g, g):\n    return g\n", 1, 14, "'g' is there twice"),
        ("def train(g, m, m):\n    return g, m, m\n", 1, 17, "'m' is there twice"),
        ("def train(g, sign):\n    return g, sign\n", 1, 14, "'sign' is a function's name"),
        ("def train(g):\n    update = g\n", 2, 5, "the last line must be: return update"),
        ("def train(g):\n    return\n", 2, 5, "the last line must be"),
        ("def train(g):\n    return ()\n", 2, 5, "the update comes first"),
        ("def train(g, m):\n    return g\n", 2, 5, "return update, m"),
        ("def train(g, m):\n    return g, g\n", 2, 5, "return update, m"),
        ("def train(g, m, v):\n    return g, v, m\n", 2, 5, "return update, m, v"),
        ("def train(g):\n    return g * 2.0\n", 2, 12, "variables' names are returned"),
        ("def train(g):\n    return 1.0\n", 2, 12, "variables' names are returned"),
        ("def train(g):\n    return *g, g\n", 2, 12, "variables' names are returned"),
        ("def train(g):\n    return updat\n", 2, 12, "'updat' has no value here"),
        ("def train(g):\r    update = foo(g)\r    return update", 2, 14, "no function is called 'foo'"),
        ("def train(g):\r\n    update = foo(g)\r\n    return update", 2, 14, "no function is called 'foo'"),
        ("def train(g):\n    # \u2028 \x0b\n    update = foo(g)\n    return update", 3, 14, "no function is called"),
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


def test_limit_of_nesting():
    def nested(depth):
        return body("update = " + "sqrt(" * depth + "g" + ")" * depth)

    assert len(programs.parse(nested(MAX_NESTING)).statements) == MAX_NESTING
    assert refusal(nested(MAX_NESTING + 1)).message == "nested more than 50 deep"
    assert refusal(body("update = " + "g + " * 60 + "g")).message == "nested more than 50 deep"
    assert refusal(body("update = " + "-" * 60 + "g")).message == "nested more than 50 deep"


HOSTILE = [
    "(" * 60_000,
    body("update = " + "(" * 30_000 + "g" + ")" * 30_000),
    body("update = " + "-" * 60_000 + "g"),
    body("update = " + "not " * 15_000 + "g"),
    body("update = " + "g + " * 16_000 + "g"),
    body("update = g" + " ** g" * 12_000),
    body("update = g" + "(g)" * 20_000),
    body("update = g" + ".g" * 30_000),
    body("update = g" + "[g]" * 20_000),
    body("update = " + "[" * 150 + "]" * 150),
    body("update = " + "lambda: " * 8_000 + "g"),
    body("update = " + "g if g else " * 5_000 + "g"),
    "\n".join(" " * depth + "if g:" for depth in range(300)),
    "\x00",
    body("update = g\x00"),
    body("update = g  # \x00"),
    "\ud800",
    body("update = g  # \udfff"),
    body("update = '\\ud800' * g"),
    body("update = '\\d'"),  # Python warns of this escape
    body("update = 1 is 1"),  # and of this comparison
    body("update = 0x1for x in g"),  # and of this number
    body("update = g * 1" + "0" * 5_000),
    body("update = g * 1_0" + "_0" * 30_000),
    body("update = g * 0b" + "1" * 60_000),
    body("update = g * 1e" + "9" * 60_000),
    body("update = __import__('os').system('true')"),
    body("update = eval(g)"),
    body("global w", "update = g"),
    body("await g"),
    body("yield g"),
    body("update = g \\"),
    "\\",
    "\x1b[31m",
    "def train(g):\n\tupdate = g\n        return update\n",
    "def train(g):\n  update = g\n    return update\n",
    "def train",
    "def train(",
    "def train(g): ...",
    "def train(" + ", ".join(f"a{i}" for i in range(20_000)),
    "# coding: utf-7\n+AAA-",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_refused_and_nothing_else_happens(text):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refusal(text)


TOKENS = [
    *[
        "(",
        ")",
        "[",
        "]",
        ",",
        ":",
        ";",
        "=",
        "+",
        "-",
        "*",
        "/",
        "**",
        "//",
        "@",
        ".",
        ":=",
        "->",
        "#",
        "\\",
        "'",
        '"',
    ],
    *[
        "def",
        "train",
        "return",
        "lambda",
        "if",
        "else",
        "for",
        "in",
        "not",
        "is",
        "None",
        "True",
        "async",
        "await",
        "class",
        "import",
        "*args",
        "**kw",
    ],
    *[
        "w",
        "g",
        "lr",
        "t",
        "m",
        "v",
        "update",
        "sqrt",
        "interp",
        "clip",
        "sqr",
        "copy",
        "1",
        "1.0",
        "-1",
        "0x1",
        "1e999",
        "1j",
        "0.1",
    ],
    "9" * 400,
    *["\n", "\n    ", "\t", " ", "\r", "\r\n", "\x00", "\x0c", "é", "\ud800", "def train(w, g, m, lr):\n    "],
]


def reads_or_refuses(text):
    try:
        program = programs.parse(text)
    except ProgramError as error:
        str(error).encode()
    else:
        assert programs.parse(str(program)) == program


@given(st.text())
def test_any_text_is_read_or_refused(text):
    reads_or_refuses(text)
    reads_or_refuses(body(text))


@given(st.lists(st.sampled_from(TOKENS), max_size=30), st.booleans())
@hypothesis.settings(max_examples=300)
def test_any_tokens_are_read_or_refused(tokens, inside):
    reads_or_refuses(body(" ".join(tokens)) if inside else "".join(tokens))


@given(st.integers(0, len(RAW_WINNER) - 1), st.integers(0, 40), st.text(max_size=3))
def test_any_damage_to_a_program_is_read_or_refused(start, length, put):
    reads_or_refuses(RAW_WINNER[:start] + put + RAW_WINNER[start + length :])


def test_load_reads_seed_programs_and_files(tmp_path):
    path = tmp_path / "mine.opt"
    path.write_text(programs.source_text("lion"), encoding="utf-8")
    assert programs.load(path) == programs.load(str(path)) == programs.load("lion")


def test_load_says_what_is_wrong(tmp_path):
    with pytest.raises(ProgramError, match=r"no seed program is called 'lino' — did you mean 'lion'.*adamw"):
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


@pytest.mark.parametrize(
    ("word", "hint"), [("sqr", " — did you mean 'sqrt'?"), ("SQRT", ""), ("", ""), ("lionn", " — did you mean 'lion'?")]
)
def test_did_you_mean(word, hint):
    assert programs.did_you_mean(word, ["sqrt", "lion", "adamw"]) == hint
