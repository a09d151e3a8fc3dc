"""Transformations of programs, compared with Optax and with their definitions written as loops in NumPy."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program_cases import QUICK, RAW_WINNER, SEEDS, assert_close, import_module, mutants, program, run_transform, tree

import programs
from programs import FUNCTIONS, TRANSFORMATIONS, Kind
from programs.execution import execute

STEPS = 300  # of a comparison with Optax
LOOK = 9  # steps of a comparison in NumPy: several periods of lookahead
SHAPES = ((3, 4), (5,), ())

AWKWARD = {
    "the raw winner, which assigns g and lr": programs.parse(RAW_WINNER),
    "the update is a parameter": program("g", returns="g"),
    "the update is the weights": program("w", returns="w"),
    "the update is a state variable": program("g, m", "m = interp(g, m, 0.9)", returns="m, m"),
    "a state variable is called update": program(
        "g, update", "x = g + update", "update = interp(x, update, 0.5)", returns="x, update"
    ),
    "the inputs are assigned": program(
        "w, g, m, t, lr",
        "m = interp(g, m, 0.9)",
        "w = w * 0.5",
        "t = t * 3.0",
        "lr = lr * 0.1",
        "g = m + w",
        "g = g * lr",
        "g = g / t",
        returns="g, m",
    ),
    "the inputs are variables and no parameters": program(
        "m", "g = m + 1.0", "w = sqrt(g)", "t = 2.0", "lr = w * t", "m = interp(lr, m, 0.5)", returns="m, m"
    ),
    "all names are taken": program(
        "w, g, slow, wd, mhat, b1t, t",
        "fast = g - slow",
        "sync = fast + wd",
        "slow = interp(g, slow, 0.9)",
        "wd = interp(sync, wd, 0.9)",
        "slowhat = slow + b1t",
        "first = slowhat + mhat",
        "jump = first / t",
        "weights = jump * 0.1",
        "b1t = interp(w, b1t, 0.5)",
        "mhat = b1t - weights",
        returns="weights, slow, wd, mhat, b1t",
    ),
    "a scalar update": program("g, n, lr", "n = global_norm(g)", "update = n * lr", returns="update, n"),
    "a per-array update": program("g, n, t", "n = interp(norm(g), n, 0.9)", "update = n / t", returns="update, n"),
    "a number": program("", "update = 0.5", returns="update"),
    "dead statements": program(
        "w, g, m, v, t",
        "m = interp(g, m, 0.9)",
        "w = sign(m)",
        "v = interp(w, v, 0.5)",
        "x = v * t",
        "update = m * 0.1",
        returns="update, m, v",
    ),
}

awkward = st.sampled_from(list(AWKWARD.values()))
subjects = mutants | awkward
amounts = st.floats(0.01, 4.0)
drawn_settings = {
    "lookahead": st.fixed_dictionaries({"k": st.integers(1, 5), "alpha": st.floats(0.0, 1.0)}),
    "clip_by_global_norm": st.fixed_dictionaries({"max_norm": amounts}),
    "clip_by_value": st.fixed_dictionaries({"max_delta": amounts}),
    "weight_decay": st.fixed_dictionaries({"rate": amounts}),
    "l2": st.fixed_dictionaries({"decay": amounts}),
}


# A step is a function (w, g, t, lr) -> update on tuples of arrays; it keeps its own state.


def step_of(subject):
    """Make a program's step, in float64."""
    facts, state = programs.check(subject), {}

    def step(w, g, t, lr):
        shapes = {Kind.SCALAR: [()], Kind.PER_ARRAY: [()] * len(w), Kind.TENSOR: [x.shape for x in w]}
        for name in facts.live_state if t == 1 else ():
            kind = facts.state_kinds[name]
            state[name] = (kind, tuple(np.zeros(shape) for shape in shapes[kind]))
        inputs = state | {"w": (Kind.TENSOR, w), "g": (Kind.TENSOR, g)}
        inputs |= {"t": (Kind.SCALAR, (np.float64(t),)), "lr": (Kind.SCALAR, (np.float64(lr),))}
        update, after = execute(subject, facts, np, w, inputs, np.float64)
        state.update(after)
        return update

    return step


