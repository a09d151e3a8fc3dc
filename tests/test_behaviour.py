"""What programs do, measured: seed programs that move alike, the size of updates, the decay of weights."""

import numpy as np
import pytest
from program_cases import SEEDS, program

import programs


def nearest(name: str, count: int = 3) -> list[str]:
    return [neighbour.name for neighbour in programs.nearest_seeds(programs.load(name), count)]


@pytest.mark.parametrize("name", ["lion_raw", "lion_pruned"])
def test_lion_as_it_was_found_moves_like_lion(name):
    first, *_ = programs.nearest_seeds(programs.load(name))
    assert first.name == "lion"
    assert first.cosine > 0.999


@pytest.mark.parametrize(
    ("name", "kin"),
    [
        ("lion", {"lion_pruned", "tiger", "signum"}),
        ("adam", {"adamw", "adabound", "ademamix", "diffgrad", "adamw_paper", "amsgrad", "optimistic_adam"}),
        ("adamw", {"adam", "adabound", "ademamix", "diffgrad", "adamw_paper", "amsgrad", "optimistic_adam"}),
        ("momentum", {"heavy_ball", "sgdw", "nesterov"}),
        ("adamax", {"adamaxw", "laprop", "dadapt_adamw", "simplified_ademamix"}),
        ("rmsprop", {"adagrad", "simplified_ademamix", "dadapt_adamw"}),
    ],
)
def test_kin_are_near(name, kin):
    assert set(nearest(name)) <= kin


def test_neither_size_nor_spelling_matters_to_what_is_near():
    small = program("g, m, lr", "m = m * 0.9 + g", "x = m * lr", "update = x * 1e-6", returns="update, m")
    found = [row.name for row in programs.nearest_seeds(small, 4)]
    assert [name for name in found if name != "momentum"] == nearest("momentum")


def test_a_program_is_not_its_own_neighbour():
    assert all(name not in nearest(name, 4) for name in ("sgd", "lion", "adam"))
    assert "lion_pruned" not in nearest("lion_raw", len(SEEDS))


def test_an_opposite_program_is_far():
    uphill = program("g, lr", "update = negative(g) * lr", returns="update")
    cosines = {row.name: row.cosine for row in programs.nearest_seeds(uphill, len(SEEDS))}
    assert cosines["sgd"] == -1.0
    assert list(cosines.values()) == sorted(cosines.values(), reverse=True)


@pytest.mark.parametrize(
    "body", ["update = g * 1e300 * 1e300", "update = w - w", "update = sqrt(w) / 0.0 - log(w - w)"]
)
def test_updates_that_are_zero_or_not_finite_are_like_nothing(body):
    given = program("w, g", body, returns="update")
    assert {row.cosine for row in programs.nearest_seeds(given, len(SEEDS))} <= {0.0}


@pytest.mark.parametrize(
    ("name", "size", "power", "shrinkage"),
    [
        ("sgd", 0.1, 1.0, 0.0),
        ("sign_sgd", 1e-4, 1.0, 0.0),
        ("lion", 1e-4, 1.0, 1e-5),
        ("adamw", 2.3e-4, 1.0, 1e-5),
        ("sgdw", 0.01 / np.sqrt(1 - 0.9**2), 1.0, 1e-4),
        ("lion_raw", 2.17e-4, 1.0, 2.17e-4 * 0.46),
    ],
)
def test_what_is_measured(name, size, power, shrinkage):
    measured = programs.measure(programs.load(name))
    assert measured.update_size == pytest.approx(size, rel=0.1)
    assert measured.update_power == pytest.approx(power, abs=0.01)
    assert measured.shrinkage == pytest.approx(shrinkage, rel=0.01, abs=1e-12)


def test_what_cannot_be_measured_is_none():
    nothing = programs.measure(program("w, g", "update = g / 0.0 * 1e308 * 1e308", returns="update"))
    assert (nothing.update_size, nothing.update_power) == (None, None)
    assert programs.measure(program("g", "update = g - g", returns="update")).update_power is None
    assert programs.measure(program("w, g", "x = log(g)", "update = x * w", returns="update")).shrinkage is None
    assert programs.measure(programs.load("cocob")).update_power == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize(
    ("name", "factor", "decays"),
    [
        ("lion", 1e-4, ["decoupled weight decay"]),
        ("sgd", 0.1, []),
        ("sgdw", None, ["decoupled weight decay"]),
        ("lars", None, ["L2 regularisation"]),
        ("novograd", 0.01, ["weight decay inside the momentum"]),
        ("heavy_ball", None, []),
    ],
)
def test_what_is_read_off_the_program(name, factor, decays):
    found = programs.effective(programs.load(name))
    assert found.rate_factor == pytest.approx(factor)
    assert [feature.name for feature in found.decays] == decays


@pytest.mark.parametrize("name", ["adamw", "lion", "tiger", "adamaxw", "nadamw", "adan", "sgdw", "cautious_lion"])
def test_the_decay_that_is_read_off_is_the_one_that_is_measured(name):
    found = programs.effective(programs.load(name))
    (decay,) = found.decays
    assert found.measured.shrinkage == pytest.approx(dict(decay.numbers)["each_step"], rel=1e-6)


def test_what_moves_all_weights_alike_takes_nothing_of_them_away():
    constant = program("w, lr", "update = lr * 0.5", returns="update")
    assert programs.measure(constant).shrinkage == 0.0
    decay = program("w, lr", "x = w * 0.01", "x = x + 3.0", "update = x * lr", returns="update")
    assert programs.measure(decay).shrinkage == pytest.approx(0.01)


def test_weights_that_grow_are_explained_or_said_not_to_be():
    grows = programs.effective(program("w, g", "x = w * 0.021", "update = g - x", returns="update"))
    assert grows.measured.shrinkage == pytest.approx(-0.021)
    (growth,) = grows.decays
    assert (growth.name, dict(growth.numbers)["each_step"]) == ("weight growth", pytest.approx(-0.021))
    assert growth.sentence == "each step adds 0.021 of the weights"
    assert not grows.unexplained
    assert programs.effective(program("w, g", "x = sin(w)", "update = g + x", returns="update")).unexplained
    assert not programs.effective(programs.load("adamw")).unexplained
    assert not programs.effective(programs.load("sgd")).unexplained


@pytest.mark.parametrize(("one", "other"), [("lion", "cautious_lion"), ("adam", "adanorm")])
def test_programs_that_differ_once_averages_point_against_the_gradient_do_not_behave_alike(one, other):
    assert programs.fingerprint(programs.load(one)) == programs.fingerprint(programs.load(other))
    assert other not in programs.seed_relatives(programs.load(one)).same_behaviour
    assert one not in programs.seed_relatives(programs.load(other)).same_behaviour


def test_the_same_rule_written_in_another_way_behaves_alike():
    assert programs.seed_relatives(programs.load("momentum")).same_behaviour == ("heavy_ball",)


def test_the_gradient_alone_is_nearest_to_sgd():
    alone = program("g", "update = g * 0.3", returns="update")
    assert programs.nearest_seeds(alone)[0].name == "sgd"
