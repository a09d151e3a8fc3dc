"""The text of modules for libraries other than JAX: what they import and call, without needing the libraries."""

import ast

import pytest
from export_cases import subjects
from hypothesis import HealthCheck, given, settings
from program_cases import mutants
from test_export import HARD

import programs
from programs import FUNCTIONS

SUBJECTS = subjects(mutants=0) | HARD
EXPORTS = {
    "torch": (programs.export_torch, ["import torch"]),
    "keras": (programs.export_keras, ["import keras", "from keras import ops"]),
}
PRIVATE = {"torch": {"__init__"}, "keras": {"__init__", "_get_variable_index"}}
CALLED = {
    "torch": {"closure", "next", "range", "sum", "super", "TypeError", "ValueError", "zip"},
    "keras": {"dict", "len", "next", "range", "sum", "super", "ValueError", "zip"},
}


def assert_plain(subject, target):
    """Assert that a module defines functions and a class, calls only them and its library, and imports nothing else."""
    export, imports = EXPORTS[target]
    text = export(subject, name="opt")
    assert text.isascii()
    module = ast.parse(text)
    imported = [each for each in ast.walk(module) if isinstance(each, ast.Import | ast.ImportFrom)]
    warns = [] if "lr" in programs.check(subject).inputs else ["import warnings"]
    assert [ast.unparse(each) for each in imported] == [*warns, *imports]
    kinds = [type(each) for each in module.body[1 + len(imported) :]]
    assert kinds == [ast.FunctionDef] * (len(kinds) - 1) + [ast.ClassDef]
    attributes = {each.attr for each in ast.walk(module) if isinstance(each, ast.Attribute)}
    assert {each for each in attributes if each.startswith("_")} <= PRIVATE[target]
    calls = [each.func for each in ast.walk(module) if isinstance(each, ast.Call)]
    defined = {each.name for each in module.body if isinstance(each, ast.FunctionDef)}
    named = {each.id for each in calls if isinstance(each, ast.Name)}
    assert named <= defined | CALLED[target]
    assert defined <= named  # nothing is defined that is not used


@pytest.mark.parametrize("target", EXPORTS)
@pytest.mark.parametrize("name", SUBJECTS)
def test_a_module_imports_its_library_and_does_nothing_else(name, target):
    assert_plain(SUBJECTS[name], target)


@pytest.mark.parametrize("target", EXPORTS)
@given(mutants)
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=50)
def test_every_mutant_exports(target, subject):
    assert_plain(subject, target)


@pytest.mark.parametrize("target", EXPORTS)
@pytest.mark.parametrize("row", FUNCTIONS.values(), ids=FUNCTIONS)
def test_every_function_has_an_expression(row, target):
    arguments = tuple("lr" if name in row.scalars else "g" for name in row.parameters)
    statement = programs.Statement("update", row.name, arguments)
    assert_plain(programs.Program(("g", "lr"), (statement,), "update"), target)


@pytest.mark.parametrize("target", EXPORTS)
def test_text_does_not_depend_on_dead_code(target):
    export = EXPORTS[target][0]
    subject = programs.load("lion")
    noisy = programs.parse(str(subject).replace("    wd =", "    dead = cosh(w)\n    wd ="))
    assert export(noisy, name="opt") == export(subject, name="opt")