def each(function, *values):
    return tuple(np.asarray(function(*arrays)) for arrays in zip(*values, strict=True))


def lookahead(step, k, alpha):
    slow = ()

    def ahead(w, g, t, lr):
        nonlocal slow
        slow = w if t == 1 else slow
        update = step(w, g, t, lr)
        if t % k:
            return update
        slow = each(lambda s, x, u: (1 - alpha) * s + alpha * (x - u), slow, w, update)
        return each(np.subtract, w, slow)

    return ahead


def clip_by_global_norm(step, max_norm):
    def clipped(w, g, t, lr):
        scale = np.minimum(1.0, max_norm / np.sqrt(sum(np.sum(x * x) for x in g)))
        return step(w, each(lambda x: x * scale, g), t, lr)

    return clipped


def clip_by_value(step, max_delta):
    return lambda w, g, t, lr: step(w, each(lambda x: np.clip(x, -max_delta, max_delta), g), t, lr)


def weight_decay(step, rate):
    return lambda w, g, t, lr: each(lambda u, x: u + x * (lr * rate), step(w, g, t, lr), w)


def l2(step, decay):
    return lambda w, g, t, lr: step(w, each(lambda x, y: x + y * decay, g, w), t, lr)


DEFINITIONS = {row.__name__: row for row in (lookahead, clip_by_global_norm, clip_by_value, weight_decay, l2)}


def course(step, shapes=SHAPES):
    """Return the weights after every step, with gradients above and below the clipping bound and a falling lr."""
    rng = np.random.default_rng(5)
    w, found = tuple(rng.normal(size=shape) for shape in shapes), []
    with np.errstate(all="ignore"):
        for t in range(1, LOOK + 1):
            g = tuple(rng.normal(size=shape) * (2.0 if t % 2 else 0.01) for shape in shapes)
            w = each(np.subtract, w, step(w, g, t, 1.0 / t))
            found.append(w)
    return found


def assert_same(got, wanted, rtol=0.0):
    for one, other in zip(got, wanted, strict=True):
        for x, y in zip(one, other, strict=True):
            np.testing.assert_allclose(x, y, rtol=rtol)


def assert_well_formed(subject):
    programs.check(subject)
    assert programs.parse(str(subject)) == subject


def test_every_transformation_has_a_definition_here():
    assert {*DEFINITIONS, "bias_correction"} == set(TRANSFORMATIONS)
    assert drawn_settings.keys() == DEFINITIONS.keys()


def test_rows_tell_names_defaults_and_sources():
    for name, row in TRANSFORMATIONS.items():
        assert row.name == name
        assert row.function is getattr(programs, name)
        _, *given = inspect.signature(row.function).parameters.values()
        assert [(p.name, p.default) for p in row.parameters] == [(p.name, p.default) for p in given]
        assert all(p.check(p.default) == p.default for p in row.parameters)
        assert row.summary
        assert "https://" in row.source


@pytest.mark.parametrize("name", DEFINITIONS)
@settings(max_examples=30)
@given(data=st.data())
def test_a_transformed_mutant_does_what_the_definition_says(name, data):
    subject, chosen = data.draw(subjects), data.draw(drawn_settings[name])
    transformed = TRANSFORMATIONS[name].function(subject, **chosen)
    assert_well_formed(transformed)
    assert_same(course(step_of(transformed)), course(DEFINITIONS[name](step_of(subject), **chosen)))


@settings(max_examples=40)
@given(subjects, st.lists(st.sampled_from(sorted(DEFINITIONS)), min_size=2, max_size=4), st.data())
def test_transformations_compose(subject, names, data):
    transformed, step = subject, step_of(subject)
    for name in names:
        chosen = data.draw(drawn_settings[name])
        transformed = TRANSFORMATIONS[name].function(transformed, **chosen)
        step = DEFINITIONS[name](step, **chosen)
    assert_well_formed(transformed)
    assert_same(course(step_of(transformed)), course(step))


