"""Equations of programs: every function has a form, any program gives valid LaTeX, and it says what is computed."""

import re
import string

import numpy as np
import pytest
from latex_reader import run_latex
from matplotlib.mathtext import MathTextParser
from program_cases import SEEDS, program, run_numpy

import programs
from programs.exports.latex import FORMS

PARSER = MathTextParser("agg")
COMMANDS = {command for form in FORMS.values() for command in re.findall(r"\\[A-Za-z]+", form.text)} | {
    *(r"\theta", r"\eta", r"\epsilon", r"\tilde", r"\hat", r"\mathrm", r"\frac", r"\odot", r"\cdot"),
    *(r"\left", r"\right", r"\sqrt"),
}


def equations(given: programs.Program) -> list[str]:
    """Check the environment around the equations; return the equations without it."""
    first, *rows, last = programs.to_latex(given).splitlines()
    assert (first, last) == (r"\begin{aligned}", r"\end{aligned}")
    assert all(row.endswith(r" \\") for row in rows[:-1])
    assert all(row.count("&") == 1 for row in rows)
    return [row.removesuffix(r" \\").replace("&", "") for row in rows]


def check_latex(given: programs.Program) -> None:
    """Check the parts of every equation, and that Matplotlib's TeX parses it."""
    check_parts(given)
    for row in equations(given):
        PARSER.parse(f"${row}$")


def check_parts(given: programs.Program) -> None:
    """Check that all commands are known, that no bracket stays open, and that no symbol stands for two values."""
    rows = equations(given)
    symbols = [row.split(" = ")[0].strip() for row in rows]
    assert len(set(symbols)) == len(symbols)
    for row in rows:
        assert set(re.findall(r"\\[A-Za-z]+", row)) <= COMMANDS
        assert set(row) <= set(string.ascii_letters + string.digits + r" \{}_^()[]|,.+-=<>")
        assert row.count("{") == row.count("}")
        assert row.count(r"\left") == row.count(r"\right")


@pytest.mark.parametrize("name", SEEDS)
def test_a_seed_program_is_made_of_known_parts(name):
    check_parts(programs.load(name))


