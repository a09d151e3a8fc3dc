"""Optax's own contract tests, which its wheel contains, run over our factories instead of Optax's.

Optax's classes take their cases from tables through absl's decorators. While Optax's files are loaded, these
decorators only record what a test varies; each test is then run with our factories.
"""

import functools
import importlib.util
import inspect
import itertools
import os
import re
import unittest
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import jax
import optax
from absl.testing import parameterized

FILES = ("_src/alias_test.py", "contrib/_common_test.py", "_src/float64_test.py", "_src/sharding_test.py")
DEVICES = 8  # over which Optax's tests of sharding spread arrays
LONG = ("test_optimization", "test_optimizers")  # train for 10 000 and 30 000 steps


@dataclass(frozen=True)
class Subject:
    """An exported optimizer under test.

    Attributes:
        name: Its name in the table.
        factory: Makes the transformation.
        settings: The keyword arguments of the factory.
        takes_complex: Whether it is tested with complex weights only, rather than with all.
    """

    name: str
    factory: Callable[..., optax.GradientTransformation]
    settings: dict[str, Any] = field(default_factory=dict)
    takes_complex: bool = False

    def split(self) -> "Subject":
        """Return the optimizer wrapped for complex weights, as its error message about them advises."""
        return Subject(
            self.name,
            lambda **settings: optax.contrib.split_real_and_imaginary(self.factory(**settings)),
            self.settings,
            takes_complex=True,
        )


@dataclass(frozen=True)
class Outcome:
    """The result of one test.

    Attributes:
        subject: The optimizer's name.
        test: The names of Optax's file and of the test, and what the test varied.
        result: "passed", "refused" (complex weights, with an error message), "skipped" by Optax, or "failed".
        reason: Why it did not pass; empty if it did.
    """

    subject: str
    test: str
    result: str
    reason: str = ""


@dataclass(frozen=True)
class _Test:
    """One of Optax's tests with one choice of what it varies."""

    owner: ModuleType
    kind: type[unittest.TestCase]
    method: str
    varied: dict[str, Any]

    @property
    def is_complex(self) -> bool:
        return "complex" in str(self.varied.get("dtype"))

    def __str__(self) -> str:
        words = [getattr(value, "__name__", str(value)).strip("_") for value in self.varied.values()]
        return f"{self.owner.__name__} {self.method}({', '.join(words)})"


class _Result(unittest.TestResult):
    """Keeps the reasons as one line each; a test with a failed part has failed."""

    def __init__(self):
        super().__init__()
        self.reasons: dict[str, str] = {}

    def addSkip(self, test, reason):  # noqa: N802
        super().addSkip(test, reason)
        self.reasons.setdefault("skipped", reason)

    def addFailure(self, test, err):  # noqa: N802
        self._note(err)

    def addError(self, test, err):  # noqa: N802
        self._note(err)

    def addSubTest(self, test, subtest, err):  # noqa: N802
        if err is not None:
            self._note(err)

    def _note(self, err):
        said = " ".join(str(err[1]).split())
        refused = err[0] is ValueError and "optax.contrib.split_real_and_imaginary" in said
        self.reasons.setdefault("refused" if refused else "failed", f"{err[0].__name__}: {said}")


def _load(path: str, factories: dict[str, Callable[..., optax.GradientTransformation]]) -> ModuleType:
    """Load one of Optax's test files, with our optimizers in place of those that it looks up by name."""
    place = Path(optax.__file__).parent / path
    spec = importlib.util.spec_from_file_location(place.stem.strip("_"), place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)

    def note(*_tables: Any, **grid: Any) -> Callable:
        def decorator(function: Callable) -> Callable:
            function.grid = grid  # type: ignore[attr-defined]
            return function

        return decorator

    noting = mock.patch.multiple(parameterized, product=note, named_parameters=note)
    with noting, mock.patch.dict(os.environ), warnings.catch_warnings(action="ignore"):  # from Optax's own tables
        spec.loader.exec_module(module)
    vars(module).update(_get_opt=lambda _, name: factories[name], _get_opt_factory=factories.__getitem__)
    return module


def _row(subject: Subject, wanted: set[str]) -> dict[str, Any]:
    """Return the arguments that name the tested optimizer; each of Optax's files has its own."""
    row: dict[str, Callable[[], Any]] = {
        "opt_name": lambda: f"{subject.name} of Pride",  # a name for which Optax's tests make no exception
        "opt_kwargs": lambda: subject.settings,
        "wrapper_name": lambda: None,
        "wrapper_kwargs": lambda: None,
        "wrap": lambda: False,
        "transform_constr": lambda: subject.factory,
        "transform_kwargs": lambda: subject.settings,
        "optimizer": lambda: subject.factory(**subject.settings),
    }
    return {name: make() for name, make in row.items() if name in wanted}


def _tests(modules: list[ModuleType]) -> Iterator[_Test]:
    """Yield the tests that take their optimizers from a table."""
    rows = {"opt_name", "transform_constr", "optimizer"}
    for module in modules:
        for kind in vars(module).values():
            if not (isinstance(kind, type) and issubclass(kind, unittest.TestCase)):
                continue
            for method, function in vars(kind).items():
                grid = getattr(function, "grid", None)
                if grid is None or "opt_name" in grid or not rows & set(inspect.signature(function).parameters):
                    continue
                grid = {name: values for name, values in grid.items() if name != "wrap"}  # there is no wrapper
                for values in itertools.product(*grid.values()):
                    yield _Test(module, kind, method, dict(zip(grid, values, strict=True)))


def _run(test: _Test, subject: Subject) -> Outcome:
    function = getattr(test.kind, test.method)
    case = test.kind(test.method)
    row = _row(subject, set(inspect.signature(function).parameters))
    setattr(case, test.method, functools.partial(getattr(case, test.method), **row, **test.varied))
    result = _Result()
    with mock.patch.object(jax, "__version__", "1.0"):  # Optax compares it as text, in which 0.10 comes before 0.7
        case.run(result)
    jax.config.update("jax_enable_x64", False)  # a failing test of float64 leaves it on
    name = f"{test}, split" if subject.takes_complex else str(test)
    for verdict in ("failed", "refused", "skipped"):
        if verdict in result.reasons:
            return Outcome(subject.name, name, verdict, result.reasons[verdict])
    return Outcome(subject.name, name, "passed")


def run_contract(subjects: list[Subject], long: bool = True, only: str = "") -> Iterator[Outcome]:
    """Run Optax's contract tests over optimizers; tests with complex weights also run with the optimizer split.

    Args:
        subjects: The optimizers to test, with different names.
        long: Whether to run the tests that train until the problem is solved.
        only: A regular expression that the names of the tests to run must contain.

    Yields:
        The outcome of every test.
    """
    factories: dict[str, Callable[..., optax.GradientTransformation]] = {}
    tests = [test for test in _tests([_load(path, factories) for path in FILES]) if re.search(only, str(test))]
    for subject in subjects:
        for tested in (subject, subject.split()):
            factories[f"{subject.name} of Pride"] = tested.factory
            for test in tests:
                if (long or test.method not in LONG) and (test.is_complex or not tested.takes_complex):
                    yield _run(test, tested)