@pytest.mark.parametrize("subject", AWKWARD.values(), ids=AWKWARD)
@pytest.mark.parametrize("name", DEFINITIONS)
def test_awkward_programs(name, subject):
    transformed = TRANSFORMATIONS[name].function(subject)
    assert_well_formed(transformed)
    defaults = {p.name: p.default for p in TRANSFORMATIONS[name].parameters}
    assert_same(course(step_of(transformed)), course(DEFINITIONS[name](step_of(subject), **defaults)))


def averages(subject):
    """Return the factor of every state variable that is a moving average and nothing else."""
    found = {}
    for name in subject.state:
        written = [s for s in subject.statements if s.target == name]
        if len(written) == 1 and written[0].function == "interp" and written[0].arguments[1] == name:
            factor = written[0].arguments[2]
            if isinstance(factor, float) and factor not in (1.0, -1.0):
                found[name] = factor
    return found


def corrected_step_of(subject):
    """Make a program's step for one weight array, statement by statement, with every average read as m / (1 - b^t)."""
    facts, factors, state = programs.check(subject), averages(subject), {}

    def step(w, g, t, lr):
        if t == 1:
            shapes = {Kind.SCALAR: (), Kind.PER_ARRAY: (), Kind.TENSOR: w[0].shape}
            state.update({name: np.zeros(shapes[kind]) for name, kind in facts.state_kinds.items()})
        held = state | {"w": w[0], "g": g[0], "t": np.float64(t), "lr": np.float64(lr)}
        read = dict(held)
        for statement in subject.statements:
            row, target = FUNCTIONS[statement.function], statement.target
            words = [read[word] if isinstance(word, str) else np.float64(word) for word in statement.arguments]
            held[target] = read[target] = row.body(np, *words) if row.leafwise else whole(row, words)
            if target in factors:
                read[target] = held[target] * (1.0 / (1.0 - np.power(factors[target], np.float64(t))))
        state.update({name: held[name] for name in state})
        return (np.broadcast_to(read[subject.update], w[0].shape),)

    return step


def whole(row, words):
    """Call a function of whole values on one array each."""
    joined = np.broadcast_shapes(*(np.shape(x) for place, x in enumerate(words) if place not in row.scalar_places))
    spread = [x if place in row.scalar_places else np.broadcast_to(x, joined) for place, x in enumerate(words)]
    result = row.body(np, *((x,) for x in spread))
    return result[0] if isinstance(result, tuple) else result


def assert_corrected(subject):
    corrected = programs.bias_correction(subject)
    assert_well_formed(corrected)
    assert_same(course(step_of(corrected), [(3, 4)]), course(corrected_step_of(subject), [(3, 4)]))
    return corrected


@settings(max_examples=60)
@given(subjects)
def test_bias_correction_of_any_mutant_does_what_the_definition_says(subject):
    assert_corrected(subject)


@pytest.mark.parametrize("subject", AWKWARD.values(), ids=AWKWARD)
def test_bias_correction_of_awkward_programs(subject):
    assert_corrected(subject)


def test_bias_correction_makes_adamw_of_the_papers_adamw():
    corrected = programs.bias_correction(programs.load("adamw_paper"))
    assert programs.key(corrected) == programs.key(programs.load("adamw"))


def test_the_first_corrected_average_is_the_gradient():
    average = program("g, m", "m = interp(g, m, 0.9)", returns="m, m")
    corrected = assert_corrected(average)
    g = (np.arange(1.0, 4.0),)
    np.testing.assert_allclose(step_of(corrected)(g, g, 1, 1.0)[0], g[0], rtol=1e-12)
    np.testing.assert_allclose(step_of(average)(g, g, 1, 1.0)[0], 0.1 * g[0], rtol=1e-12)


