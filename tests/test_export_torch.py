"""Modules for PyTorch: they compute what the program does, and behave like PyTorch's own optimizers."""

import copy
import functools
import io
import itertools
import subprocess
import sys

import numpy as np
import pytest
from export_cases import Leaves, Reference, Stepper, subjects, worst
from program_cases import import_module, program
from test_export import HARD
from test_export_docstring import example
from test_functions import agree, flushed, inputs, points, reference, roles
from test_unread_rate import SENTENCE, UNREAD

import programs
from programs import FUNCTIONS, ProgramError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow
SUBJECTS = subjects(mutants=60)
_numbers = itertools.count()  # of the modules that were exported


def exported(subject, folder, name="opt"):
    return getattr(import_module(programs.export_torch(subject, name=name), folder, f"module{next(_numbers)}"), name)


def parameters(leaves):
    return [torch.nn.Parameter(torch.tensor(leaf)) for leaf in leaves]


def give(params, weights, gradients):
    """Set weights and gradients."""
    with torch.no_grad():
        for param, w, g in zip(params, weights, gradients, strict=True):
            param.copy_(torch.tensor(w))
            param.grad = torch.tensor(g)


def numbers(params):
    return [param.detach().numpy().copy() for param in params]


def stepper(kind, weights: Leaves) -> Stepper:
    params = parameters(weights)
    optimizer = kind(params)
    base = optimizer.param_groups[0]["lr"]

    def step(weights: Leaves, gradients: Leaves, rate: float) -> Leaves:
        give(params, weights, gradients)
        optimizer.param_groups[0]["lr"] = base * rate
        optimizer.step()
        return numbers(params)

    return step


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SUBJECTS)
def test_a_module_is_the_program(name, dtype, tmp_path):
    found = worst(SUBJECTS[name], functools.partial(stepper, exported(SUBJECTS[name], tmp_path)), dtype, steps=30)
    assert found.excess <= 1.0
    assert found.steps == 30 or name.startswith("mutant")


def test_nearly_all_mutants_give_finite_numbers_to_compare(tmp_path):
    mutants = {name: subject for name, subject in SUBJECTS.items() if name.startswith("mutant")}
    steps = [
        worst(each, functools.partial(stepper, exported(each, tmp_path)), "float32", 30).steps
        for each in mutants.values()
    ]
    assert sum(count == 30 for count in steps) >= 50


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", HARD)
def test_hard_programs(name, dtype, tmp_path):
    assert worst(HARD[name], functools.partial(stepper, exported(HARD[name], tmp_path)), dtype, 10).excess <= 1.0


def keeping(row):
    """Make a program that stores a function's value, and whose update is the value of the step before."""
    return program("w, g, m, lr", "update = m", f"m = {row.name}({', '.join(roles(row))})", returns="update, m")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("row", FUNCTIONS.values(), ids=FUNCTIONS)
@np.errstate(all="ignore")
def test_functions_at_nasty_points(row, dtype, tmp_path):
    kind = exported(keeping(row), tmp_path)
    for g, w, lr in inputs(row, dtype):
        params = parameters(w)
        optimizer = kind(params, **({"lr": lr} if "lr" in roles(row) else {}))
        give(params, w, g)
        optimizer.step()
        x, y = ([leaf.astype(np.float64) for leaf in leaves] for leaves in (g, w))
        rate = np.asarray(lr, dtype).astype(np.float64)
        wanted = reference(row, dtype, x, y, rate)
        smooth = reference(row, dtype, flushed(x, dtype), flushed(y, dtype), rate)
        for place, param in enumerate(params):
            kept = optimizer.state[param]["m"]
            assert kept.dtype == param.dtype
            got = np.broadcast_to(kept.numpy().astype(np.float64), x[place].shape)
            right = agree(row, dtype, x[place], y[place], got, wanted[place])
            right |= agree(row, dtype, x[place], y[place], got, smooth[place])
            wrong = np.stack([x[place], y[place], got, wanted[place]], axis=-1)[~right].tolist()
            assert not wrong, f"lr {lr}: {len(wrong)} of {right.size}, [g, w, got, wanted] = {wrong[:5]}"


