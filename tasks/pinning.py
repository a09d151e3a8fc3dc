"""The settings of JAX and XLA that change numbers, pinned in one place, whatever the environment or the process says.

JAX reads such settings from the environment (JAX_ENABLE_X64, JAX_DEFAULT_PRNG_IMPL, JAX_THREEFRY_PARTITIONABLE …) and
lets a program change them; XLA reads XLA_FLAGS. Every function of this package that trains, or asks for the shapes of
what is trained, holds them at the values below meanwhile, and leaves the process as it was. What cannot be pinned so,
such as the processor, `tasks.fingerprint` tells.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import MappingProxyType

import jax
import jax.numpy as jnp

KEY_TYPE = "threefry2x32"
"""The kind of rng keys. Its random numbers are integers first, the same on every device."""

CPU_OPTIONS: Mapping[str, bool | int | str] = MappingProxyType(
    {
        "xla_cpu_multi_thread_eigen": False,  # bits do not depend on the number of cores
        "xla_cpu_enable_fast_math": False,
        "xla_cpu_enable_fast_min_max": False,
        "xla_backend_optimization_level": 3,
        "xla_llvm_disable_expensive_passes": False,
    }
)
"""XLA's options on CPU for all that is compiled here; XLA_FLAGS change none of them."""


@contextmanager
def pinned() -> Iterator[None]:
    """Hold the settings that change numbers, or whether there are any, in this thread; also a decorator."""
    with ExitStack() as stack:
        for setting in (
            jax.disable_jit(False),
            jax.enable_x64(False),
            jax.default_prng_impl(KEY_TYPE),
            jax.threefry_partitionable(True),
            jax.default_matmul_precision(None),
            jax.softmax_custom_jvp(False),
            jax.debug_nans(False),  # a training that diverges is an outcome
            jax.debug_infs(False),
        ):
            stack.enter_context(setting)
        yield


def rng_key(rng_seed: jax.Array) -> jax.Array:
    """Return the key of an rng seed, that of `jax.random.key` if JAX_RANDOM_SEED_OFFSET is not set.

    Args:
        rng_seed: int32 (), in [0, 2**31); traceable.
    """
    words = jnp.stack([jnp.uint32(0), rng_seed.astype(jnp.uint32)])
    return jax.random.wrap_key_data(words, impl=KEY_TYPE)