@pytest.mark.parametrize(
    "subject",
    [
        program("g, m", "m = interp(g, m, 0.9)", "m = m * 0.5", returns="m, m"),
        program("g, m", "m = g - m", "m = interp(g, m, 0.9)", returns="m, m"),
        program("g, m", "m = interp(g, m, 1.0)", returns="m, m"),
        program("g, m", "m = interp(m, g, 0.1)", returns="m, m"),
        program("g, m, v", "m = interp(g, v, 0.9)", "v = g", returns="m, m, v"),
        program("g, m, t", "b = reciprocal(t)", "m = interp(g, m, b)", returns="m, m"),
        program("g, m", "update = g - m", "m = interp(g, m, 0.9)", returns="update, m"),
        program("g", "m = square(g)", "m = interp(g, m, 0.9)", returns="m"),
        programs.load("lion"),
        programs.load("momentum"),
    ],
    ids=str,
)
def test_programs_without_a_moving_average_that_is_read_stay(subject):
    assert programs.bias_correction(subject) == subject


def test_equal_factors_share_their_correction():
    subject = program(
        "g, m, v, n",
        *("m = interp(g, m, 0.9)", "v = interp(square(g), v, 0.9)", "n = interp(g, n, 0.5)", "update = m / v + n"),
        returns="update, m, v, n",
    )
    text = str(assert_corrected(subject))
    assert [line for line in text.splitlines() if "power(" in line] == [
        "    b1t = power(0.9, t)",
        "    b2t = power(0.5, t)",
    ]


def test_statements_come_first_and_last_under_plain_names():
    assert str(programs.lookahead(programs.load("sgd"), k=3)) == (
        "def train(w, g, slow, t, lr):\n"
        "    first = equal(t, 1.0)\n"
        "    slow = where(first, w, slow)\n"
        "    sync = mod(t, 3.0)\n"
        "    sync = equal(sync, 0.0)\n"
        "    lr = lr * 0.1\n"
        "    update = g * lr\n"
        "    fast = w - update\n"
        "    fast = interp(slow, fast, 0.5)\n"
        "    slow = where(sync, fast, slow)\n"
        "    jump = w - slow\n"
        "    update = where(sync, jump, update)\n"
        "    return update, slow\n"
    )
    assert str(programs.weight_decay(programs.clip_by_value(program("g", returns="g"), 2.0))) == (
        "def train(w, g, lr):\n"
        "    wd = lr * 1e-05\n"
        "    wd = w * wd\n"
        "    g = min(g, 2.0)\n"
        "    g = max(g, -2.0)\n"
        "    update = g + wd\n"
        "    return update\n"
    )


@pytest.mark.parametrize("name", SEEDS)
def test_transformations_that_change_nothing(name):
    subject = programs.load(name)
    wanted = course(step_of(subject))
    for transformed in (
        programs.lookahead(subject, k=100),
        programs.clip_by_global_norm(subject, 1e6),
        programs.clip_by_value(subject, 1e6),
        programs.weight_decay(subject, 0.0),
        programs.l2(subject, 0.0),
    ):
        assert_same(course(step_of(transformed)), wanted)
    assert_same(course(step_of(programs.lookahead(subject, k=2, alpha=1.0))), wanted, rtol=1e-9)


def test_gradients_are_not_added_to_programs_without_one():
    subject = program("w, lr", "g = w * 0.5", "update = g * lr", returns="update")
    for name in ("clip_by_global_norm", "clip_by_value", "l2"):
        assert TRANSFORMATIONS[name].function(subject) == subject