def numbers_of(row, dtype):
    """Return numbers that a program can contain: finite ones."""
    x, y = points(dtype)
    usable = np.isfinite(x) & np.isfinite(y)
    return [(float(a), float(b)) for a, b in list(zip(x[usable], y[usable], strict=True))[:: 1 + row.arity * 40]]


def in_all_places(row):
    """Return calls of a function with numbers, and with arrays and numbers mixed."""
    for x, y in numbers_of(row, "float64"):
        values = dict(zip(row.parameters, (repr(x), repr(y), "0.25"), strict=False))
        for named in itertools.product([False, True], repeat=row.arity):
            words = [
                "lr" if keep and name in row.scalars else role if keep else values[name]
                for keep, name, role in zip(named, row.parameters, ("g", "w", "lr"), strict=False)
            ]
            yield f"m = {row.name}({', '.join(words)})"


@pytest.mark.parametrize("row", [row for row in FUNCTIONS.values() if row.arity], ids=lambda row: row.name)
@np.errstate(all="ignore")
def test_functions_of_numbers_and_arrays_mixed(row, tmp_path):
    weights, gradients = [np.array([[0.5, -1.25], [2.0, 0.75]])], [np.array([[1.5, 0.25], [-0.5, 3.0]])]
    for line in itertools.islice(in_all_places(row), 40):
        subject = program("w, g, m, lr", "update = m", line, returns="update, m")
        params = parameters(weights)
        given = {"lr": 0.5} if "lr" in programs.check(subject).inputs else {}
        optimizer = exported(subject, tmp_path)(params, **given)
        give(params, weights, gradients)
        optimizer.step()
        plain = Reference(subject, [(2, 2)], "float64")
        plain(weights, gradients, 0.5)
        wanted = plain(weights, gradients, 0.5)[0]
        got = np.broadcast_to(optimizer.state[params[0]]["m"].numpy(), (2, 2))
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-14, err_msg=line)


CLIPPED = program(
    "w, g, m, s, lr",
    "s = s + lr",
    "x = clip(g, 0.75)",
    "m = interp(x, m, 0.9)",
    "update = m * lr + w * 0.01",
    "update = update * s + global_norm(g) * 0.3",
    returns="update, m, s",
)


def drawn(rng_seed, shapes=((3, 2), (4,), ()), dtype="float32"):
    rng = np.random.default_rng(rng_seed)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def test_groups_have_their_own_settings_and_norms_are_of_all_groups(tmp_path):
    """Compared with three programs, each with the settings of one group, which all see the gradients of all groups."""
    kind, params = exported(CLIPPED, tmp_path), parameters(drawn(0, dtype="float64"))
    chosen = [{"lr": 0.5}, {"lr": 0.25, "b1": 0.5}, {"lr": 0.125, "weight_decay": 0.5, "c1": 0.25}]
    optimizer = kind([{"params": [param], **each} for param, each in zip(params, chosen, strict=True)])
    replaced = {"b1": "0.9", "weight_decay": "0.01", "c1": "0.75"}
    single = []
    for each in chosen:
        text = str(CLIPPED)
        for name in each.keys() - {"lr"}:
            assert text.count(replaced[name]) == 1
            text = text.replace(replaced[name], str(each[name]))
        single.append(Reference(programs.parse(text), [param.shape for param in params], "float64"))
    for number in range(1, 5):
        weights, gradients = numbers(params), drawn(number, dtype="float64")
        give(params, weights, gradients)
        optimizer.step()
        for place, (each, plain) in enumerate(zip(chosen, single, strict=True)):
            wanted = weights[place] - plain(weights, gradients, each["lr"])[place]
            np.testing.assert_allclose(params[place].detach().numpy(), wanted, rtol=1e-12)


def test_an_added_group_begins_at_its_own_first_step(tmp_path):
    kind, (first, second) = exported(programs.load("adamw"), tmp_path), parameters(drawn(0, ((3,), (3,))))
    optimizer = kind([first])
    for number in range(3):
        give([first], numbers([first]), drawn(number, ((3,),)))
        optimizer.step()
    optimizer.add_param_group({"params": [second], "lr": 0.5})
    alone = parameters(numbers([second]))
    own = kind(alone, lr=0.5)
    for number in range(3):
        give([first, second], numbers([first, second]), drawn(number, ((3,), (3,))))
        give(alone, numbers(alone), drawn(number, ((3,), (3,)))[1:])
        optimizer.step()
        own.step()
    np.testing.assert_array_equal(numbers([second])[0], numbers(alone)[0])


