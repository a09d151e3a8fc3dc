"""The interpreter: encoded programs on the register machine equal the compiler engine and the float64 reference."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from program_cases import QUICK, SEEDS, first_and_slow, program, random_mutants, run_numpy

import programs
from programs.engines.operations import OPERATIONS

SHAPES = {"bias": (), "layers": {"kernel": (3, 4), "scale": (5,)}, "filters": (2, 3, 2)}
ARRAYS = 4
STEPS = 4

# Largest difference from the float64 reference, relative to the largest number of the update, if the compiler
# engine comes within a tenth of it: otherwise the program itself amplifies rounding.
TOLERANCE = 1e-4


def draw(rng_seed):
    rng = np.random.default_rng(rng_seed)
    return jax.tree.map(
        lambda shape: rng.normal(size=shape).astype(np.float32), SHAPES, is_leaf=lambda x: isinstance(x, tuple)
    )


PARAMS = draw(0)
GRADIENTS = [draw(rng_seed) for rng_seed in range(1, 1 + STEPS)]


traced = []  # the capacity of each machine that was traced for compilation


def run(code, capacity, learning_rate, params):
    """Return the updates of an encoded program; the weights do not change."""
    transform = programs.interpret(code, capacity, learning_rate)

    def step(state, gradient):
        update, state = transform.update(gradient, state, params)
        return state, update

    gradients = jax.tree.map(lambda *steps: jnp.stack(steps), *GRADIENTS)
    _, updates = jax.lax.scan(step, transform.init(params), gradients)
    return [jax.tree.map(lambda steps, index=index: steps[index], updates) for index in range(STEPS)]


@functools.cache
def machine(capacity):
    """Compile the machine once for all programs of this file; test_evaluation.py compiles it as a search does."""

    @functools.partial(jax.jit, compiler_options=QUICK)
    def compiled_once(code, learning_rate, params):
        traced.append(capacity)
        return run(code, capacity, learning_rate, params)

    return compiled_once


def encoded(subject):
    found = programs.encode(subject)
    assert found is not None
    return found


def interpreted(subject, learning_rate=1.0):
    capacity, code = encoded(subject)
    return machine(capacity)(code, learning_rate=jnp.float32(learning_rate), params=PARAMS)


def compiled(subject, learning_rate=1.0):
    given = (learning_rate,) if "lr" in programs.check(subject).inputs else ()
    transform = programs.to_optax(subject, *given)
    state, updates = transform.init(PARAMS), []
    for gradient in GRADIENTS:
        update, state = transform.update(gradient, state, PARAMS)
        updates.append(update)
    return updates


def reference(subject, learning_rate=1.0):
    """Return the negated updates of the program in float64."""
    weights, *gradients = ([np.asarray(x, np.float64) for x in jax.tree.leaves(tree)] for tree in (PARAMS, *GRADIENTS))
    return [tuple(-x for x in update) for update in run_numpy(subject, weights, gradients, learning_rate)]


def errors(updates, wanted):
    """Return each step's largest difference, relative to the largest wanted number; infinite unless all are finite.

    If the reference is not finite, or too large or small for float32, there is nothing to compare: 0.
    """
    found = []
    for update, exact in zip(updates, wanted, strict=True):
        x = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(update)]).astype(np.float64)
        y = np.concatenate([np.ravel(leaf) for leaf in exact])
        largest = np.abs(y).max()
        if not np.isfinite(largest) or not 1e-30 < largest < 1e30:
            found.append(0.0)
        else:
            found.append(float(np.abs(x - y).max() / largest) if np.isfinite(x).all() else np.inf)
    return found


def compare(subject, learning_rate=1.0):
    """Check a program's updates; return how many steps could be compared."""
    wanted = reference(subject, learning_rate)
    judged = 0
    pairs = zip(
        errors(interpreted(subject, learning_rate), wanted),
        errors(compiled(subject, learning_rate), wanted),
        strict=True,
    )
    for step, (ours, theirs) in enumerate(pairs):
        if theirs >= TOLERANCE / 10:
            break  # later steps start from different states
        judged += 1
        assert ours <= TOLERANCE, f"step {step}: {ours}\n{subject}"
    return judged