@pytest.mark.parametrize(
    ("name", "chosen", "said"),
    [
        ("lookahead", {"k": 0}, "k is 0; right would be a whole number from 1 to 16777216"),
        ("lookahead", {"k": 2.5}, "k is 2.5; right would be a whole number"),
        ("lookahead", {"k": True}, "k is True; right would be a whole number"),
        ("lookahead", {"k": 2**24 + 1}, "k is 16777217; right would be a whole number"),
        ("lookahead", {"k": "5"}, "k is '5'; right would be a whole number"),
        ("lookahead", {"k": float("nan")}, "k is nan; right would be a whole number"),
        ("lookahead", {"alpha": float("nan")}, "alpha is nan; right would be a number from 0 to 1"),
        ("lookahead", {"alpha": 1.5}, "alpha is 1.5; right would be a number from 0 to 1"),
        ("lookahead", {"alpha": None}, "alpha is None; right would be a number from 0 to 1"),
        ("clip_by_global_norm", {"max_norm": 0.0}, "max_norm is 0.0; right would be a finite number above 0"),
        ("clip_by_value", {"max_delta": float("inf")}, "max_delta is inf; right would be a finite number above 0"),
        ("weight_decay", {"rate": -1e-3}, "rate is -0.001; right would be a finite number from 0"),
        ("l2", {"decay": 10**400}, "decay is 1000"),
    ],
)
def test_numbers_out_of_range_are_refused(name, chosen, said):
    with pytest.raises(programs.ProgramError) as caught:
        TRANSFORMATIONS[name].function(programs.load("adamw"), **chosen)
    assert str(caught.value).startswith(said)
    assert len(str(caught.value)) < 120


def test_whole_numbers_of_every_type_are_taken():
    sgd = programs.load("sgd")
    wanted = programs.lookahead(sgd, k=3, alpha=1)
    for k in (3.0, np.int64(3), np.float32(3.0)):
        assert programs.lookahead(sgd, k=k, alpha=1.0) == wanted  # pyright: ignore[reportArgumentType]


def test_what_would_be_too_long_to_read_is_refused():
    full = program("g", *(["g = g * 0.5"] * 995), returns="g")
    assert_well_formed(programs.clip_by_value(programs.clip_by_value(full)))
    with pytest.raises(programs.ProgramError, match="would have 1006 statements; a program has at most 1000"):
        programs.lookahead(programs.clip_by_value(full))
    wide = program("g", *([f"{'x' * 64} = interp(1e-300, 1e-300, 1e-300)"] * 642), returns="g")
    with pytest.raises(programs.ProgramError, match=r"would have 651 statements; .* at most 1000, in at most 65536"):
        programs.lookahead(wide)


def test_longest_names_leave_room_for_an_ending():
    first, second = "m" * 64, "m" * 63 + "n"
    lines = [f"{first} = interp(g, {first}, 0.9)", f"{second} = interp(g, {second}, 0.5)"]
    subject = program(f"g, {first}, {second}", *lines, f"u = {first} - {second}", returns=f"u, {first}, {second}")
    assert_corrected(subject)


# Against Optax, in float32 over 300 steps.

ADAM = program(
    "g, m, v, t, lr",
    "m = interp(g, m, 0.9)",
    "v = interp(square(g), v, 0.999)",
    "mhat = m * reciprocal(1.0 - power(0.9, t))",
    "vhat = v * reciprocal(1.0 - power(0.999, t))",
    "lr = lr * 0.001",
    "update = mhat / sqrt(vhat) * lr",
    returns="update, m, v",
)
ADAMW, MOMENTUM = optax.adamw(0.001, weight_decay=0.01), optax.sgd(0.01, momentum=0.9)


def falling(count):
    return 1.0 - 0.9 * count.astype(jnp.float32) / STEPS