def test_schedulers_change_the_rate(tmp_path):
    kind, (param, other) = exported(programs.load("lion"), tmp_path), parameters(drawn(0, ((3,), (3,))))
    other.data.copy_(param.data)
    scheduled, plain = kind([param], lr=0.5), kind([other], lr=0.5)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(scheduled, gamma=0.5)
    for number in range(4):
        gradients = drawn(number, ((3,),))
        give([param], numbers([param]), gradients)
        give([other], numbers([other]), gradients)
        plain.param_groups[0]["lr"] = 0.5 * 0.5**number
        scheduled.step()
        scheduler.step()
        plain.step()
        np.testing.assert_array_equal(numbers([param])[0], numbers([other])[0])


def test_a_rate_may_be_a_tensor_and_is_not_kept(tmp_path):
    subject = program("g, s, lr", "update = g * s", "s = lr * 0.5", returns="update, s")
    kind, rate, (param,) = exported(subject, tmp_path), torch.tensor(0.25), parameters(drawn(0, ((3,),)))
    optimizer = kind([param], lr=rate)
    give([param], numbers([param]), drawn(1, ((3,),)))
    optimizer.step()
    rate.fill_(100.0)
    assert float(optimizer.state[param]["s"]) == 0.25


@pytest.mark.parametrize("name", ["adamw", "dowg", "lion", "sgd", "clipped"])
def test_state_dict_round_trip(name, tmp_path):
    kind = exported(CLIPPED if name == "clipped" else programs.load(name), tmp_path)
    params = parameters(drawn(0))
    optimizer = kind(params)
    for number in range(3):
        give(params, numbers(params), drawn(number))
        optimizer.step()
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    again = parameters(numbers(params))
    loaded, copied = kind(again, lr=100.0), copy.deepcopy(optimizer)
    loaded.load_state_dict(torch.load(file, weights_only=True))
    for number in range(3, 6):
        for each, own in ((optimizer, params), (loaded, again), (copied, copied.param_groups[0]["params"])):
            give(own, numbers(own), drawn(number))
            each.step()
    for x, y, z in zip(params, again, copied.param_groups[0]["params"], strict=True):
        assert torch.equal(x, y)
        assert torch.equal(x, z)


def test_state_has_the_dtypes_of_the_weights_and_numbers_keep_theirs(tmp_path):
    kind = exported(CLIPPED, tmp_path)
    dtypes = [torch.bfloat16, torch.float32, torch.float64]
    params = [torch.nn.Parameter(torch.ones(3, dtype=dtype)) for dtype in dtypes]
    optimizer, again = kind(params, lr=0.1), kind(params, lr=0.1)
    for _ in range(3):
        for param in params:
            param.grad = torch.ones_like(param)
        optimizer.step()
    again.load_state_dict(optimizer.state_dict())
    for each in (optimizer, again):
        assert [each.state[param]["m"].dtype for param in params] == dtypes
        assert [each.state[param]["s"].dtype for param in params] == [torch.float32, torch.float32, torch.float64]
    assert again.state[params[0]]["s"] == optimizer.state[params[0]]["s"]


def test_weights_without_a_gradient_are_as_if_not_there(tmp_path):
    kind = exported(CLIPPED, tmp_path)
    params = parameters(drawn(0))
    alone = parameters(drawn(0)[:2])
    optimizer, own = kind(params), kind(alone)
    optimizer.step()  # nothing to do
    give(params[:2], numbers(params[:2]), drawn(1)[:2])
    give(alone, numbers(alone), drawn(1)[:2])
    optimizer.step()
    own.step()
    for x, y in zip(params, alone, strict=False):
        assert torch.equal(x, y)
    assert params[2].item() == drawn(0)[2]


