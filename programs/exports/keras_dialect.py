"""Programs written for Keras: an expression for every function, and the definitions that modules need for them."""

from programs.completeness import with_definitions
from programs.exports.lists import Dialect, translated

_FILE = "programs/exports/keras_dialect.py"
_SAME = ("abs", "cos", "sin", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "arccosh")
_SAME += ("arctanh", "exp", "exp2", "expm1", "log", "log10", "log2", "sqrt", "square", "sum", "floor", "round")
_NAMES = {name: name for name in _SAME}
_OWN = {
    "cbrt": "_cbrt({x})",
    "sign": "_sign({x})",
    "global_norm": "_global_norm({x})",
    "dot": "_dot({x}, {y})",
    "cosine_sim": "_cosine_sim({x}, {y})",
    "clip": "_clip({x}, {c})",
    "max": "_max({x}, {y})",
    "min": "_min({x}, {y})",
    "copy": "ops.copy({x})",  # a stored copy must not change with the weights
    "power": "ops.power(*_tensors({x}, {y}))",
    "exp10": "ops.power(*_tensors(10.0, {x}))",
    "mod": "ops.mod(*_tensors({x}, {y}))",
    "less": "_less({x}, {y})",
    "equal": "_equal({x}, {y})",
    "where": "_where({c}, {x}, {y})",
    "heaviside": "_heaviside({x})",
    "softplus": "ops.logaddexp(*_tensors({x}, 0.0))",
    "erf": "ops.erf({x})",
    "mean": "_mean({x})",
    "std": "_std({x})",
    "orthogonalize": "_orthogonalize({x})",
}
_DEFINITIONS = {
    "number": '''
def _number(x):
    """Return a number as an array of the default float dtype of Keras."""
    return ops.cast(x, keras.config.floatx())
''',
    "tensors": '''
def _tensors(*values):
    """Return the values with plain numbers turned into arrays."""
    like = next(x for x in values if ops.is_tensor(x))
    return [x if ops.is_tensor(x) else ops.cast(x, like.dtype) for x in values]
''',
    "max": '''
def _max(x, y):
    """Return the larger, or NaN if either is NaN; ops.maximum turns float64 to float32."""
    x, y = _tensors(x, y)
    return ops.where((x >= y) | ops.isnan(x), x, y)
''',
    "min": '''
def _min(x, y):
    """Return the smaller, or NaN if either is NaN; ops.minimum turns float64 to float32."""
    x, y = _tensors(x, y)
    return ops.where((x <= y) | ops.isnan(x), x, y)
''',
    "cbrt": '''
def _cbrt(x):
    """Return the cube root: a power, then a step of Newton's method if that is finite."""
    size = ops.abs(x)
    root = ops.power(*_tensors(size, 1.0 / 3.0))
    better = root - (root - size / (root * root)) / 3.0
    root = ops.where(ops.isfinite(better), better, root)
    return ops.where(x < 0.0, -root, ops.where(x == 0.0, x, root))
''',
    "sign": '''
def _sign(x):
    """Return -1, 0 or 1, or NaN for NaN."""
    return ops.where(ops.isnan(x), x, ops.sign(x))
''',
    "less": '''
def _less(x, y):
    """Return 1 if x < y, else 0."""
    x, y = _tensors(x, y)
    return ops.cast(x < y, x.dtype)
''',
    "equal": '''
def _equal(x, y):
    """Return 1 if x = y, else 0."""
    x, y = _tensors(x, y)
    return ops.cast(x == y, x.dtype)
''',
    "where": '''
def _where(c, x, y):
    """Return x if c is not 0, else y."""
    c, x, y = _tensors(c, x, y)
    return ops.where(c != 0.0, x, y)
''',
    "heaviside": '''
def _heaviside(x):
    """Return 1 if x > 0, NaN for NaN, else 0."""
    return ops.where(ops.isnan(x), x, ops.cast(x > 0.0, x.dtype))
''',
    "dot": '''
def _dot(x, y):
    """Sum x * y over all arrays."""
    return sum((ops.sum(_number(a) * _number(b)) for a, b in zip(x, y, strict=True)), start=_number(0.0))
''',
    "global_norm": '''
def _global_norm(x):
    """Return the Euclidean norm over all arrays together."""
    return ops.sqrt(_dot(x, x))
''',
    "cosine_sim": '''
def _cosine_sim(x, y):
    """Return the cosine of the angle between x and y over all arrays."""
    return _dot(x, y) / (_global_norm(x) * _global_norm(y))
''',
    "clip": '''
def _clip(x, c):
    """Scale x down so that its global norm is at most c."""
    scale = _min(1.0, c / _global_norm(x))
    return [ops.cast(_number(a) * scale, a.dtype) for a in x]
''',
    "mean": '''
def _mean(x):
    """Return the mean of an array."""
    return ops.sum(x) / ops.cast(ops.size(x), x.dtype)
''',
    "std": '''
def _std(x):
    """Return the standard deviation of an array."""
    return ops.sqrt(_mean(ops.square(x - _mean(x))))
''',
    "orthogonalize": '''
def _orthogonalize(x):
    """Make a matrix (the first axis by the others) nearly orthogonal by Newton-Schulz steps."""
    if len(x.shape) < 2 or 0 in x.shape:
        return ops.copy(x)
    rows = ops.reshape(x, (x.shape[0], -1))
    tall = rows.shape[0] > rows.shape[1]
    wide = ops.transpose(rows) if tall else rows
    wide = wide / (ops.sqrt(ops.sum(ops.square(wide))) + 1e-08)
    for _ in range(5):
        gram = ops.matmul(wide, ops.transpose(wide))
        wide = 3.4445 * wide + ops.matmul(-4.775 * gram + 2.0315 * ops.matmul(gram, gram), wide)
    return ops.reshape(ops.transpose(wide) if tall else wide, x.shape)
''',
}
KERAS = Dialect(
    texts=with_definitions(
        translated({name: name for name in _SAME}, "ops", _OWN, _FILE), _DEFINITIONS, f"_DEFINITIONS in {_FILE}"
    ),
    definitions=_DEFINITIONS,
    weight="variable",
    number="_number({x})",
    cast="ops.cast({x}, variable.dtype)",
    filled="ops.broadcast_to(ops.cast({x}, variable.dtype), variable.shape)",
    number_lists=False,
)
