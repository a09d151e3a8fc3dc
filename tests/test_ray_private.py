"""Ray's private parts: the versions in which they were read, and a part that is gone."""

import tomllib

import pytest
import ray
from cluster_cases import ROOT
from packaging.requirements import Requirement

from workers import ray_private

READ_IN = "2.60"


def bounds():
    """Return what pyproject.toml demands of Ray: Pride itself first, then its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    demanded = [Requirement(line) for each in lists for line in each]
    return [requirement.specifier for requirement in demanded if requirement.name == "ray"]


def test_the_private_parts_were_read_in_the_ray_that_is_installed():
    own, *extras = bounds()
    assert all(extra == own for extra in extras)
    assert ray.__version__ in own, (
        f"Ray {ray.__version__} is installed, but the private parts in workers/ray_private.py were read in Ray "
        f"{READ_IN} ({own}): look up each of them in the new version, run the tests marked slow and chaos, and then "
        "change READ_IN here and the bounds in pyproject.toml and constraints.txt"
    )


def test_the_bounds_let_in_only_the_version_that_was_read():
    (own,) = set(bounds())
    major, minor = map(int, READ_IN.split("."))
    assert f"{READ_IN}.0" in own
    assert f"{READ_IN}.99" in own
    assert f"{major}.{minor - 1}.0" not in own
    assert f"{major}.{minor + 1}.0" not in own


def test_a_constant_that_ray_no_longer_has_is_an_error():
    with (
        pytest.raises(AttributeError, match="ENABLE_SOMETHING_ELSE"),
        ray_private.constants_set(ENABLE_RAY_CLUSTER=True, ENABLE_SOMETHING_ELSE=True),
    ):
        pass