def test_what_is_kept_does_not_change_with_the_weights_or_the_gradients(tmp_path):
    subject = program(
        "w, g, a, b, c", "update = a + b + c", "a = w", "b = g", "c = orthogonalize(w)", returns="update, a, b, c"
    )
    kind, (param,) = exported(subject, tmp_path), parameters(drawn(0, ((3,),)))
    optimizer = kind([param])
    before, gradient = numbers([param])[0], drawn(1, ((3,),))[0]
    give([param], [before], [gradient])
    optimizer.step()
    with torch.no_grad():
        param.fill_(7.0)
        param.grad.zero_()
    kept = {name: value.numpy() for name, value in optimizer.state[param].items()}
    for name, wanted in (("a", before), ("b", gradient), ("c", before)):
        np.testing.assert_array_equal(kept[name], wanted)


def test_complex_weights_and_sparse_gradients_are_refused(tmp_path):
    kind = exported(programs.load("lion"), tmp_path, name="found")
    with pytest.raises(ValueError, match=r"^found takes real weights, got torch\.complex64: "):
        kind([torch.nn.Parameter(torch.ones(2, dtype=torch.complex64))])
    optimizer = kind(parameters(drawn(0)))
    with pytest.raises(ValueError, match="takes real weights"):
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(2, dtype=torch.complex128))]})
    assert len(optimizer.param_groups) == 1
    layer = torch.nn.Embedding(4, 2, sparse=True)
    before = layer.weight.detach().clone()
    layer(torch.tensor([1])).sum().backward()
    with pytest.raises(TypeError, match=r"^found takes dense gradients, got a sparse one: use its to_dense\(\)$"):
        kind(layer.parameters()).step()
    assert torch.equal(layer.weight, before)


def test_a_closure_gives_the_loss_and_the_module_trains(tmp_path):
    param = torch.nn.Parameter(torch.full((3,), 4.0))
    optimizer = exported(programs.load("adamw"), tmp_path)([param], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = torch.sum(param**2)
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(100)]
    assert losses[0] == 48.0
    assert losses[-1] < 0.1


def test_keyword_arguments_are_those_of_the_optax_module_and_reach_the_formula(tmp_path):
    changed = str(programs.load("lion")).replace("0.99", "0.5").replace("0.9)", "0.75)").replace("0.1", "0.25")
    kind = exported(programs.load("lion"), tmp_path)
    (param,) = parameters(drawn(0, ((3,),)))
    optimizer = kind([param], lr=0.125, b1=0.75, b2=0.5, weight_decay=0.25)
    assert kind([param]).defaults.items() >= {"lr": 0.0001, "b1": 0.9, "b2": 0.99, "weight_decay": 0.1}.items()
    plain = Reference(programs.parse(changed.replace("0.0001", "0.125")), [(3,)], "float32")
    for number in range(3):
        weights, gradients = numbers([param]), drawn(number, ((3,),))
        give([param], weights, gradients)
        optimizer.step()
        np.testing.assert_allclose(numbers([param])[0], weights[0] - plain(weights, gradients, 1.0)[0], rtol=1e-6)


@pytest.mark.parametrize("name", ["", "1a", "a b", "class", "torch", "print", "é"])
def test_names_that_cannot_be_a_class_are_refused(name):
    with pytest.raises(ProgramError, match=r"cannot be a function's name|Python built-in|the module itself uses"):
        programs.export_torch(programs.load("lion"), name=name)


@pytest.mark.parametrize("name", ["lion", "dowg", "muon"])
def test_the_example_runs(name, tmp_path):
    text = programs.export_torch(programs.load(name), name="found", provenance=('a """ run',))
    (tmp_path / "found.py").write_text(text, encoding="utf-8")
    shown = example(text) + "\nprint(bool(torch.isfinite(weights).all()), len(weights))\n"
    done = subprocess.run([sys.executable, "-W", "error", "-c", shown], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True 3\n", "")


def test_a_rate_that_is_not_read_warns(tmp_path):
    found = exported(UNREAD, tmp_path)
    (weights,) = parameters([np.ones(3)])
    with pytest.warns(UserWarning, match=SENTENCE):
        optimizer = found([weights], lr=0.1)
    weights.grad = torch.ones(3, dtype=torch.float64)
    optimizer.step()
    np.testing.assert_array_equal(weights.detach().numpy(), np.zeros(3))
    torch.optim.lr_scheduler.ConstantLR(found([weights]), factor=0.5)
