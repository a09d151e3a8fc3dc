"""Programs written for PyTorch: an expression for every function, and the definitions that modules need for them."""

from programs.completeness import with_definitions
from programs.exports.lists import Dialect, translated

_FILE = "programs/exports/torch_dialect.py"
_SAME = ("abs", "cos", "sin", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "arccosh")
_SAME += ("arctanh", "exp", "exp2", "expm1", "log", "log10", "log2", "sqrt", "square", "sum", "floor", "round")
_NAMES = {name: name for name in _SAME} | {"power": "pow"}
_OWN = {
    "cbrt": "_cbrt({x})",
    "sign": "_sign({x})",
    "global_norm": "_global_norm({x})",
    "dot": "_dot({x}, {y})",
    "cosine_sim": "_cosine_sim({x}, {y})",
    "clip": "_clip({x}, {c})",
    "max": "torch.maximum(*_tensors({x}, {y}))",
    "min": "torch.minimum(*_tensors({x}, {y}))",
    "copy": "{x}.clone()",  # a stored copy must not change with the weights
    "mod": "_mod({x}, {y})",
    "less": "_less({x}, {y})",
    "equal": "_equal({x}, {y})",
    "where": "_where({c}, {x}, {y})",
    "heaviside": "_heaviside({x})",
    "softplus": "torch.logaddexp(*_tensors({x}, 0.0))",
    "erf": "torch.erf({x})",
    "mean": "torch.sum({x}) / (1.0 * {x}.numel())",
    "std": "_std({x})",
    "orthogonalize": "_orthogonalize({x})",
}
_DEFINITIONS = {
    "wide": '''
def _wide(x):
    """Return the dtype of numbers that are used with an array."""
    return torch.promote_types(x.dtype, torch.get_default_dtype())
''',
    "number": '''
def _number(x, param):
    """Return a number as an array to use with a weight array."""
    return torch.as_tensor(x, dtype=_wide(param), device=param.device).clone()
''',
    "tensors": '''
def _tensors(*values):
    """Return the values with plain numbers turned into arrays."""
    like = next(x for x in values if torch.is_tensor(x))
    return [x if torch.is_tensor(x) else like.new_full((), x) for x in values]
''',
    "cbrt": '''
def _cbrt(x):
    """Return the cube root: a power, then a step of Newton's method if that is finite."""
    size = torch.abs(x)
    root = torch.pow(size, 1.0 / 3.0)
    better = root - (root - size / (root * root)) / 3.0
    return torch.copysign(torch.where(torch.isfinite(better), better, root), x)
''',
    "sign": '''
def _sign(x):
    """Return -1, 0 or 1, or NaN for NaN."""
    return torch.where(torch.isnan(x), x, torch.sign(x))
''',
    "mod": '''
def _mod(x, y):
    """Return the remainder of x / y, with the sign of y; in steps, since torch.fmod is NaN if x / y overflows."""
    x, y = _tensors(x, y)
    large = 2.0**1000 if x.dtype == torch.float64 else 2.0**100
    rest = torch.fmod(torch.fmod(torch.fmod(x, y * large * large), y * large), y)
    return torch.where((rest != 0.0) & ((rest < 0.0) != (y < 0.0)), rest + y, rest)
''',
    "less": '''
def _less(x, y):
    """Return 1 if x < y, else 0."""
    x, y = _tensors(x, y)
    return (x < y).to(x.dtype)
''',
    "equal": '''
def _equal(x, y):
    """Return 1 if x = y, else 0."""
    x, y = _tensors(x, y)
    return (x == y).to(x.dtype)
''',
    "where": '''
def _where(c, x, y):
    """Return x if c is not 0, else y."""
    c, x, y = _tensors(c, x, y)
    return torch.where(c != 0.0, x, y)
''',
    "heaviside": '''
def _heaviside(x):
    """Return 1 if x > 0, NaN for NaN, else 0."""
    return torch.where(torch.isnan(x), x, (x > 0.0).to(x.dtype))
''',
    "dot": '''
def _dot(x, y):
    """Sum x * y over all arrays; return the sum once per array."""
    sums = [torch.sum(a.to(_wide(a)) * b.to(_wide(b))).to(x[0].device) for a, b in zip(x, y, strict=True)]
    return [_number(sum(sums), a) for a in x]
''',
    "global_norm": '''
def _global_norm(x):
    """Return the Euclidean norm over all arrays together, once per array."""
    return [torch.sqrt(total) for total in _dot(x, x)]
''',
    "cosine_sim": '''
def _cosine_sim(x, y):
    """Return the cosine of the angle between x and y over all arrays, once per array."""
    parts = zip(_dot(x, y), _global_norm(x), _global_norm(y), strict=True)
    return [product / (a * b) for product, a, b in parts]
''',
    "clip": '''
def _clip(x, c):
    """Scale x down so that its global norm is at most c."""
    scales = [torch.minimum(*_tensors(1.0, each / norm)) for each, norm in zip(c, _global_norm(x), strict=True)]
    return [(a.to(scale.dtype) * scale).to(a.dtype) for a, scale in zip(x, scales, strict=True)]
''',
    "std": '''
def _std(x):
    """Return the standard deviation of an array."""
    size = 1.0 * x.numel()
    return torch.sqrt(torch.sum(torch.square(x - torch.sum(x) / size)) / size)
''',
    "orthogonalize": '''
def _orthogonalize(x):
    """Make a matrix (the first axis by the others) nearly orthogonal by Newton-Schulz steps."""
    if x.ndim < 2 or not x.numel():
        return x.clone()
    rows = x.reshape(x.shape[0], -1)
    wide = rows if rows.shape[0] <= rows.shape[1] else rows.T
    wide = wide / (torch.sqrt(torch.sum(torch.square(wide))) + 1e-08)
    for _ in range(5):
        gram = torch.matmul(wide, wide.T)
        wide = 3.4445 * wide + torch.matmul(-4.775 * gram + 2.0315 * torch.matmul(gram, gram), wide)
    return (wide if rows.shape[0] <= rows.shape[1] else wide.T).reshape(x.shape)
''',
}
TORCH = Dialect(
    texts=with_definitions(translated(_NAMES, "torch", _OWN, _FILE), _DEFINITIONS, f"_DEFINITIONS in {_FILE}"),
    definitions=_DEFINITIONS,
    weight="param",
    number="_number({x}, param)",
    cast="{x}.to(param.dtype)",
    filled="torch.broadcast_to({x}.to(param.dtype), param.shape)",
    number_lists=True,
)
