"""Exported modules compared with Optax's own optimizers: a jitted step on ten million weights, in turn."""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import optax

import programs

sys.path.insert(0, str(Path(__file__).parents[1]))
from program_cases import import_module

WEIGHTS = 10_000_000
AIM = 1.05
PAIRS: dict[str, Callable[[], optax.GradientTransformation]] = {
    "lion": lambda: optax.lion(1e-4, b1=0.9, b2=0.99, weight_decay=0.1),
    "adamw": lambda: optax.adamw(1e-3, b1=0.9, b2=0.999, weight_decay=0.01),
}


def weights(rng_seed: int) -> dict[str, jax.Array]:
    """Draw ten million normal numbers, in arrays such as a small transformer's: tables, square and narrow matrices."""
    shapes = {"embedding": (4096, 512), "bias": (512,), "scale": (512,)}
    shapes |= {f"kernel{number}": (1024, 1024) for number in range(7)}
    rest = WEIGHTS - sum(jnp.zeros(shape).size for shape in shapes.values())
    shapes["head"] = (rest // 8, 8)
    keys = jax.random.split(jax.random.key(rng_seed), len(shapes))
    return {name: jax.random.normal(key, shape) for key, (name, shape) in zip(keys, shapes.items(), strict=True)}


@dataclass
class Contender:
    """A jitted step to which its weights and state are donated."""

    step: Callable
    params: dict[str, jax.Array]
    state: optax.OptState

    @classmethod
    def of(cls, transform: optax.GradientTransformation) -> "Contender":
        """Compile a transformation's step and warm it up."""

        def step(params, state, gradients):
            updates, state = transform.update(gradients, state, params)
            return optax.apply_updates(params, updates), state

        params = weights(0)
        made = cls(jax.jit(step, donate_argnums=(0, 1)), params, transform.init(params))
        made.seconds(weights(1), 2)
        return made

    def seconds(self, gradients: dict[str, jax.Array], steps: int) -> float:
        """Time one step, as the mean of several."""
        begun = time.perf_counter()
        for _ in range(steps):
            self.params, self.state = self.step(self.params, self.state, gradients)
        jax.block_until_ready((self.params, self.state))
        return (time.perf_counter() - begun) / steps


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=41)
    parser.add_argument("--steps", type=int, default=5, help="steps in one timing")
    given = parser.parse_args()
    gradients = weights(1)
    print(f"{'optimizer':<10}{'export, ms':>12}{'Optax, ms':>12}{'ratio':>8}  aim of the ratio ({jax.devices()[0]})")
    for name, optaxs in PAIRS.items():
        with tempfile.TemporaryDirectory() as folder:
            text = programs.export_optax(programs.load(name), name="exported")
            ours = Contender.of(import_module(text, Path(folder)).exported())
        theirs = Contender.of(optaxs())
        times: tuple[list[float], list[float]] = ([], [])
        for repetition in range(given.repetitions):
            for which in (0, 1) if repetition % 2 else (1, 0):
                times[which].append((ours, theirs)[which].seconds(gradients, given.steps))
        mine, other = map(statistics.median, times)
        ratio = statistics.median(one / two for one, two in zip(*times, strict=True))
        print(f"{name:<10}{mine * 1e3:>12.2f}{other * 1e3:>12.2f}{ratio:>8.3f}  at most {AIM}", flush=True)


if __name__ == "__main__":
    main()