@pytest.mark.parametrize("name", ["adamw", "lion_raw", "radam", "rprop", "muon"])
def test_a_seed_program_is_latex(name):
    check_latex(programs.load(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", SEEDS)
def test_every_seed_program_is_latex(name):
    check_latex(programs.load(name))


@pytest.mark.parametrize("rng_seed", range(6))
def test_a_random_program_is_latex(rng_seed):
    rng = np.random.default_rng(rng_seed)
    check_latex(programs.random_program(25, rng, programs.Limits(functions=tuple(sorted(programs.FUNCTIONS)))))


def test_every_function_has_a_form_with_all_of_its_arguments():
    assert FORMS.keys() == programs.FUNCTIONS.keys()
    for name, row in programs.FUNCTIONS.items():
        assert set(re.findall(r"<(\d)>", FORMS[name].text)) == {str(place) for place in range(row.arity)}


@pytest.mark.parametrize("name", sorted(programs.FUNCTIONS.keys() - {"copy"}))
def test_every_function_is_written(name):
    row = programs.FUNCTIONS[name]
    arguments = ", ".join(
        "lr" if parameter in row.scalars else "wg"[i % 2] for i, parameter in enumerate(row.parameters)
    )
    given = program("w, g, lr", f"x = {name}({arguments})", "update = x * g", returns="update")
    check_latex(given)
    marks = re.findall(r"\\[a-z]+|\w{3,}", re.sub(r"<\d>", "", FORMS[name].text))
    assert set(marks) <= set(re.findall(r"\\[a-z]+|\w{3,}", equations(given)[0])) | {r"\sqrt"}


def test_lion():
    assert (
        programs.to_latex(programs.load("lion"))
        == r"""\begin{aligned}
m_t &= 0.01 \, g_t + 0.99 \, m_{t-1} \\
u_t &= \operatorname{sign}\left(0.1 \, g_t + 0.9 \, m_{t-1}\right) + 0.1 \, \theta_{t-1} \\
\theta_t &= \theta_{t-1} - 0.0001 \, \eta \, u_t
\end{aligned}
"""
    )


def test_adam_with_the_epsilon_of_division():
    assert equations(programs.load("adam")) == [
        r"m_t = 0.1 \, g_t + 0.9 \, m_{t-1}",
        r"v_t = 0.001 \, g_t^{2} + 0.999 \, v_{t-1}",
        r"u_t = \frac{m_t}{\left(\sqrt{\frac{v_t}{1 - 0.999^{t}}} + \epsilon\right) \, \left(1 - 0.9^{t}\right)}",
        r"\theta_t = \theta_{t-1} - 0.001 \, \eta \, u_t",
        r"\epsilon = 10^{-8}",
    ]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("update = g - (w - lr)", r"\theta_{t-1} - \left(g_t - \left(\theta_{t-1} - \eta\right)\right)"),
        ("update = (g + w) * g", r"\theta_{t-1} - \left(g_t + \theta_{t-1}\right) \odot g_t"),
        ("update = square(g + w)", r"\theta_{t-1} - \left(g_t + \theta_{t-1}\right)^{2}"),
        ("update = g + negative(w)", r"\theta_{t-1} - \left(g_t + \left(-\theta_{t-1}\right)\right)"),
        ("update = g * -2.5e-7", r"\theta_{t-1} - \left(-2.5 \cdot 10^{-7} \, g_t\right)"),
        ("update = interp(g, w, 1.5)", r"\theta_{t-1} - \left(-0.5 \, g_t + 1.5 \, \theta_{t-1}\right)"),
        ("update = interp(g, w, -0.5)", r"\theta_{t-1} - \left(1.5 \, g_t - 0.5 \, \theta_{t-1}\right)"),
        ("update = sqrt(g)", r"\theta_{t-1} - \sqrt{\left|g_t\right|}"),
        ("update = sqrt(abs(g))", r"\theta_{t-1} - \sqrt{\left|g_t\right|}"),
        ("update = power(g / w, 2.0)", r"\theta_{t-1} - \left(\frac{g_t}{\theta_{t-1} + \epsilon}\right)^{2}"),
        (
            "update = g / w / lr",
            r"\theta_{t-1} - \frac{g_t}{\left(\eta + \epsilon\right) \, \left(\theta_{t-1} + \epsilon\right)}",
        ),
    ],
)
def test_parentheses_are_where_they_are_needed(lines, expected):
    rows = equations(program("w, g, lr", lines, returns="update"))
    assert rows[0] == rf"\theta_t = {expected}"


def test_names_are_escaped_and_kept_apart():
    body = ["a_b = cos(g)", "m = m + a_b", "a_b = m * a_b", "u = sin(a_b)", "x1 = u * a_b", "update = x1 * u + x1"]
    given = program("g, m, u, x1", *body, returns="update, m, u, x1")
    rows = equations(given)
    assert rows[0] == r"\mathrm{a\_b}_t = \cos\left(g_t\right)"
    assert rows[1] == r"m_t = m_{t-1} + \mathrm{a\_b}_t"
    assert rows[2] == r"\mathrm{a\_b}_{2,t} = m_t \odot \mathrm{a\_b}_t"
    check_latex(given)


@pytest.mark.parametrize("name", [name for name in SEEDS if programs.is_elementwise(programs.load(name))])
def test_the_equations_compute_what_the_program_computes(name):
    rng = np.random.default_rng(0)
    weights, gradients = rng.normal(size=7), list(rng.normal(size=(6, 7)))
    got = run_latex(equations(programs.load(name)), weights, gradients, rate=0.7)
    wanted = run_numpy(programs.load(name), [weights], [(gradient,) for gradient in gradients], lr=0.7)
    for one, (other,) in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=3e-6)