ONE = 1.0
PROGRAMS = {"adam": ADAM, "adamw": programs.load("adamw"), "momentum": programs.load("momentum")}
PARITY = {  # transformation: (program, ours, schedule, Optax's)
    "lookahead of adamw": (
        "adamw",
        lambda p: programs.lookahead(p, 7, 0.8),
        ONE,
        optax.lookahead(ADAMW, 7, 0.8),
    ),
    "lookahead of clipped momentum": (
        "momentum",
        lambda p: programs.lookahead(programs.clip_by_global_norm(p, 6.0)),
        ONE,
        optax.lookahead(optax.chain(optax.clip_by_global_norm(6.0), MOMENTUM), 5, 0.5),
    ),
    "clipping by norm": (
        "adamw",
        lambda p: programs.clip_by_global_norm(p, 6.0),
        ONE,
        optax.chain(optax.clip_by_global_norm(6.0), ADAMW),
    ),
    "clipping by value": (
        "adamw",
        lambda p: programs.clip_by_value(p, 0.8),
        ONE,
        optax.chain(optax.clip(0.8), ADAMW),
    ),
    "L2 penalty": (
        "momentum",
        lambda p: programs.l2(p, 0.1),
        ONE,
        optax.chain(optax.add_decayed_weights(0.1), MOMENTUM),
    ),
    "decoupled decay on a schedule": (
        "adam",
        lambda p: programs.weight_decay(p, 0.001 * 0.01),
        falling,
        optax.adamw(lambda count: 0.001 * falling(count), weight_decay=0.01),
    ),
}


def train(transform, look_ahead=False):
    """Minimise a noisy quadratic in one compiled loop; return the weights after every step."""
    start, rng = tree(1), np.random.default_rng(2)
    noise = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=(STEPS, *x.shape)), x.dtype), start)
    if look_ahead:
        start = optax.LookaheadParams.init_synced(start)

    def step(carry, noise):
        params, state = carry
        gradient = jax.tree.map(jnp.add, getattr(params, "fast", params), noise)
        updates, state = transform.update(gradient, state, params)
        params = jax.tree.map(jnp.add, params, updates)
        return (params, state), getattr(params, "fast", params)

    return jax.jit(lambda: jax.lax.scan(step, (start, transform.init(start)), noise)[1], compiler_options=QUICK)()


@functools.cache
def train_plain(name, schedule):
    return train(programs.to_optax(PROGRAMS[name], schedule))


def distance(got, wanted):
    """Return the largest difference, relative to the largest weight of its array."""
    pairs = zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True)
    return max(float(np.abs(x - y).max() / np.abs(y).max()) for x, y in pairs)


@pytest.mark.parametrize("case", PARITY)
def test_transformed_programs_equal_optax(case):
    name, transform, schedule, reference = PARITY[case]
    with jax.numpy_dtype_promotion("standard"):
        wanted = train(reference, look_ahead="lookahead" in case)
    assert distance(train(programs.to_optax(transform(PROGRAMS[name]), schedule)), wanted) < 1e-5
    assert distance(train_plain(name, schedule), wanted) > 1e-4


def test_decoupled_decay_equals_its_equations():
    got = course(step_of(programs.weight_decay(programs.load("sgd"), 0.02)))

    def equations(w, g, t, lr):
        return each(lambda x, y: 0.1 * lr * y + lr * 0.02 * x, w, g)

    assert_same(got, course(equations), rtol=1e-12)


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_state_and_updates_keep_the_dtypes_of_the_weights(name):
    transform = programs.to_optax(TRANSFORMATIONS[name].function(programs.load("adamw_paper")))
    params = tree(1, jnp.bfloat16)
    state = transform.init(params)
    updates, after = jax.eval_shape(transform.update, tree(2, jnp.bfloat16), state, params)
    assert {leaf.dtype for leaf in jax.tree.leaves(updates)} == {jnp.dtype(jnp.bfloat16)}
    assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == jax.tree.map(lambda x: (x.shape, x.dtype), after)


def test_transformed_programs_are_exported(tmp_path):
    subject = programs.lookahead(programs.clip_by_global_norm(programs.load("sgd")), k=2)
    module = import_module(programs.export_optax(subject, name="opt"), tmp_path)
    ours = programs.to_optax(subject)
    params, gradients = tree(1), [tree(rng_seed) for rng_seed in (2, 3, 4)]
    got, wanted = jax.jit(lambda: [run_transform(x, params, gradients) for x in (module.opt(), ours)])()
    assert_close(got, wanted, 1e-5, 1e-7)