@pytest.mark.parametrize("name", first_and_slow(SEEDS, 16))
def test_every_seed_program(name):
    subject = programs.load(name)
    wanted = reference(subject, 0.5)
    ours, theirs = errors(interpreted(subject, 0.5), wanted), errors(compiled(subject, 0.5), wanted)
    assert max(ours) <= max(TOLERANCE, 2 * max(theirs))


def random_programs(count):
    limits = programs.Limits(functions=tuple(programs.FUNCTIONS))
    parameters = ("w", "g", "m", "v", "n", "t", "lr")
    return [
        programs.random_program(1 + seed % 30, np.random.default_rng(seed), limits, parameters) for seed in range(count)
    ]


@pytest.mark.parametrize("part", first_and_slow(range(4), 1))
def test_random_programs_and_mutants(part):
    subjects = random_programs(50) + random_mutants(50)
    judged = sum(compare(subject) for subject in subjects[part::4])
    assert judged > 25 * STEPS * 0.5


OPERANDS = {"T": ("g", "w", "m"), "P": ("n", "mean(w)", "std(g)"), "S": ("0.75", "lr", "s")}
PRELUDE = ("n = norm(g)", "s = global_norm(w)", "m = g - w")


@pytest.mark.parametrize("row", [row for row in programs.FUNCTIONS.values() if row.arity], ids=lambda row: row.name)
def test_every_function_with_operands_of_every_kind(row):
    sorts = ["S" if name in row.scalars else "TPS" for name in row.parameters]
    for kinds in itertools.product(*sorts):
        call = ", ".join(OPERANDS[kind][place] for place, kind in enumerate(kinds))
        subject = program("w, g, lr", *PRELUDE, f"x = {row.name}({call})", "update = x * 0.5", returns="update")
        updates, wanted = interpreted(subject, 0.3), compiled(subject, 0.3)
        for got, right in zip(jax.tree.leaves(updates), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(got, right, rtol=2e-5, atol=2e-6, err_msg=str(subject))


STATE = {
    "swapped": program("g, m, v", "u = m + v", "x = m", "m = v + g", "v = x", returns="u, m, v"),
    "exchanged": program(
        "g, m, v, t", "m = where(equal(t, 1.0), g, m)", "u = m", "x = m", "m = v", "v = x", returns="u, m, v"
    ),
    "three in a ring": program("g, a, b, c", "u = a", "x = a", "a = b", "b = c", "c = x + g", returns="u, a, b, c"),
    "old value in the update": program("g, m", "u = m", "m = m * 0.5", "m = m + g", returns="u, m"),
    "old value with a factor": program("g, m", "u = m * 0.5", "m = g", returns="u, m"),
    "shrinking": program("g, m, t", "u = m", "m = m * 0.5", "m = max(m, g)", "m = m * 0.25", returns="u, m"),
    "the gradient itself": program("g, m", "u = m", "m = g", returns="u, m"),
    "one value twice": program("g, m, v", "u = m + v", "m = g * 0.5", "v = m", returns="u, m, v"),
    "same tensor twice": program("g, m, v", "u = m + v", "m = square(g)", "v = m", returns="u, m, v"),
    "unchanged": program("g, m", "u = g + m", returns="u, m"),
    "scalars exchanged": program("g, a, b, t", "u = g * a", "x = a", "a = b", "b = t - x", returns="u, a, b"),
    "factor that is state": program("g, a, t", "u = g * a", "a = t * 0.5", returns="u, a"),
    "late factor": program("g, a, m, t", "u = g * a", "m = u", "a = t * 0.5", "u = m + g", returns="u, a, m"),
    "per-array state": program("g, n", "u = g / n", "n = max(n, norm(g))", returns="u, n"),
    "per-array from scalar": program(
        "g, n, s", "u = g * n", "s = n * 2.0", "n = norm(g)", "n = n + s", returns="u, n, s"
    ),
    "spread update": program("g, n", "n = norm(g)", returns="n, n"),
    "scalar update": program("lr", "u = lr * 0.5", returns="u"),
    "nothing at all": program("g", returns="g"),
    "the weights": program("w", returns="w"),
    "minus twice": program("g", "u = negative(g)", "u = negative(u)", returns="u"),
    "factors on factors": program("g, lr", "u = g * 0.5", "u = u * lr", "u = interp(u, g, 0.999)", returns="u"),
    "a tensor and a scalar interpolated": program(
        "g, s", "u = interp(g, 0.5, s)", "s = interp(0.5, 0.25, s)", returns="u, s"
    ),
}


@pytest.mark.parametrize("name", STATE)
def test_state_arrives_where_it_belongs(name):
    updates, wanted = interpreted(STATE[name], 0.3), compiled(STATE[name], 0.3)
    for got, right in zip(jax.tree.leaves(updates), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-6, atol=1e-7)


def test_one_compilation_runs_every_program():
    for subject in random_programs(40):
        interpreted(subject)
    assert traced == list(dict.fromkeys(traced))


@pytest.mark.slow
def test_lanes_side_by_side_do_the_same():
    subjects = [programs.load(name) for name in SEEDS] + random_programs(40)
    capacity = programs.CAPACITIES[0]
    codes = [code for found, code in map(encoded, subjects) if found == capacity]
    stacked = programs.MachineCode(*map(np.stack, zip(*codes, strict=True)))
    stacked = stacked._replace(length=stacked.length.max())
    axes = stacked._replace(**dict.fromkeys(stacked._fields, 0) | {"length": None})
    together = jax.jit(jax.vmap(lambda code: run(code, capacity, 0.5, PARAMS), in_axes=(axes,)))(stacked)
    unlike = 0
    for lane, code in enumerate(codes):
        alone = machine(capacity)(code, learning_rate=jnp.float32(0.5), params=PARAMS)
        exact = [tuple(np.asarray(x, np.float64) for x in jax.tree.leaves(update)) for update in alone]
        unlike += max(errors(jax.tree.map(lambda x, lane=lane: x[lane], together), exact)) > TOLERANCE
    assert unlike <= 2  # programs that amplify rounding


@pytest.mark.slow
@pytest.mark.parametrize("length", [60, 200, 300])
def test_long_programs_take_larger_machines_and_then_none(length):
    lines = [f"x{i % 30} = sin(x{(i + 7) % 30})" for i in range(length)]
    subject = program(
        "g",
        *(f"x{i} = g + {i}.0" for i in range(30)),
        *lines,
        "u = x0 + x1",
        *(f"u = u + x{i}" for i in range(2, 30)),
        returns="u",
    )
    found = programs.encode(subject)
    statements = programs.check(subject).statements
    if statements > programs.CAPACITIES[-1].instructions:
        assert found is None
        return
    assert found is not None
    capacity, code = found
    smaller = programs.CAPACITIES[: programs.CAPACITIES.index(capacity)]
    assert all(statements > machine.instructions or machine.registers < 32 for machine in smaller)
    assert int(code.length) == statements
    assert compare(subject) == STEPS


def test_registers_are_shared():
    """A chain of a hundred values, each read once, needs two registers besides those of weights and gradient."""
    subject = program("g", "x = sin(g)", *["x = sin(x)"] * 60, returns="x")
    capacity, code = encoded(subject)
    assert capacity == programs.CAPACITIES[0]
    assert set(code.instructions[: int(code.length), 7]) == {2}


def test_products_with_scalars_cost_no_instruction():
    _, code = encoded(programs.load("lion"))
    names = [OPERATIONS[row[0]].function for row in code.instructions[: int(code.length)]]
    assert sorted(names) == ["add", "add", "add", "multiply", "sign"]


def test_learning_rate_and_constants_are_data():
    capacity, code = encoded(programs.load("sgd"))
    (once,), (twice,) = (
        {
            float(x["bias"] / GRADIENTS[0]["bias"])
            for x in machine(capacity)(code, learning_rate=jnp.float32(rate), params=PARAMS)[:1]
        }
        for rate in (1.0, 2.0)
    )
    assert twice == pytest.approx(2 * once)


def test_weights_are_needed():
    capacity, code = encoded(programs.load("sgd"))
    transform = programs.interpret(code, capacity)
    with pytest.raises(ValueError, match="params"):
        transform.update(PARAMS, transform.init(PARAMS))
