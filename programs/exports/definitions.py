"""What an exported module defines besides its factory: the functions that take more than one expression."""

from programs.completeness import with_definitions
from programs.functions import FUNCTIONS

DEFINITIONS = {
    "refuse_complex": """
def _refuse_complex(params, name):
    \"\"\"Raise ValueError if some of the weights are complex numbers.\"\"\"
    for leaf in jax.tree.leaves(params):
        if jnp.issubdtype(jnp.result_type(leaf), jnp.complexfloating):
            raise ValueError(
                f"{name} takes real weights, got {jnp.result_type(leaf)}: "
                f"wrap it as optax.contrib.split_real_and_imaginary({name}(...))"
            )
""",
    "spread": """
def _spread(x, like):
    \"\"\"Fill arrays shaped like those of `like` with the number x.\"\"\"
    return jax.tree.map(lambda leaf: jnp.full_like(leaf, x), like)
""",
    "dot": """
def _dot(x, y):
    \"\"\"Sum x * y over all arrays.\"\"\"
    wide = jnp.result_type(float)
    products = jax.tree.map(lambda x, y: jnp.sum(x.astype(wide) * y.astype(wide)), x, y)
    return sum(jax.tree.leaves(products), start=jnp.zeros((), wide))
""",
    "global_norm": """
def _global_norm(x):
    \"\"\"Return the Euclidean norm over all arrays together.\"\"\"
    return jnp.sqrt(_dot(x, x))
""",
    "cosine_sim": """
def _cosine_sim(x, y):
    \"\"\"Return the cosine of the angle between x and y over all arrays.\"\"\"
    return _dot(x, y) / (_global_norm(x) * _global_norm(y))
""",
    "clip": """
def _clip(x, c):
    \"\"\"Scale x down so that its global norm is at most c.\"\"\"
    scale = jnp.minimum(1.0, c / _global_norm(x))
    return jax.tree.map(lambda leaf: (leaf.astype(scale.dtype) * scale).astype(leaf.dtype), x)
""",
    "std": """
def _std(x):
    \"\"\"Return the standard deviation of an array.\"\"\"
    size = 1.0 * x.size
    return jnp.sqrt(jnp.sum(jnp.square(x - jnp.sum(x) / size)) / size)
""",
    "orthogonalize": """
def _orthogonalize(x):
    \"\"\"Make a matrix (the first axis by the others) nearly orthogonal by Newton-Schulz steps.\"\"\"
    if x.ndim < 2 or not x.size:
        return x
    sharding = jax.typeof(x).sharding
    if any(axis is not None for axis in sharding.spec):  # which JAX cannot multiply by itself
        whole = jax.sharding.reshard(x, jax.sharding.NamedSharding(sharding.mesh, jax.P()))
        return jax.sharding.reshard(_orthogonalize(whole), sharding)
    rows = x.reshape(x.shape[0], -1)
    wide = rows if rows.shape[0] <= rows.shape[1] else rows.T
    wide = wide / (jnp.sqrt(jnp.sum(jnp.square(wide))) + 1e-08)
    for _ in range(5):
        gram = jnp.matmul(wide, wide.T)
        wide = 3.4445 * wide + jnp.matmul(-4.775 * gram + 2.0315 * jnp.matmul(gram, gram), wide)
    return (wide if rows.shape[0] <= rows.shape[1] else wide.T).reshape(x.shape)
""",
}
with_definitions(
    {row.name: row.text for row in FUNCTIONS.values()}, DEFINITIONS, "DEFINITIONS in programs/exports/definitions.py"
)
